"""Refuse every connection beyond loopback, and write each attempt down.

Python runs a module of this name at its start when it lies on PYTHONPATH, so a test guards a subprocess by putting
this folder there and naming a file in MEDGROUND_GUARD_LOG. tests/conftest.py installs the same guard in pytest's own
process.
"""

import ipaddress
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any


class BeyondLoopbackError(AssertionError):
    """A connection that must not be opened."""


def is_loopback(host: object) -> bool:
    """Whether a host as the socket module takes it lies on this machine."""
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(host).partition("%")[0]).is_loopback
    except ValueError:
        return False


def install(record: Callable[[str], None]) -> None:
    """Patch the socket module: names are looked up, connected to and sent to on loopback only."""

    def check(verb: str, host: object) -> None:
        if not is_loopback(host):
            record(f"{verb} {host!r}")
            raise BeyondLoopbackError(f"{verb} {host!r}: no connection beyond loopback may be opened here")

    def guarded(name: str) -> None:
        original = getattr(socket.socket, name)

        def call(self: socket.socket, *args: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and isinstance(args[-1], tuple):
                check(name, args[-1][0])
            return original(self, *args)

        setattr(socket.socket, name, call)

    for name in ("connect", "connect_ex", "sendto"):
        guarded(name)
    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
        original = getattr(socket, name)

        def look_up(host: Any, *args: Any, _name: str = name, _original: Any = original, **kwargs: Any) -> Any:
            check(_name, host)
            return _original(host, *args, **kwargs)

        setattr(socket, name, look_up)


if log := os.environ.get("MEDGROUND_GUARD_LOG"):

    def _write(attempt: str) -> None:
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(f"{attempt}\n")

    install(_write)
