"""tests/guard: the guard against connections can fail, here and in a subprocess."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

GUARD = Path(__file__).with_name("guard")
BEYOND = ("192.0.2.1", 9)  # TEST-NET-1 (RFC 5737), which nothing answers


def test_a_connection_beyond_loopback_is_refused_and_noted(no_connection: list[str]) -> None:
    with socket.socket() as open_socket, pytest.raises(AssertionError, match="beyond loopback"):
        open_socket.connect(BEYOND)
    with pytest.raises(AssertionError, match="beyond loopback"):
        socket.getaddrinfo("example.org", 443)
    with socket.socket(type=socket.SOCK_DGRAM) as open_socket, pytest.raises(AssertionError):
        open_socket.sendto(b"x", BEYOND)
    assert len(no_connection) == 3
    no_connection.clear()


def test_loopback_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
        socket.create_connection(("localhost", server.getsockname()[1])).close()


def test_a_subprocess_is_guarded_too(tmp_path: Path) -> None:
    log = tmp_path / "guard.log"
    code = f"import socket\ntry: socket.create_connection({BEYOND!r})\nexcept AssertionError: pass"
    environment = {**os.environ, "PYTHONPATH": str(GUARD), "MEDGROUND_GUARD_LOG": str(log)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert "192.0.2.1" in log.read_text()
