"""A model hub on loopback with the routes that huggingface_hub needs; local folders are its repositories."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "1" * 40


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_HEAD(self) -> None:
        self._serve(body=False)

    def do_GET(self) -> None:
        self._serve(body=True)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing, to keep the test's output clean."""

    def _serve(self, *, body: bool) -> None:
        """Answer OWNER/NAME/resolve/REVISION/FILE and api/models/OWNER/NAME/..., with or without the body."""
        self.server.requests.append(f"{self.command} {self.path}")
        segments = self.path.split("?")[0].strip("/").split("/")
        api = segments[:2] == ["api", "models"]
        segments = segments[2:] if api else segments
        name, rest = "/".join(segments[:2]), segments[2:]
        folder = self.server.repositories.get(name)
        if folder is None:
            self._refuse(401, "RepoNotFound", "Repository not found")
        elif api:
            self._send_json(name, folder, rest, body=body)
        elif rest[:1] == ["resolve"] and name in self.server.gated:
            self._refuse(403, "GatedRepo", f"Access to model {name} is restricted.")
        elif rest[:1] == ["resolve"] and (file := folder / "/".join(rest[2:])).is_file():
            self._send_file(file, body=body)
        else:
            self._refuse(404, "EntryNotFound", "Entry not found")

    def _send_json(self, name: str, folder: Path, rest: list[str], *, body: bool) -> None:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        answer: object = {
            "id": name,
            "modelId": name,
            "sha": COMMIT,
            "siblings": [{"rfilename": path.relative_to(folder).as_posix()} for path in files],
        }
        if rest[:1] == ["tree"]:
            subfolder = folder / "/".join(rest[2:])
            answer = [
                {"type": "file", "path": path.relative_to(folder).as_posix(), "size": path.stat().st_size, "oid": "0"}
                for path in files
                if path.is_relative_to(subfolder)
            ]
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def _send_file(self, path: Path, *, body: bool) -> None:
        content = path.read_bytes()
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if body and path.name in self.server.dropped:  # close the connection after 1,000 bytes
            self.wfile.write(content[start : start + 1000])
            self.wfile.flush()
            self.connection.close()
            self.close_connection = True
        elif body:
            self.wfile.write(content[start:])

    def _refuse(self, status: int, code: str, message: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", "0")
        self.end_headers()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors of connections that a test closes on purpose."""

    def __init__(self, repositories: dict[str, Path]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories = repositories
        self.gated: set[str] = set()
        self.dropped: set[str] = set()
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def in_thread(server: ThreadingHTTPServer) -> Iterator[None]:
    """Serve requests in a thread; at the end, stop and close the server."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def stub_hub(**repositories: Path) -> Iterator[_Server]:
    """Run a hub; ``owner__name=folder`` serves that folder as ``owner/name``.

    The server's ``gated`` holds repositories whose terms must be accepted first, ``dropped`` the names of files whose
    download breaks after 1,000 bytes; ``requests`` records method and path of all requests.
    """
    server = _Server({name.replace("__", "/"): folder for name, folder in repositories.items()})
    with in_thread(server):
        yield server
