"""Attacks on every route: foreign origins, paths and addresses in every string, other users' ids and cookies, noise."""

import json
import logging
import random
import resource
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from routes import MESSAGES, ROUTES, Route, app_routes
from served import HTTP, Scripted, ask, make_service, running

from medground.service.app import make_app
from medground.service.static import add_page

ANN, BOB = "ann-" * 5, "bob-" * 5
TOKENS = {"ann": ANN, "bob": BOB}
ASSETS = "style.css"


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that nothing may give out."""
    path = tmp_path_factory.mktemp("private") / "secret.txt"
    path.write_text("CONTENT OF THE FILE")
    return path


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(make_service(Scripted(), tmp_path_factory.mktemp("service")), add_page) as (address, _):
        yield address


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[str]:
    """The address of a service with tokens."""
    with running(make_service(Scripted(), tmp_path, TOKENS), add_page) as (address, _):
        yield address


def call(
    url: str, route: Route, id: str = "0" * 32, token: str | None = None, body: Any = None, **headers: str
) -> httpx.Response:
    path = route.path.replace("{id}", id).replace("{name}", ASSETS).replace("{model}", "medground")
    given = {"Authorization": f"Bearer {token}"} if token else {}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    sent = route.body if body is None else body
    return HTTP.request(route.method, url + path, json=sent, headers=given)


def test_every_route_is_known_here(tmp_path: Path) -> None:
    service = make_service(Scripted(), tmp_path)
    app = make_app(service)
    add_page(app)
    assert app_routes(app) == {(route.method, route.path) for route in ROUTES}
    service.stop()


def test_every_route_answers_its_request(url: str) -> None:
    id = ask(url, medground={"conversation": "new"}).json()["medground"]["conversation"]
    for route in sorted(ROUTES, key=lambda route: (route.method == "DELETE", "{id}" not in route.path)):
        status = call(url, route, id).status_code
        assert status == (400 if (route.method, route.path) == ("POST", "/v1/session") else status)
        assert status in (200, 204, 400), route


def test_without_a_token_only_public_routes_answer(locked: str) -> None:
    for route in ROUTES:
        for authorization in (None, "Bearer wrong", f"Basic {ANN}", f"Bearer {ANN}x", "Bearer", ANN):
            headers = {} if authorization is None else {"Authorization": authorization}
            status = call(locked, route, **headers).status_code
            assert (status == 401) == (not route.public or (route.path == "/v1/session" and route.method == "POST"))
    for name in ("token", "access_token", "api_key", "key"):
        assert HTTP.get(f"{locked}/v1/models?{name}={ANN}").status_code == 401


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.:8000", "http://127.0.0.1:1", ""])
def test_no_route_answers_a_foreign_origin(url: str, origin: str) -> None:
    id = ask(url, medground={"conversation": "new"}).json()["medground"]["conversation"]
    for route in ROUTES:
        response = call(url, route, id, Origin=origin)
        assert response.status_code == 403, route
        assert not [name for name in response.headers if name.startswith("access-control")]
        asked = HTTP.options(
            url + route.path,
            headers={"Origin": origin, "Access-Control-Request-Method": route.method},
        )
        assert asked.status_code == 403
        assert not [name for name in asked.headers if name.startswith("access-control")]
        own = call(url, Route("GET", "/healthz"), Origin=url)
        assert own.status_code == 200
    assert HTTP.get(f"{url}/v1/conversations/{id}").status_code == 200  # it was not deleted


def test_a_foreign_origin_is_refused_with_a_token_too(locked: str) -> None:
    for route in ROUTES:
        assert call(locked, route, token=ANN, Origin="https://evil.example").status_code == 403, route


def reaching(secret: Path, listener: str) -> list[str]:
    """Strings that name files and addresses."""
    return [
        str(secret),
        f"..{secret}",
        "../" * 12 + str(secret)[1:],
        f"file://{secret}",
        f"{listener}/x",
        f"//{listener.partition('//')[2]}/x",
        f"\\\\{listener.partition('//')[2].partition(':')[0]}\\share",
        f"http:{listener.partition(':')[2]}",
        f"gopher:{listener.partition(':')[2]}",
        "/etc/passwd",
        "C:\\Windows\\win.ini",
        "/proc/self/environ",
        "medground:../../page",
        f"%2e%2e%2f{quote(str(secret), safe='')}",
    ]


def fields(value: Any) -> Iterator[tuple[str | int, ...]]:
    """The place of each string in a body."""
    if isinstance(value, str):
        yield ()
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from ((key, *rest) for rest in fields(inner))


def replaced(value: Any, place: tuple[str | int, ...], text: Any) -> Any:
    if not place:
        return text
    copy = value.copy()
    copy[place[0]] = replaced(value[place[0]], place[1:], text)
    return copy


def test_no_string_of_any_request_is_opened_or_looked_up(url: str, secret: Path, tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        listening.settimeout(0)
        listener = f"http://127.0.0.1:{listening.getsockname()[1]}"
        answers = []
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
        for text in reaching(secret, listener):
            for route in ROUTES:
                for sent in (body, {"messages": parts}, gradio) if "completions" in route.path else (route.body,):
                    for place in fields(sent):
                        answers.append(call(url, route, body=replaced(sent, place, text)))
                encoded = quote(text, safe="")
                answers.append(call(url, Route(route.method, f"{route.path}?query={encoded}&format={encoded}"), text))
                answers.append(call(url, route, Referer=text, X_Forwarded_Host=text, X_Original_URL=text, Cookie=text))
                for name in ("{id}", "{name}", "{model}"):
                    if name in route.path:
                        answers.append(call(url, Route(route.method, route.path.replace(name, encoded), route.body)))
                        answers.append(call(url, Route(route.method, route.path.replace(name, text), route.body)))
            for path in ("gradio_api/file=", "file=", "static/", "assets/", "config", "docs", "gradio_api/queue/join"):
                answers.append(HTTP.get(f"{url}/{path}{quote(text)}"))
        for answer in answers:
            assert answer.status_code < 500, answer.request
            assert "CONTENT OF THE FILE" not in answer.text
            assert "root:" not in answer.text
        with pytest.raises(BlockingIOError):
            listening.accept()
    assert len(answers) > 800


def test_two_users_never_reach_each_other_s_conversations(locked: str) -> None:
    hers = ask(locked, "Has Ms Miller gout?", ANN, medground={"conversation": "new"}).json()["medground"][
        "conversation"
    ]
    his = ask(locked, "Does it help?", BOB, medground={"conversation": "new"}).json()["medground"]["conversation"]
    before = HTTP.get(f"{locked}/v1/conversations/{hers}", headers=bearer(ANN)).json()
    sessions = {"bearer": bearer(BOB), "cookie": {"Cookie": login(locked, BOB), "Origin": locked}}
    for headers in sessions.values():
        for route in ROUTES:
            bodies: list[Any] = [route.body]
            if "completions" in route.path:
                bodies = [
                    {"messages": MESSAGES, "medground": {"conversation": hers}, "stream": stream}
                    for stream in (False, True)
                ]
            for body in bodies:
                for query in ("", "?query=Miller", "?format=json"):
                    path = route.path.replace("{id}", hers).replace("{name}", ASSETS).replace("{model}", hers)
                    if (route.method, route.path) == ("DELETE", "/v1/session"):
                        continue
                    response = HTTP.request(route.method, f"{locked}{path}{query}", json=body, headers=headers)
                    assert "Miller" not in response.text, route
                    if hers in path or body is not route.body:
                        assert response.status_code == 404, route
        listed = HTTP.get(f"{locked}/v1/conversations", headers=headers).json()["data"]
        assert [one["id"] for one in listed] == [his]
    assert HTTP.get(f"{locked}/v1/conversations/{hers}", headers=bearer(ANN)).json() == before
    (summary,) = HTTP.get(f"{locked}/v1/conversations", headers=bearer(ANN)).json()["data"]
    assert (summary["title"], summary["turns"]) == ("Has Ms Miller gout?", 1)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def login(url: str, token: str) -> str:
    """The cookie of a new session."""
    response = HTTP.post(f"{url}/v1/session", json={"token": token})
    assert response.status_code == 204
    return response.headers["Set-Cookie"].partition(";")[0]


def noise(random: random.Random, id: str) -> bytes:
    """A request to a route, with a fault in it."""
    route = random.choice(ROUTES)
    path = route.path.replace("{name}", random.choice([ASSETS, "..", "%00", "%ff", "x" * 50]))
    known = [id] * 3 if route.method != "DELETE" else []
    path = path.replace("{id}", random.choice([*known, "0" * 32, "new", "%00", "%ff%fe", "..%2f..", "'--", "x" * 2000]))
    path = path.replace("{model}", random.choice(["medground", "%ed%a0%80", "\\"]))
    query = random.choice(
        ["", "?query=%ff", "?query=" + "a" * 1500, "?format=exe", "?" + "&".join("a" * 300), "?query=%00"]
    )
    body: Any = route.body or {"title": "x"}
    place = random.choice([*fields(body), ()])
    odd = random.choice(
        [
            None,
            True,
            -1,
            1e308,
            10**400,
            [],
            {},
            "",
            "\ud800",
            "\x00",
            "x" * 30_000,
            [[]],
            {"a": {"b": []}},
            "%s%n",
            "{{7*7}}",
        ]
    )
    if random.random() < 0.8:
        body = replaced(body, place, odd)
    content = json.dumps(body).encode()
    content = random.choice(
        [
            content,
            content,
            content[: random.randrange(len(content) + 1)],
            content.decode().encode("utf-16"),
            b"\xff" + content,
            b"[" * 5000,
            b'{"a":' * 3000,
            b"9" * 5000,
            random.randbytes(50),
            b"",
            content.replace(b'"', b"'"),
            content + content,
        ]
    )
    kind = random.choice(
        ["application/json", "application/json; charset=utf-16", "text/plain", "multipart/form-data", ""]
    )
    method = random.choice([route.method] * 6 + ["PUT", "HEAD", "OPTIONS", "TRACE", "get", "X" * 300, "CONNECT"])
    headers = [b"Host: localhost", b"Content-Type: " + kind.encode()]
    headers += random.sample(
        [
            b"Cookie: medground=" + random.randbytes(9).hex().encode(),
            b"Cookie: " + b"a=b; " * 300,
            b"Authorization: Bearer \xff\xfe",
            b"Authorization: Basic OmE=",
            b"Authorization: Bearer " + ANN.encode(),
            b"Authorization: Bearer " + ANN.encode(),
            b"Authorization: Bearer " + ANN.encode(),
            b"X-Forwarded-For: 1.2.3.4, \xff",
            b"Range: bytes=0-1,5-",
            b"Expect: 100-continue",
            b"Accept: \xff",
            b"Content-Encoding: gzip",
            b"Origin: " + random.choice([b"http://localhost", b"null", b"\xff", b"http://[::1"]),
            b"Sec-Fetch-Site: " + random.choice([b"same-origin", b"cross-site", b"\xff"]),
            b"Upgrade: " + random.choice([b"websocket", b"h2c", b"\xff"]),
            b"Connection: " + random.choice([b"close", b"Upgrade", b"\xff", b"keep-alive, close"]),
            b"If-None-Match: *",
            b"Host: localhost",
            b"no colon",
            b" folded: x",
            b"Bad\x00Name: x",
        ],
        random.choice([0, 0, 1, 2, 4]),
    )
    length = random.choice([len(content)] * 8 + [0, "x", -1, 2 * 10**6])
    headers.append(b"Transfer-Encoding: chunked" if random.random() < 0.1 else f"Content-Length: {length}".encode())
    version = random.choice([b"HTTP/1.1"] * 8 + [b"HTTP/1.0", b"HTTP/3", b"HTTP/1.1\r", b""])
    target = path.encode() + query.encode()
    return b" ".join([method.encode(), target, version]) + b"\r\n" + b"\r\n".join(headers) + b"\r\n\r\n" + content


def statuses(url: str, requests: Iterator[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Each request with its answer, empty where the connection was closed without one."""
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
@pytest.mark.parametrize("tokens", [False, True])
def test_malformed_requests_do_no_harm(
    tmp_path: Path, number: int, tokens: bool, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = random.Random(number + tokens)
    service = make_service(Scripted(), tmp_path, TOKENS if tokens else None, receive_timeout=5, max_body=100_000)
    caplog.set_level(logging.INFO, "medground.service")
    seen: dict[bytes, int] = {}
    with running(service, add_page) as (url, _):
        peak, token = 0, ANN if tokens else None
        id = ask(url, token=token, medground={"conversation": "new"}).json()["medground"]["conversation"]
        requests = (noise(chosen, id) for _ in range(number))
        for sent, (request, answer) in enumerate(statuses(url, requests)):
            status = answer[9:12]
            seen[status] = seen.get(status, 0) + 1
            assert not status.startswith(b"5"), (request, answer)
            assert b"Traceback" not in answer
            assert str(tmp_path).encode() not in answer
            assert b"site-packages" not in answer
            assert b".py" not in answer.partition(b"\r\n\r\n")[2] or status == b"200"
            if sent % 1000 == 0:
                assert 'File "' not in caplog.text
                caplog.clear()
            if sent == number // 3:
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
        assert ask(url, token=token).status_code == 200
    assert 'File "' not in caplog.text
    assert growth < 30_000  # kB
    assert seen.get(b"400", 0) > number / 10
    assert {b"403", b"404", b"405", b"415"} <= set(seen) if not tokens else b"401" in seen
