"""``medground serve`` in a process of its own."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

GUARD = Path(__file__).parents[1] / "guard"


@contextmanager
def serving(
    folder: Path, *arguments: str, before: Callable[[], None] | None = None
) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Yields the address and the process.

    ``before`` runs in the child process before the server starts (``preexec_fn``). The test fails if the server tried
    to connect beyond loopback, or left a file in its temporary folder.
    """
    log = folder / "guard.log"
    (temporary := folder / "tmp").mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(GUARD), "MEDGROUND_GUARD_LOG": str(log), "OMP_NUM_THREADS": "1"}
    environment["TMPDIR"] = str(temporary)
    command = [sys.executable, "-m", "medground", "serve", "--port", "0", "--quiet", *arguments]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=before
    ) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"Serving at (\S+);", line):
                break
        else:
            pytest.fail("".join(said))
        try:
            yield found[1], process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
    assert not log.exists(), log.read_text()
    left = [path for path in temporary.rglob("*") if path.is_file()]
    assert not left, left  # a leftover file could contain a user's text
