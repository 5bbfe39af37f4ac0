"""For every test: nothing is connected to beyond loopback, and an attempt fails the test that made it."""

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
os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")  # bitsandbytes imports the compiler, and uses it on no CPU
import sitecustomize as guard  # noqa: E402  (the folder had to come first)

if not hasattr(guard, "BeyondLoopbackError"):  # the interpreter had one of its own, loaded at its start
    del sys.modules["sitecustomize"]
    import sitecustomize as guard

_attempts: list[str] = []
guard.install(_attempts.append)
_guarded_connect = socket.socket.connect


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect the tests, which is mostly imports, without garbage collection, and leave the imports out of it later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 10, 10)
        gc.enable()


@pytest.fixture(autouse=True, scope="module")
def leave_imports_out_of_garbage_collection() -> Iterator[None]:
    """Leave what a test file has imported out of the later passes, too; a pass over all of it takes 0.2 s."""
    before = len(sys.modules)
    yield
    if len(sys.modules) > before + 50:
        gc.collect()
        gc.freeze()


@pytest.fixture(autouse=True)
def no_connection(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """The attempts of this test; none may be left in it at the end, also when the code swallowed the error."""
    assert socket.socket.connect is _guarded_connect, "a pytest plugin has removed the guard against connections"
    _attempts.clear()
    yield _attempts
    if _attempts:
        pytest.fail(f"{request.node.name} tried to reach beyond loopback: {'; '.join(_attempts)}")


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit status and what it printed."""

    status: int
    out: str
    err: str


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Run ``medground ARGUMENTS`` in this process, in an empty folder; an exception that it lets out is a traceback."""
    from medground.cli import main

    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        printed = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), printed.out, printed.err)

    return run


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def medground(tmp_path: Path) -> Iterator[Run]:
    """Run ``medground ARGUMENTS`` in a process of its own, guarded, in an empty folder; its attempts fail the test."""
    log = tmp_path / "guard.log"
    path = os.pathsep.join([str(GUARD), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "MEDGROUND_GUARD_LOG": str(log)}

    def run(
        *arguments: str, cwd: Path = tmp_path, within: Sequence[str] = (), **more: str
    ) -> "subprocess.CompletedProcess[str]":
        command = [*within, sys.executable, "-m", "medground", *arguments]
        return subprocess.run(
            command, cwd=cwd, env={**environment, **more}, capture_output=True, text=True, timeout=600, check=False
        )

    yield run
    if log.exists():
        pytest.fail(f"a command tried to reach beyond loopback: {log.read_text()}")


@pytest.fixture(scope="session")
def chat_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chat model of random weights in the embedded architecture, small enough to be trained in a test."""
    from checkpoints import make_chat

    return make_chat(tmp_path_factory.mktemp("base") / "model", window=256)


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model as a GGUF file."""
    from gguf_files import write_gguf

    from chains.models.local import EMBEDDED

    return write_gguf(EMBEDDED, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="session")
def pair_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in MedNLI's form with two dozen training and six dev pairs."""
    from qlora_runs import write_pairs

    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder, "train", 24)
    write_pairs(folder, "dev", 6)
    return folder
