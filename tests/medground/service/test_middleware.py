"""Checks of hosts, origins, sites and sizes, security headers, and the metrics' paths."""

import logging
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from served import HTTP, ScriptedChain, make_service, running

TOKEN = "t" * 20


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(make_service(ScriptedChain(), tmp_path_factory.mktemp("service"), max_body=1000)) as (address, _):
        yield address


def send(url: str, request: bytes) -> str:
    """The response to a request that no client library would send."""
    with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), timeout=5) as connection:
        connection.sendall(request)
        received = b""
        while not _is_complete(received) and (chunk := connection.recv(65536)):
            received += chunk
    return received.decode()


def _is_complete(response: bytes) -> bool:
    head, _, body = response.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    return length is not None and len(body) >= int(length[1])


# This machine as browsers write it
LOCAL_HOSTS = [
    "localhost", "localhost:1", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:65535", "[::1]", "[::1]:8000",
]  # fmt: skip
# Other machines, and spellings of this machine that browsers do not send
OTHER_HOSTS = [
    "localhost.", "localhost.:8000", "localhost:", "localhost:x", "localhost.evil.example", "evil.example",
    "evil.example:8000", "app.localhost", "user@localhost", "localhost@evil.example", "user:word@127.0.0.1",
    "127.0.0.1.", "127.1", "127.0.0.01", "0177.0.0.1", "0x7f.0.0.1", "2130706433", "127.0.0.2", "0.0.0.0", "::1",
    "[::1", "[::1].", "[::2]", "[::1%25lo]", "[::ffff:127.0.0.1]", "[0:0:0:0:0:0:0:1]", "http://localhost",
    "localhost/evil.example", "localhost#", "localhost, evil.example", " ", "",
]  # fmt: skip


@pytest.mark.parametrize(
    ("host", "status"), [*((host, 200) for host in LOCAL_HOSTS), *((host, 400) for host in OTHER_HOSTS)]
)
def test_without_tokens_only_local_hosts_are_accepted(url: str, host: str, status: int) -> None:
    response = send(url, f"GET /v1/models HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert response.startswith(f"HTTP/1.1 {status} ")


def test_request_with_two_hosts_or_none_is_refused(url: str) -> None:
    for hosts in ("Host: localhost\r\nHost: evil.example\r\n", "Host: evil.example\r\nHost: localhost\r\n", ""):
        assert send(url, f"GET /v1/models HTTP/1.1\r\n{hosts}\r\n".encode()).startswith("HTTP/1.1 400 ")
    assert send(url, b"GET /v1/models HTTP/1.0\r\n\r\n").startswith("HTTP/1.1 400 ")


def test_host_of_the_listening_address_is_accepted(tmp_path: Path) -> None:
    with running(make_service(ScriptedChain(), tmp_path, host="127.0.0.9")) as (url, _):
        for host, status in (("127.0.0.9", 200), ("127.0.0.1", 200), ("127.0.0.8", 400)):
            assert HTTP.get(f"{url}/v1/models", headers={"Host": host}).status_code == status


def test_with_tokens_any_host_name_is_accepted(tmp_path: Path) -> None:
    with running(make_service(ScriptedChain(), tmp_path, {"ann": TOKEN})) as (url, _):
        headers = {"Host": "medground.example", "Authorization": f"Bearer {TOKEN}"}
        assert HTTP.get(f"{url}/v1/models", headers=headers).status_code == 200


OWN_ORIGINS = ["http://localhost:8000", "HTTP://LOCALHOST:8000"]
OTHER_ORIGINS = [
    "null", "", "https://localhost:8000", "http://localhost", "http://localhost:8001", "http://127.0.0.1:8000",
    "http://localhost.:8000", "http://localhost:8000.evil.example", "http://user@localhost:8000",
    "http://localhost:8000/", "http://localhost:8000, http://localhost:8000", "chrome-extension://abcdef", "file://",
]  # fmt: skip


@pytest.mark.parametrize(
    ("origin", "status"), [*((origin, 200) for origin in OWN_ORIGINS), *((origin, 403) for origin in OTHER_ORIGINS)]
)
def test_only_the_service_s_own_origin_is_accepted(url: str, origin: str, status: int) -> None:
    headers = {"Host": "localhost:8000", "Origin": origin}
    assert HTTP.get(f"{url}/v1/models", headers=headers).status_code == status


def test_origin_needs_the_configured_scheme_and_may_have_the_default_port(tmp_path: Path) -> None:
    for tls, origin, status in (
        (True, "https://med.example", 200),
        (True, "https://med.example:443", 200),
        (True, "http://med.example", 403),
        (False, "https://med.example", 403),
        (False, "http://med.example:80", 200),
    ):
        service = make_service(ScriptedChain(), tmp_path / f"{tls}{origin[:5]}", {"ann": TOKEN}, tls=tls)
        with running(service) as (url, _):
            headers = {"Host": "med.example", "Origin": origin, "Authorization": f"Bearer {TOKEN}"}
            assert HTTP.get(f"{url}/v1/models", headers=headers).status_code == status, origin


@pytest.mark.parametrize(
    ("method", "path", "fetch", "status"),
    [
        ("GET", "/v1/models", {"site": "same-origin", "mode": "cors"}, 200),
        ("GET", "/v1/models", {"site": "none", "mode": "navigate"}, 200),
        ("GET", "/v1/models", {"site": "same-site", "mode": "no-cors"}, 403),
        ("GET", "/v1/models", {"site": "cross-site", "mode": "no-cors", "dest": "image"}, 403),
        ("GET", "/v1/models", {"site": "cross-site", "mode": "navigate", "dest": "document"}, 403),
        # A link to the page, which this service does not serve
        ("GET", "/", {"site": "cross-site", "mode": "navigate", "dest": "document"}, 404),
        ("GET", "/", {"site": "cross-site", "mode": "navigate", "dest": "iframe"}, 403),
        ("POST", "/", {"site": "cross-site", "mode": "navigate", "dest": "document"}, 403),
        ("GET", "/v1/models", {"site": "nonsense"}, 403),
    ],
)
def test_sec_fetch_headers_of_other_sites_are_refused(
    url: str, method: str, path: str, fetch: dict[str, str], status: int
) -> None:
    headers = {f"Sec-Fetch-{name.title()}": value for name, value in fetch.items()}
    assert HTTP.request(method, url + path, headers=headers).status_code == status


def test_too_long_body_gets_413_with_and_without_content_length(url: str) -> None:
    path, headers = f"{url}/v1/chat/completions", {"Content-Type": "application/json"}
    body = b'{"messages": [{"role": "user", "content": "' + b"x" * 1000 + b'"}]}'
    with_length = HTTP.post(path, content=body, headers=headers)
    chunked = HTTP.post(path, content=iter([body[:600], body[600:]]), headers=headers)
    for response in (with_length, chunked):
        assert response.status_code == 413
        assert "longer than 1000 bytes (serve.max_body)" in response.json()["error"]["message"]
    short = b'{"messages": [{"role": "user", "content": "Is it so?"}]}'
    assert HTTP.post(path, content=iter([short[:20], short[20:]]), headers=headers).status_code == 200


@pytest.mark.parametrize("length", ["1e9", "-5", "x", "99999999999999999999", "5, 6", "+2", "0x2"])
def test_invalid_content_lengths_are_refused(url: str, length: str) -> None:
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    response = send(url, f"{head}Content-Length: {length}\r\n\r\n{{}}".encode())
    assert response.startswith(("HTTP/1.1 400", "HTTP/1.1 413"))


def test_every_response_has_the_security_headers(url: str) -> None:
    all_headers = [HTTP.get(url + path).headers for path in ("/healthz", "/nothing", "/v1/models")]
    all_headers.append(HTTP.get(url, headers={"Host": "evil.example"}).headers)
    all_headers.append(HTTP.get(url, headers={"Origin": "null"}).headers)
    malformed = send(url, b"NO HTTP\r\n\r\n").partition("\r\n\r\n")[0].split("\r\n")[1:]
    all_headers.append(httpx.Headers([tuple(line.split(": ", 1)) for line in malformed]))
    for headers in all_headers:
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Cross-Origin-Resource-Policy"] == headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "server" not in headers
        assert not [name for name in headers if name.startswith("access-control")]


def test_head_gets_the_status_and_headers_of_get_without_a_body(url: str) -> None:
    for path, status in (("/healthz", 200), ("/readyz", 200), ("/v1/models", 200), ("/nothing", 404)):
        response, got = HTTP.head(url + path), HTTP.get(url + path)
        assert (response.status_code, response.content) == (status, b"")
        assert response.headers["Content-Length"] == str(len(got.content))
    assert HTTP.head(f"{url}/v1/check").status_code == 405
    assert 'medground_requests_total{path="/healthz",status="200"}' in HTTP.get(f"{url}/metrics").text


def test_requests_are_counted_by_route_and_not_by_path(tmp_path: Path) -> None:
    with running(make_service(ScriptedChain(), tmp_path)) as (url, _):
        for number in range(3):
            HTTP.get(f"{url}/v1/conversations/{number}")
            HTTP.get(f"{url}/nothing/{number}")
        metrics = HTTP.get(f"{url}/metrics").text
    assert 'medground_requests_total{path="/v1/conversations/{id}",status="404"} 3.0' in metrics
    assert 'medground_requests_total{path="other",status="404"} 3.0' in metrics


@pytest.mark.parametrize("path", ["/", "/v1/models", "/v1/conversations", "/nothing"])
def test_websocket_is_refused(url: str, path: str, caplog: pytest.LogCaptureFixture) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n"
    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    with caplog.at_level(logging.INFO):
        response = send(url, f"{head}{key}\r\n".encode())
    assert response.startswith("HTTP/1.1 400 ")
    assert "no WebSocket routes" in response
    assert "Traceback" not in caplog.text


def test_upgrade_to_http2_is_ignored(url: str) -> None:
    head = "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings, close\r\n"
    assert send(url, f"{head}Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n".encode()).startswith("HTTP/1.1 200 ")
