"""tests/guard: connections beyond loopback are refused, in pytest's process and in a subprocess."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

GUARD = Path(__file__).with_name("guard")
PUBLIC_ADDRESS = ("192.0.2.1", 9)  # TEST-NET-1 (RFC 5737), reserved for examples: nothing answers there


def test_public_addresses_are_refused_and_recorded(refused_connections: list[str]) -> None:
    with socket.socket() as tcp, pytest.raises(AssertionError, match="beyond loopback"):
        tcp.connect(PUBLIC_ADDRESS)
    with pytest.raises(AssertionError, match="beyond loopback"):
        socket.getaddrinfo("example.org", 443)
    with socket.socket(type=socket.SOCK_DGRAM) as udp, pytest.raises(AssertionError, match="beyond loopback"):
        udp.sendto(b"x", PUBLIC_ADDRESS)
    assert len(refused_connections) == 3
    refused_connections.clear()  # else the fixture fails this test


def test_loopback_is_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
        socket.create_connection(("localhost", server.getsockname()[1])).close()


def test_a_refused_connection_of_a_subprocess_is_logged(tmp_path: Path) -> None:
    log = tmp_path / "guard.log"
    code = f"import socket\ntry: socket.create_connection({PUBLIC_ADDRESS!r})\nexcept AssertionError: pass"
    environment = {**os.environ, "PYTHONPATH": str(GUARD), "MEDGROUND_GUARD_LOG": str(log)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert PUBLIC_ADDRESS[0] in log.read_text()
