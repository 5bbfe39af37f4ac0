"""Attacks on every route: foreign origins, paths and addresses in strings, other users' ids, malformed requests."""

import json
import logging
import random
import resource
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from routes import MESSAGES, ROUTES, Route, app_routes
from served import HTTP, ScriptedChain, ask, make_service, running

from medground.service.app import make_app
from medground.service.static import add_page

ANN_TOKEN, BOB_TOKEN = "ann-" * 5, "bob-" * 5
TOKENS = {"ann": ANN_TOKEN, "bob": BOB_TOKEN}
ASSET = "style.css"


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file whose content no response may contain."""
    path = tmp_path_factory.mktemp("private") / "secret.txt"
    path.write_text("CONTENT OF THE FILE")
    return path


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(make_service(ScriptedChain(), tmp_path_factory.mktemp("service")), add_page) as (address, _):
        yield address


@pytest.fixture
def token_url(tmp_path: Path) -> Iterator[str]:
    """The address of a service with tokens."""
    with running(make_service(ScriptedChain(), tmp_path, TOKENS), add_page) as (address, _):
        yield address


def call(
    url: str, route: Route, id: str = "0" * 32, token: str | None = None, body: Any = None, **headers: str
) -> httpx.Response:
    """Send a request to a route; ``id`` is the conversation's, and "_" in the name of a header stands for "-"."""
    path = route.path.replace("{id}", id).replace("{name}", ASSET).replace("{model}", "medground")
    all_headers = {"Authorization": f"Bearer {token}"} if token else {}
    all_headers |= {name.replace("_", "-"): value for name, value in headers.items()}
    return HTTP.request(route.method, url + path, json=route.body if body is None else body, headers=all_headers)


def test_list_of_routes_is_complete(tmp_path: Path) -> None:
    service = make_service(ScriptedChain(), tmp_path)
    app = make_app(service)
    add_page(app)
    assert app_routes(app) == {(route.method, route.path) for route in ROUTES}
    service.stop()


def test_every_route_accepts_its_valid_request(url: str) -> None:
    id = ask(url, medground={"conversation": "new"}).json()["medground"]["conversation"]
    for route in sorted(ROUTES, key=lambda route: route.method == "DELETE"):
        is_login = (route.method, route.path) == ("POST", "/v1/session")  # refused, since there are no tokens
        assert call(url, route, id).status_code in ((400,) if is_login else (200, 204)), route


def test_only_public_routes_answer_without_a_valid_token(token_url: str) -> None:
    for route in ROUTES:
        bearer_headers = (f"Bearer {token}" for token in ("wrong", f"{ANN_TOKEN}x", ANN_TOKEN[:-1]))
        for authorization in (None, "Bearer", *bearer_headers, f"Basic {ANN_TOKEN}", ANN_TOKEN):
            headers = {} if authorization is None else {"Authorization": authorization}
            status = call(token_url, route, **headers).status_code
            # login needs no token, but refuses the unknown token in its body
            assert (status == 401) == (not route.public or (route.path == "/v1/session" and route.method == "POST"))
    for name in ("token", "access_token", "api_key", "key"):
        assert HTTP.get(f"{token_url}/v1/models?{name}={ANN_TOKEN}").status_code == 401


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.:8000", "http://127.0.0.1:1", ""])
def test_foreign_origins_get_403_from_every_route(url: str, origin: str) -> None:
    id = ask(url, medground={"conversation": "new"}).json()["medground"]["conversation"]
    for route in ROUTES:
        response = call(url, route, id, Origin=origin)
        assert response.status_code == 403, route
        assert not [name for name in response.headers if name.startswith("access-control")]
        headers = {"Origin": origin, "Access-Control-Request-Method": route.method}
        preflight = HTTP.options(url + route.path, headers=headers)
        assert preflight.status_code == 403
        assert not [name for name in preflight.headers if name.startswith("access-control")]
    assert call(url, Route("GET", "/healthz"), Origin=url).status_code == 200
    assert HTTP.get(f"{url}/v1/conversations/{id}").status_code == 200  # it was not deleted


def test_foreign_origin_gets_403_with_a_valid_token(token_url: str) -> None:
    for route in ROUTES:
        assert call(token_url, route, token=ANN_TOKEN, Origin="https://evil.example").status_code == 403, route


def paths_and_addresses(secret: Path, listener_url: str) -> list[str]:
    """Strings that name the secret file, other files, and the listening address, in forms that a server may accept."""
    host = listener_url.partition("//")[2]
    return [
        str(secret), f"..{secret}", "../" * 12 + str(secret)[1:], f"file://{secret}", f"{listener_url}/x",
        f"//{host}/x", f"\\\\{host.partition(':')[0]}\\share", f"http://{host}", f"gopher://{host}", "/etc/passwd",
        "C:\\Windows\\win.ini", "/proc/self/environ", "medground:../../page",
        f"%2e%2e%2f{quote(str(secret), safe='')}",
    ]  # fmt: skip


def string_key_paths(value: Any) -> Iterator[tuple[str | int, ...]]:
    """The key path of each string in a JSON body: the keys and indices that lead to it."""
    if isinstance(value, str):
        yield ()
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from ((key, *inner_keys) for inner_keys in string_key_paths(inner))


def replaced(value: Any, keys: tuple[str | int, ...], new: Any) -> Any:
    """A copy of a JSON body with ``new`` at a key path."""
    if not keys:
        return new
    copy = value.copy()
    copy[keys[0]] = replaced(value[keys[0]], keys[1:], new)
    return copy


def test_strings_of_requests_are_never_opened_as_files_or_addresses(url: str, secret: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.settimeout(0)
        listener_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        responses: list[httpx.Response] = []
        body = {
            "model": "medground",
            "messages": [{"role": "user", "content": "Does it help?", "name": "x"}],
            "medground": {"conversation": "new"},
            "user": "x",
            "stop": "x",
            "metadata": {"path": "x"},
        }
        parts = [{"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image_url", "url": "x"}]}]
        gradio = {"data": [{"path": "x", "meta": {"_type": "gradio.FileData"}}], "fn_index": 0, "session_hash": "x"}
        for text in paths_and_addresses(secret, listener_url):
            encoded = quote(text, safe="")
            for route in ROUTES:
                bodies = (body, {"messages": parts}, gradio) if "completions" in route.path else (route.body,)
                responses += [
                    call(url, route, body=replaced(valid, keys, text))
                    for valid in bodies
                    for keys in string_key_paths(valid)
                ]
                with_query = Route(route.method, f"{route.path}?query={encoded}&format={encoded}")
                responses.append(call(url, with_query, text))
                headers = dict.fromkeys(("Referer", "X_Forwarded_Host", "X_Original_URL", "Cookie"), text)
                responses.append(call(url, route, **headers))
                for name in ("{id}", "{name}", "{model}"):
                    if name in route.path:
                        paths = (route.path.replace(name, encoded), route.path.replace(name, text))
                        responses += [call(url, Route(route.method, path, route.body)) for path in paths]
            for path in ("gradio_api/file=", "file=", "static/", "assets/", "config", "docs", "gradio_api/queue/join"):
                responses.append(HTTP.get(f"{url}/{path}{quote(text)}"))
        for response in responses:
            assert response.status_code < 500, response.request
            assert "CONTENT OF THE FILE" not in response.text
            assert "root:" not in response.text  # of /etc/passwd
        with pytest.raises(BlockingIOError):  # no connection has arrived
            listener.accept()
    assert len(responses) > 800  # no list of routes, bodies or strings was empty


def test_users_cannot_reach_each_other_s_conversations(token_url: str) -> None:
    ann_id, bob_id = (
        ask(token_url, text, token, medground={"conversation": "new"}).json()["medground"]["conversation"]
        for text, token in (("Has Ms Miller gout?", ANN_TOKEN), ("Does it help?", BOB_TOKEN))
    )
    before = HTTP.get(f"{token_url}/v1/conversations/{ann_id}", headers=bearer(ANN_TOKEN)).json()
    for headers in (bearer(BOB_TOKEN), {"Cookie": login(token_url, BOB_TOKEN), "Origin": token_url}):
        for route in ROUTES:
            if (route.method, route.path) == ("DELETE", "/v1/session"):  # would end Bob's session
                continue
            bodies: list[Any] = [route.body]
            if "completions" in route.path:
                bodies = [
                    {"messages": MESSAGES, "medground": {"conversation": ann_id}, "stream": stream}
                    for stream in (False, True)
                ]
            path = route.path.replace("{id}", ann_id).replace("{name}", ASSET).replace("{model}", ann_id)
            for body in bodies:
                for query in ("", "?query=Miller", "?format=json"):
                    response = HTTP.request(route.method, f"{token_url}{path}{query}", json=body, headers=headers)
                    assert "Miller" not in response.text, route
                    if ann_id in path or "completions" in route.path:  # the request has the id
                        assert response.status_code == 404, route
        listed = HTTP.get(f"{token_url}/v1/conversations", headers=headers).json()["data"]
        assert [summary["id"] for summary in listed] == [bob_id]
    assert HTTP.get(f"{token_url}/v1/conversations/{ann_id}", headers=bearer(ANN_TOKEN)).json() == before
    (summary,) = HTTP.get(f"{token_url}/v1/conversations", headers=bearer(ANN_TOKEN)).json()["data"]
    assert (summary["title"], summary["turns"]) == ("Has Ms Miller gout?", 1)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def login(url: str, token: str) -> str:
    """The cookie of a new session."""
    response = HTTP.post(f"{url}/v1/session", json={"token": token})
    assert response.status_code == 204
    return response.headers["Set-Cookie"].partition(";")[0]


def malformed_request(rng: random.Random, id: str) -> bytes:
    """A random request to a route, usually with errors in path, query, body, headers or request line."""
    route = rng.choice(ROUTES)
    path = route.path.replace("{name}", rng.choice([ASSET, "..", "%00", "%ff", "x" * 50]))
    existing_ids = [id] * 3 if route.method != "DELETE" else []
    path = path.replace(
        "{id}", rng.choice([*existing_ids, "0" * 32, "new", "%00", "%ff%fe", "..%2f..", "'--", "x" * 2000])
    )
    path = path.replace("{model}", rng.choice(["medground", "%ed%a0%80", "\\"]))
    query = rng.choice(
        ["", "?query=%ff", "?query=" + "a" * 1500, "?format=exe", "?" + "&".join("a" * 300), "?query=%00"]
    )
    body: Any = route.body or {"title": "x"}
    keys = rng.choice([*string_key_paths(body), ()])  # (): the whole body
    values = [
        None, True, -1, 1e308, 10**400, [], {}, "", "\ud800", "\x00", "x" * 30_000, [[]], {"a": {"b": []}}, "%s%n",
        "{{7*7}}",
    ]  # fmt: skip
    if rng.random() < 0.8:
        body = replaced(body, keys, rng.choice(values))
    content = json.dumps(body).encode()
    content = rng.choice([
        content, content, content[: rng.randrange(len(content) + 1)], content.decode().encode("utf-16"),
        b"\xff" + content, b"[" * 5000, b'{"a":' * 3000, b"9" * 5000, rng.randbytes(50), b"",
        content.replace(b'"', b"'"), content + content,
    ])  # fmt: skip
    content_type = rng.choice(
        ["application/json", "application/json; charset=utf-16", "text/plain", "multipart/form-data", ""]
    )
    method = rng.choice([route.method] * 6 + ["PUT", "HEAD", "OPTIONS", "TRACE", "get", "X" * 300, "CONNECT"])
    headers = [b"Host: localhost", b"Content-Type: " + content_type.encode()]
    headers += rng.sample(
        [
            b"Cookie: medground=" + rng.randbytes(9).hex().encode(),
            b"Cookie: " + b"a=b; " * 300,
            b"Authorization: Bearer \xff\xfe",
            b"Authorization: Basic OmE=",
            b"Authorization: Bearer " + ANN_TOKEN.encode(),
            b"Authorization: Bearer " + ANN_TOKEN.encode(),
            b"Authorization: Bearer " + ANN_TOKEN.encode(),
            b"X-Forwarded-For: 1.2.3.4, \xff",
            b"Range: bytes=0-1,5-",
            b"Expect: 100-continue",
            b"Accept: \xff",
            b"Content-Encoding: gzip",
            b"Origin: " + rng.choice([b"http://localhost", b"null", b"\xff", b"http://[::1"]),
            b"Sec-Fetch-Site: " + rng.choice([b"same-origin", b"cross-site", b"\xff"]),
            b"Upgrade: " + rng.choice([b"websocket", b"h2c", b"\xff"]),
            b"Connection: " + rng.choice([b"close", b"Upgrade", b"\xff", b"keep-alive, close"]),
            b"If-None-Match: *",
            b"Host: localhost",
            b"no colon",
            b" folded: x",
            b"Bad\x00Name: x",
        ],
        rng.choice([0, 0, 1, 2, 4]),
    )
    length = rng.choice([len(content)] * 8 + [0, "x", -1, 2 * 10**6])
    headers.append(b"Transfer-Encoding: chunked" if rng.random() < 0.1 else f"Content-Length: {length}".encode())
    version = rng.choice([b"HTTP/1.1"] * 8 + [b"HTTP/1.0", b"HTTP/3", b"HTTP/1.1\r", b""])
    target = path.encode() + query.encode()
    return b" ".join([method.encode(), target, version]) + b"\r\n" + b"\r\n".join(headers) + b"\r\n\r\n" + content


def send_all(url: str, requests: Iterator[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Each request with its response, which is empty if the connection was closed without one."""
    address = ("127.0.0.1", int(url.rsplit(":", 1)[1]))
    for request in requests:
        with socket.create_connection(address, timeout=30) as connection:
            received = b""
            try:
                connection.sendall(request)
                with suppress(OSError):  # the server may have closed the connection
                    connection.shutdown(socket.SHUT_WR)
                while part := connection.recv(65536):
                    received += part
            except (ConnectionResetError, BrokenPipeError):
                pass
        yield request, received


@pytest.mark.parametrize("number", [500, pytest.param(30_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("tokens", [{}, TOKENS], ids=["no_tokens", "tokens"])
def test_malformed_requests_cause_no_server_error_leak_or_memory_growth(
    tmp_path: Path, number: int, tokens: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    rng = random.Random(number + bool(tokens))
    service = make_service(ScriptedChain(), tmp_path, tokens, receive_timeout=5, max_body=100_000)
    caplog.set_level(logging.INFO, "medground.service")
    counts: Counter[bytes] = Counter()  # by status
    with running(service, add_page) as (url, _):
        warm_memory, token = 0, tokens.get("ann")
        id = ask(url, token=token, medground={"conversation": "new"}).json()["medground"]["conversation"]
        requests = (malformed_request(rng, id) for _ in range(number))
        for sent, (request, response) in enumerate(send_all(url, requests)):
            status = response[9:12]  # after "HTTP/1.1 "
            counts[status] += 1
            assert not status.startswith(b"5"), (request, response)
            assert b"Traceback" not in response
            assert str(tmp_path).encode() not in response
            assert b"site-packages" not in response
            assert b".py" not in response.partition(b"\r\n\r\n")[2] or status == b"200"
            if sent % 1000 == 0:
                assert 'File "' not in caplog.text  # a line of a traceback
                caplog.clear()
            if sent == number // 3:
                warm_memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - warm_memory
        assert ask(url, token=token).status_code == 200
    assert 'File "' not in caplog.text
    assert growth < 30_000  # kB
    assert counts[b"400"] > number / 10
    assert {b"401"} <= counts.keys() if tokens else {b"403", b"404", b"405", b"415"} <= counts.keys()
