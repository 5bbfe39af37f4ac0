"""Start of the service: missing packages and a port in use."""

import importlib.util
import socket
from collections.abc import Callable
from typing import Any

import pytest

from common.errors import UserError
from medground.ingest import Corpus
from medground.pipeline import Pipeline
from medground.service import run


def test_missing_package_is_reported_with_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    run.check_installed()
    monkeypatch.setattr(run, "find_spec", lambda name: None if name == "itsdangerous" else find_spec(name))
    with pytest.raises(
        UserError, match=r"needs itsdangerous, which is not installed: pip install 'medground\[serve\]'"
    ):
        run.check_installed()


def test_port_in_use_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(UserError, match=rf"Cannot listen at 127\.0\.0\.1:{port}: Address already in use"):
            run.serve(Pipeline.from_settings({"serve.port": port}, Corpus("none", [])))


def test_host_may_be_an_ipv6_address_in_brackets(command: Callable[..., Any]) -> None:
    outcome = command("serve", "--host", "[::2]", "--port", "0", "--quiet")
    assert outcome.status == 1
    assert "medground: Cannot listen at [::2]:0: " in outcome.err


@pytest.mark.parametrize("host", ["\0", "[]", "x" * 64, "\ud800", "\u00e9" * 70, "256.1.1.1", "127.0.0.1:80"])
def test_host_that_cannot_be_an_address_is_reported(host: str) -> None:
    with pytest.raises(UserError, match=r"Cannot listen at .*Set serve\.host or serve\.port"):
        run._listen(host, 0)
