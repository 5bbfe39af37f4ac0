"""Network guard: refuses every connection beyond loopback and records the attempt.

Python imports a module named sitecustomize at its start. A test guards a subprocess by putting this folder on
PYTHONPATH and naming a log file in MEDGROUND_GUARD_LOG. tests/conftest.py installs the guard in pytest's process.
"""

import ipaddress
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any


class BeyondLoopbackError(AssertionError):
    """A connection, or the lookup of a host name, beyond loopback was attempted."""


def is_loopback(host: object) -> bool:
    """Whether ``host``, an argument of the socket module's functions, is this machine."""
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(host).partition("%")[0]).is_loopback
    except ValueError:
        return False


def install(record: Callable[[str], None]) -> None:
    """Patch the socket module to look up, connect and send to loopback only; ``record`` receives each refused call."""

    def check(function: str, host: object) -> None:
        if not is_loopback(host):
            record(f"{function} {host!r}")
            raise BeyondLoopbackError(f"{function} {host!r}: no connection beyond loopback may be opened here")

    def guard_method(name: str) -> None:
        original = getattr(socket.socket, name)

        def guarded(self: socket.socket, *args: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and isinstance(args[-1], tuple):
                check(name, args[-1][0])  # the last argument is the address, (host, port, ...)
            return original(self, *args)

        setattr(socket.socket, name, guarded)

    def guard_lookup(name: str) -> None:
        original = getattr(socket, name)

        def guarded(host: Any, *args: Any, **kwargs: Any) -> Any:
            check(name, host)
            return original(host, *args, **kwargs)

        setattr(socket, name, guarded)

    for name in ("connect", "connect_ex", "sendto"):
        guard_method(name)
    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
        guard_lookup(name)


if log := os.environ.get("MEDGROUND_GUARD_LOG"):

    def _append_to_log(refused: str) -> None:
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(f"{refused}\n")

    install(_append_to_log)
