"""Fixtures for all tests, and the network guard: a connection beyond loopback fails the test that attempts it."""

import gc
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.register_assert_rewrite("retriever_contract", "embedder_contract", "reader_contract", "task_contract")
GUARD = Path(__file__).with_name("guard")
sys.path.insert(0, str(GUARD))
os.environ.pop("MEDGROUND_GUARD_LOG", None)
os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")  # bitsandbytes imports the slow compiler but needs it on GPUs only
import sitecustomize as guard  # noqa: E402  (imported from GUARD, which must be on sys.path)

if not hasattr(guard, "BeyondLoopbackError"):  # Python has loaded another sitecustomize at its start
    del sys.modules["sitecustomize"]
    import sitecustomize as guard

_refused: list[str] = []
guard.install(_refused.append)
_guarded_connect = socket.socket.connect


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Speed up collection and tests: collect without garbage collection, then exempt the imported objects from it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 10, 10)
        gc.enable()


@pytest.fixture(autouse=True, scope="module")
def exempt_imports_from_garbage_collection() -> Iterator[None]:
    """Exempt the modules that a test file has imported while it ran; a collection that visits them takes 0.2 s."""
    modules_before = len(sys.modules)
    yield
    if len(sys.modules) > modules_before + 50:  # the collection below takes longer than fewer modules save
        gc.collect()
        gc.freeze()


@pytest.fixture(autouse=True)
def refused_connections(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """The connections that the guard refused in this test; one fails the test, even if the code swallowed the error."""
    assert socket.socket.connect is _guarded_connect, "a pytest plugin has removed the guard against connections"
    _refused.clear()
    yield _refused
    if _refused:
        pytest.fail(f"{request.node.name} tried to reach beyond loopback: {'; '.join(_refused)}")


@dataclass(frozen=True)
class Outcome:
    """The exit status of a command and what it printed to stdout and stderr."""

    status: int
    out: str
    err: str


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Outcome]]:
    """Run ``medground ARGUMENTS`` in this process, in an empty folder; an uncaught exception fails the test."""
    from medground.cli import main

    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_info:
            main(arguments)
        printed = capsys.readouterr()
        return Outcome(int(exit_info.value.code or 0), printed.out, printed.err)

    umask = os.umask(0o022)  # ``serve`` changes it for the whole process
    os.umask(umask)
    yield run
    os.umask(umask)


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def medground(tmp_path: Path) -> Iterator[Run]:
    """Run ``medground ARGUMENTS`` in a guarded subprocess, in an empty folder; a refused connection fails the test.

    ``prefix`` is put before the command line, and the other keywords are environment variables.
    """
    log = tmp_path / "guard.log"
    path = os.pathsep.join([str(GUARD), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "MEDGROUND_GUARD_LOG": str(log)}

    def run(
        *arguments: str, cwd: Path = tmp_path, prefix: Sequence[str] = (), **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        command = [*prefix, sys.executable, "-m", "medground", *arguments]
        env = {**environment, **variables}
        return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=600, check=False)

    yield run
    if log.exists():
        pytest.fail(f"a command tried to reach beyond loopback: {log.read_text()}")


@pytest.fixture(scope="session")
def chat_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random chat model in medground-tiny's architecture, small enough to be trained in a test."""
    from checkpoints import make_chat

    return make_chat(tmp_path_factory.mktemp("base") / "model", window=256)


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """medground-tiny, the embedded model, as a GGUF file."""
    from gguf_files import write_gguf

    from chains.models.local import EMBEDDED

    return write_gguf(EMBEDDED, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="session")
def pair_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in MedNLI's format with 24 training and 6 dev pairs."""
    from qlora_runs import write_pairs

    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder, "train", 24)
    write_pairs(folder, "dev", 6)
    return folder
