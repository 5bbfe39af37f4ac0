"""Limits on connections, and the shutdown, over a real server on loopback."""

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
from served import HTTP, Scripted, ask, make_service, running, until

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = b'{"messages": [{"role": "user", "content": "Does it help?"}]}'
WHOLE = HEAD + f"Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("service")
    with running(make_service(Scripted(), folder, receive_timeout=1, connections=8)) as (address, _):
        yield address


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service with a short time to receive a request."""
    with running(make_service(Scripted(), tmp_path_factory.mktemp("service"), receive_timeout=0.3)) as (address, _):
        yield address


def connect(url: str, sent: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), timeout=10)
    connection.sendall(sent)
    return connection


def received(connection: socket.socket) -> bytes:
    """Everything until the service closes the connection."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"G",
        b"\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n",
        HEAD + b"Content-Length: 50\r\n\r\n",
        HEAD + b"Content-Length: 50\r\n\r\n{",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
        WHOLE + b"GET",
    ],
)
def test_a_half_sent_request_is_closed_in_time(impatient: str, sent: bytes) -> None:
    started = time.monotonic()
    with connect(impatient, sent) as connection:
        answer = received(connection)
    assert time.monotonic() - started < 9  # the client itself gives up after 10 seconds
    status = b"200" if sent.startswith(WHOLE) else b"400" if sent == b"\r\n" else b"408"
    assert answer.startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize(
    "start", [b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ", HEAD + b"Content-Length: 99\r\n\r\n"]
)
def test_sending_byte_by_byte_gains_no_time(impatient: str, start: bytes) -> None:
    started = time.monotonic()
    with connect(impatient, start) as connection, suppress(ConnectionResetError, BrokenPipeError):
        while time.monotonic() - started < 30:
            connection.sendall(b"x")
            time.sleep(0.05)
    assert time.monotonic() - started < 20


def test_many_half_sent_requests_hold_up_nobody(tmp_path: Path) -> None:
    with running(make_service(Scripted(), tmp_path, receive_timeout=60, connections=8)) as (url, _):
        half = [connect(url, b"GET /healthz HTTP/1.1\r\nHost:") for _ in range(40)]
        started = time.monotonic()
        assert ask(url).status_code == 200
        assert time.monotonic() - started < 30  # before the first of them times out
        for connection in half:
            connection.close()


def test_connections_that_are_being_answered_are_not_closed(tmp_path: Path) -> None:
    release = threading.Event()
    service = make_service(Scripted(release=release), tmp_path, connections=4, batch=1, wait_ms=0)
    with running(service) as (url, _), ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(ask, url, f"Is it {n}?") for n in range(4)]
        until(lambda: service.admission.active == 4)
        refused = HTTP.get(f"{url}/healthz")
        assert (refused.status_code, refused.headers["Connection"]) == (503, "close")
        assert "serve.connections" in refused.json()["error"]["message"]
        release.set()
        assert [answer.result().status_code for answer in answers] == [200] * 4


def test_an_answer_does_not_wait_for_acknowledgements(url: str) -> None:
    """Head and body are written one after the other; with Nagle's algorithm, the body would take 40 ms more."""
    with connect(url) as connection:
        answers = connection.makefile("rb")
        times = []
        for _ in range(20):
            began = time.monotonic()
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            while answers.readline() != b"\r\n":
                pass
            answers.read(len('{"status":"ok"}'))
            times.append(time.monotonic() - began)
    assert sorted(times)[5] < 0.03


def test_an_idle_connection_makes_room(url: str) -> None:
    with httpx.Client(base_url=url, trust_env=False) as idle:
        assert idle.get("/healthz").status_code == 200
        others = [connect(url) for _ in range(8)]

        def answered() -> bool:
            try:
                return idle.get("/healthz").status_code == 200  # over a new connection
            except httpx.RemoteProtocolError:  # sent before the old one was seen to be closed
                return False

        until(answered)
        for other in others:
            other.close()


def test_a_client_that_does_not_read_is_dropped(tmp_path: Path) -> None:
    service = make_service(Scripted(), tmp_path, receive_timeout=0.5)
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
        WHOLE + b"NONSENSE\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nnothing\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{xx",
        b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\nnothing\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 400_000,
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX : y\r\n\r\n",
        b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + b"9" * 90_000,
        b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nnothing\r\n",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    ],
)
def test_a_malformed_request_is_refused_without_a_traceback(
    url: str, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), connect(url, sent) as connection:
        try:
            answer = received(connection)
        except ConnectionResetError:
            answer = b""
        assert ask(url).status_code == 200
    assert b" 500 " not in answer
    if not sent.startswith(WHOLE):
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.exc_info]
    assert 'File "' not in caplog.text


@pytest.mark.parametrize("when", ["header", "body", "stream", "answer"])
def test_a_client_that_disconnects_leaves_no_traceback(
    tmp_path: Path, when: str, caplog: pytest.LogCaptureFixture
) -> None:
    streamed = BODY[:-1] + b', "stream": true}'
    sent = {
        "header": HEAD,
        "body": HEAD + b"Content-Length: 50\r\n\r\n{",
        "stream": HEAD + f"Content-Length: {len(streamed)}\r\n\r\n".encode() + streamed,
        "answer": WHOLE,
    }[when]
    service = make_service(Scripted(seconds=0.3), tmp_path)
    with caplog.at_level(logging.INFO), running(service) as (url, server):
        connection = connect(url, sent)
        time.sleep(0.1)
        connection.close()
        until(lambda: not server.server_state.connections)
        until(lambda: service.admission.active == 0)
    assert 'File "' not in caplog.text
    assert not [record for record in caplog.records if record.exc_info]


def test_the_shutdown_answers_or_refuses_every_request(tmp_path: Path) -> None:
    """Each of 64 clients ends with 503, never with a reset, and no answer is lost."""
    service = make_service(Scripted(seconds=0.05), tmp_path, queue=128)
    statuses: list[list[int]] = [[] for _ in range(64)]

    def client(url: str, own: list[int]) -> None:
        with httpx.Client(trust_env=False, timeout=30) as http:
            while not own or own[-1] == 200:
                body = {"messages": [{"role": "user", "content": "Does it help?"}]}
                own.append(http.post(f"{url}/v1/chat/completions", json=body).status_code)

    with ThreadPoolExecutor(64) as pool, running(service, quiet_seconds=0.5) as (url, server):
        done = [pool.submit(client, url, own) for own in statuses]
        until(lambda: sum(map(len, statuses)) > 200, 30)
        server.should_exit = True
        for one in done:
            one.result()  # raises where a connection was reset
    assert {own[-1] for own in statuses} == {503}


def test_connections_that_were_not_accepted_yet_are_answered_too(tmp_path: Path) -> None:
    service = make_service(Scripted(), tmp_path)
    with running(service, quiet_seconds=0.5) as (url, server):
        assert ask(url).status_code == 200
        blocked, go_on = threading.Event(), threading.Event()
        server.servers[0].get_loop().call_soon_threadsafe(lambda: (blocked.set(), go_on.wait(5)))
        assert blocked.wait(5)
        waiting = [connect(url, WHOLE) for _ in range(20)]
        server.should_exit = True
        go_on.set()
        answers = [received(connection) for connection in waiting]
    assert {answer[:12] for answer in answers} <= {b"HTTP/1.1 200", b"HTTP/1.1 503"}
