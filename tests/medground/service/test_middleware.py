import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from served import Scripted, make_service, running

TOKEN = "t" * 20


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with running(make_service(Scripted(), tmp_path, max_body=1000)) as (address, _):
        yield address


def send(url: str, request: bytes) -> str:
    """What comes back for bytes that no client would send."""
    with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), timeout=5) as connection:
        connection.sendall(request)
        connection.settimeout(1)
        received = b""
        try:
            while part := connection.recv(65536):
                received += part
        except TimeoutError:
            pass
    return received.decode()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "", "localhost.evil.example", "[::2]"])
def test_without_tokens_the_name_must_be_this_machines(url: str, host: str) -> None:
    response = httpx.get(f"{url}/v1/models", headers={"Host": host}, trust_env=False)
    assert response.status_code == 403
    assert "answers to localhost and 127.0.0.1 only" in response.json()["error"]["message"]
    for own in ("localhost:1", "127.0.0.1", "[::1]:8000"):
        assert httpx.get(f"{url}/v1/models", headers={"Host": own}, trust_env=False).status_code == 200


def test_with_tokens_any_name_will_do(tmp_path: Path) -> None:
    with running(make_service(Scripted(), tmp_path, {"ann": TOKEN})) as (url, _):
        headers = {"Host": "medground.example", "Authorization": f"Bearer {TOKEN}"}
        assert httpx.get(f"{url}/v1/models", headers=headers, trust_env=False).status_code == 200


def test_a_body_that_is_too_long_is_refused_by_its_header_and_by_its_bytes(url: str) -> None:
    path, kind = f"{url}/v1/chat/completions", {"Content-Type": "application/json"}
    body = b'{"messages": [{"role": "user", "content": "' + b"x" * 1000 + b'"}]}'
    told = httpx.post(path, content=body, headers=kind, trust_env=False)
    counted = httpx.post(path, content=iter([body[:600], body[600:]]), headers=kind, trust_env=False)
    for response in (told, counted):
        assert response.status_code == 413
        assert "longer than 1000 bytes (serve.max_body)" in response.json()["error"]["message"]
    fits = b'{"messages": [{"role": "user", "content": "Is it so?"}]}'
    assert httpx.post(path, content=iter([fits[:20], fits[20:]]), headers=kind, trust_env=False).status_code == 200


@pytest.mark.parametrize("length", ["1e9", "-5", "x", "99999999999999999999"])
def test_odd_lengths(url: str, length: str) -> None:
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    answer = send(url, f"{head}Content-Length: {length}\r\n\r\n{{}}".encode())
    assert answer.startswith(("HTTP/1.1 400", "HTTP/1.1 413"))


def test_every_answer_forbids_what_is_not_needed(url: str) -> None:
    for path in ("/healthz", "/nothing"):
        headers = httpx.get(url + path, trust_env=False).headers
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "server" not in headers


def test_paths_are_counted_by_route_and_not_by_what_is_asked(url: str) -> None:
    for number in range(3):
        httpx.get(f"{url}/v1/conversations/{number}", trust_env=False)
        httpx.get(f"{url}/nothing/{number}", trust_env=False)
    metrics = httpx.get(f"{url}/metrics", trust_env=False).text
    assert 'medground_requests_total{path="/v1/conversations/{id}",status="404"} 3' in metrics
    assert 'medground_requests_total{path="other",status="404"} 3' in metrics


def test_a_websocket_is_not_opened(url: str) -> None:
    head = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    answer = send(
        url, f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    assert "HTTP/1.1 101" not in answer
