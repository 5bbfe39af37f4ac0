"""Limits on connections and slow clients, malformed requests, and shutdown, over a real server on loopback."""

import logging
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from served import HTTP, ScriptedChain, ask, make_service, running, until

REQUEST_HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = b'{"messages": [{"role": "user", "content": "Does it help?"}]}'
VALID_REQUEST = REQUEST_HEAD + f"Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("service")
    with running(make_service(ScriptedChain(), folder, receive_timeout=1, connections=8)) as (address, _):
        yield address


@pytest.fixture(scope="module")
def short_timeout_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service that waits 0.3 seconds for a request."""
    service = make_service(ScriptedChain(), tmp_path_factory.mktemp("service"), receive_timeout=0.3)
    with running(service) as (address, _):
        yield address


def connect(url: str, sent: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), timeout=10)
    connection.sendall(sent)
    return connection


def received(connection: socket.socket) -> bytes:
    """All bytes until the service closes the connection."""
    chunks = []
    while chunk := connection.recv(65536):
        chunks.append(chunk)
    return b"".join(chunks)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"G",
        b"\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n",
        REQUEST_HEAD + b"Content-Length: 50\r\n\r\n",
        REQUEST_HEAD + b"Content-Length: 50\r\n\r\n{",
        REQUEST_HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{",
        REQUEST_HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
        VALID_REQUEST + b"GET",
    ],
)
def test_connection_with_an_incomplete_request_is_closed_after_the_timeout(short_timeout_url: str, sent: bytes) -> None:
    with connect(short_timeout_url, sent) as connection:  # raises after 10 seconds
        response = received(connection)
    # The response to the valid request comes first; h11 counts an empty line as a malformed request.
    status = b"200" if sent.startswith(VALID_REQUEST) else b"400" if sent == b"\r\n" else b"408"
    assert response.startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize(
    "start", [b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ", REQUEST_HEAD + b"Content-Length: 99\r\n\r\n"]
)
def test_sending_byte_by_byte_does_not_extend_the_timeout(short_timeout_url: str, start: bytes) -> None:
    started = time.monotonic()
    with connect(short_timeout_url, start) as connection, suppress(ConnectionResetError, BrokenPipeError):
        while time.monotonic() - started < 30:
            connection.sendall(b"x")
            time.sleep(0.05)
    assert time.monotonic() - started < 20


def test_incomplete_requests_do_not_block_other_clients(tmp_path: Path) -> None:
    with running(make_service(ScriptedChain(), tmp_path, receive_timeout=60, connections=8)) as (url, _):
        incomplete = [connect(url, b"GET /healthz HTTP/1.1\r\nHost:") for _ in range(40)]
        started = time.monotonic()
        assert ask(url).status_code == 200
        assert time.monotonic() - started < 30  # before the first incomplete request times out
        for connection in incomplete:
            connection.close()


def test_new_connection_gets_503_if_all_others_wait_for_answers(tmp_path: Path) -> None:
    release = threading.Event()
    service = make_service(ScriptedChain(release=release), tmp_path, connections=4, batch=1, wait_ms=0)
    with running(service) as (url, _), ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(ask, url, f"Is it {n}?") for n in range(4)]
        until(lambda: service.admission.active == 4)
        refused = HTTP.get(f"{url}/healthz")
        assert (refused.status_code, refused.headers["Connection"]) == (503, "close")
        assert "serve.connections" in refused.json()["error"]["message"]
        release.set()
        assert [future.result().status_code for future in futures] == [200] * 4


def test_nagle_s_algorithm_is_off(url: str) -> None:
    """Head and body are written one after the other; with Nagle's algorithm, the body would take 40 ms more."""
    with connect(url) as connection:
        response = connection.makefile("rb")
        times = []
        for _ in range(20):
            started = time.monotonic()
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            while response.readline() != b"\r\n":
                pass
            response.read(len('{"status":"ok"}'))
            times.append(time.monotonic() - started)
    assert sorted(times)[5] < 0.03  # a quantile, since other processes may delay some responses


def test_longest_idle_connection_is_closed_for_a_new_one(url: str) -> None:
    with httpx.Client(base_url=url, trust_env=False) as client:
        assert client.get("/healthz").status_code == 200
        others = [connect(url) for _ in range(8)]  # as many as serve.connections allows

        def is_answered() -> bool:
            try:
                return client.get("/healthz").status_code == 200  # over a new connection
            except httpx.RemoteProtocolError:  # httpx has not yet noticed that the old one is closed
                return False

        until(is_answered)
        for other in others:
            other.close()


def test_client_that_does_not_read_the_response_is_disconnected(tmp_path: Path) -> None:
    service = make_service(ScriptedChain(), tmp_path, receive_timeout=0.5)
    with running(service) as (url, server):
        id = ask(url, medground={"conversation": "new"}).json()["medground"]["conversation"]
        (turn,) = service.chat.conversations.read("local", id)
        service.chat.conversations.append("local", id, turn.model_copy(update={"text": "x" * 20_000_000}))
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(("127.0.0.1", int(url.rsplit(":", 1)[1])))
            slow.sendall(f"GET /v1/conversations/{id} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            until(lambda: len(server.server_state.connections) > 0)
            until(lambda: not server.server_state.connections, 15)
            assert len(received(slow)) < 20_000_000


@pytest.mark.parametrize(
    "sent",
    [
        VALID_REQUEST + b"NONSENSE\r\n\r\n",
        REQUEST_HEAD + b"Transfer-Encoding: chunked\r\n\r\nnothing\r\n",
        REQUEST_HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{xx",
        b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\nnothing\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 400_000,
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX : y\r\n\r\n",
        b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + b"9" * 90_000,
        b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nnothing\r\n",
        REQUEST_HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    ],
)
def test_malformed_request_is_refused_without_a_traceback(
    url: str, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), connect(url, sent) as connection:
        try:
            response = received(connection)
        except ConnectionResetError:
            response = b""
        assert ask(url).status_code == 200
    assert b" 500 " not in response
    if not sent.startswith(VALID_REQUEST):
        assert response == b"" or response.startswith(b"HTTP/1.1 4")
    assert_no_traceback(caplog)


def assert_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.exc_info]
    assert 'File "' not in caplog.text  # log_failure writes tracebacks without the heading


@pytest.mark.parametrize("phase", ["header", "body", "stream", "answer"])
def test_client_that_disconnects_leaves_no_traceback(
    tmp_path: Path, phase: str, caplog: pytest.LogCaptureFixture
) -> None:
    streamed = BODY[:-1] + b', "stream": true}'
    sent = {
        "header": REQUEST_HEAD,
        "body": REQUEST_HEAD + b"Content-Length: 50\r\n\r\n{",
        "stream": REQUEST_HEAD + f"Content-Length: {len(streamed)}\r\n\r\n".encode() + streamed,
        "answer": VALID_REQUEST,
    }[phase]
    service = make_service(ScriptedChain(seconds=0.3), tmp_path)
    with caplog.at_level(logging.INFO), running(service) as (url, server):
        connection = connect(url, sent)
        time.sleep(0.1)
        connection.close()
        until(lambda: not server.server_state.connections)
        until(lambda: service.admission.active == 0)
    assert_no_traceback(caplog)


def test_shutdown_answers_every_request_with_200_or_503(tmp_path: Path) -> None:
    service = make_service(ScriptedChain(seconds=0.05), tmp_path, queue=128)
    statuses_by_client: list[list[int]] = [[] for _ in range(64)]

    def ask_until_refused(url: str, statuses: list[int]) -> None:
        with httpx.Client(trust_env=False, timeout=30) as client:
            while not statuses or statuses[-1] == 200:
                body = {"messages": [{"role": "user", "content": "Does it help?"}]}
                statuses.append(client.post(f"{url}/v1/chat/completions", json=body).status_code)

    with ThreadPoolExecutor(64) as pool, running(service, quiet_seconds=0.5) as (url, server):
        futures = [pool.submit(ask_until_refused, url, statuses) for statuses in statuses_by_client]
        until(lambda: sum(map(len, statuses_by_client)) > 200, 30)
        server.should_exit = True
        for future in futures:
            future.result()  # raises if a connection was reset
    assert {statuses[-1] for statuses in statuses_by_client} == {503}


def test_shutdown_answers_connections_that_are_not_yet_accepted(tmp_path: Path) -> None:
    service = make_service(ScriptedChain(), tmp_path)
    with running(service, quiet_seconds=0.5) as (url, server):
        assert ask(url).status_code == 200
        blocked, unblock = threading.Event(), threading.Event()  # the event loop, which accepts connections
        server.servers[0].get_loop().call_soon_threadsafe(lambda: (blocked.set(), unblock.wait(5)))
        assert blocked.wait(5)
        waiting = [connect(url, VALID_REQUEST) for _ in range(20)]
        server.should_exit = True
        unblock.set()
        responses = [received(connection) for connection in waiting]
    assert {response[: len(b"HTTP/1.1 200")] for response in responses} <= {b"HTTP/1.1 200", b"HTTP/1.1 503"}
