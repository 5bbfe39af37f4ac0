"""A loopback server with the part of OpenAI's protocol that chains/models/remote.py needs; it can be made to fail."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, Any] | tuple[int, Any, dict[str, str]]
"""Status, a JSON document or a raw text, and headers."""


def said(text: str | None, *alternatives: dict[str, float]) -> dict[str, Any]:
    """A chat completion with the fields of llama.cpp's server.

    That server names tokens by id too, has the end token as an empty text among the alternatives, gives usage and
    timings, and leaves ``logprobs`` out where it has none.

    Args:
        text: what the model wrote.
        alternatives: log-probabilities at each token, the first that of the one written.
    """
    content = [
        _token(*next(iter(at.items()))) | {"top_logprobs": [_token(*one) for one in at.items()] + _END}
        for at in alternatives
    ]
    choice: dict[str, Any] = {"finish_reason": "stop", "index": 0, "message": {"role": "assistant", "content": text}}
    if content:
        choice["logprobs"] = {"content": content}
    tokens = len((text or "").split())
    usage = {"completion_tokens": tokens, "prompt_tokens": 9, "total_tokens": 9 + tokens}
    usage["prompt_tokens_details"] = {"cached_tokens": 0}
    head = {"id": "1", "object": "chat.completion", "created": 0, "model": "stub", "system_fingerprint": "b0-unknown"}
    return head | {"choices": [choice], "usage": usage, "timings": {"prompt_n": 9, "predicted_n": tokens}}


def _token(token: str, logprob: float) -> dict[str, Any]:
    return {"id": sum(token.encode()), "token": token, "bytes": list(token.encode()), "logprob": logprob}


_END = [_token("", -9.0)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Stub"

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""

    def _answer(self, body: Any) -> None:
        headers = {name.title(): value for name, value in self.headers.items()}
        self.server.asked.append((self.path, body, headers))
        reply = self.server.models if self.path.endswith("/models") else self.server.reply(body)
        status, document, *added = reply
        if status == 200 and body is not None and body.get("stream") and not isinstance(document, str):
            self._stream(document["choices"][0]["message"]["content"])
            return
        content = (document if isinstance(document, str) else json.dumps(document)).encode()
        self.send_response(status)
        kind = "text/plain" if isinstance(document, str) else "application/json"
        sent = {"Content-Length": str(len(content)), "Content-Type": kind, **(added[0] if added else {})}
        for name, value in sent.items():
            self.send_header(name, value)
        if added:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, text: str) -> None:
        """A text as server-sent events, three characters in each."""
        head = {"id": "1", "object": "chat.completion.chunk", "model": "stub", "created": 1}
        pieces = [text[at : at + 3] for at in range(0, len(text), 3)]
        choices = [{"index": 0, "delta": {"content": piece}, "finish_reason": None} for piece in pieces]
        choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
        events = [json.dumps({**head, "choices": [choice]}) for choice in choices]
        content = "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Stub(ThreadingHTTPServer):
    """``reply`` makes the reply to a completion's body, ``models`` is the one to /models; ``asked`` has all."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, reply: Callable[[Any], Reply]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply = reply
        self.models: Reply = (200, {"object": "list", "data": [{"id": "stub", "max_model_len": 2048}]})  # vLLM's form
        self.asked: list[tuple[str, Any, dict[str, str]]] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what some tests are about."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @property
    def bodies(self) -> list[Any]:
        """The bodies of the completions that were asked for."""
        return [body for path, body, _ in self.asked if path.endswith("/chat/completions")]


def slowly(reply: Reply, seconds: float) -> Callable[[Any], Reply]:
    """A reply that takes its time."""

    def made(_: Any) -> Reply:
        time.sleep(seconds)
        return reply

    return made


@contextmanager
def stub_openai(reply: Callable[[Any], Reply] = lambda _: (200, said("yes"))) -> Iterator[Stub]:
    """A running server."""
    stub = Stub(reply)
    thread = threading.Thread(target=stub.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        stub.shutdown()
        stub.server_close()
        thread.join()
