import importlib.util
import socket
import subprocess
import sys

import pytest

from common.errors import UserError
from medground.ingest import Corpus
from medground.service import run
from medground.settings import load_settings


def test_a_missing_package_is_reported_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    run.check_installed()
    monkeypatch.setattr(run, "find_spec", lambda name: None if name == "itsdangerous" else real(name))
    with pytest.raises(
        UserError, match=r"needs itsdangerous, which is not installed: pip install 'medground\[serve\]'"
    ):
        run.check_installed()


def test_a_port_in_use_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = load_settings(None, {"serve.port": port})
        with pytest.raises(UserError, match=rf"Cannot listen at 127\.0\.0\.1:{port}: Address already in use"):
            run.serve(settings, Corpus("none", []), quiet=True)


def test_the_command_line_does_not_load_the_servers_packages() -> None:
    code = (
        "import sys; import medground.cli; "
        "print([name for name in ('fastapi', 'uvicorn', 'itsdangerous', 'openai', 'httpx') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
