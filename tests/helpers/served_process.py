"""``medground serve`` in a subprocess."""

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
    folder: Path, *arguments: str, preexec: Callable[[], None] | None = None
) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Run ``medground serve ARGUMENTS`` in ``folder``; yields the server's URL and the process.

    ``preexec`` runs in the child process before the server starts. The test fails if the server tried to connect beyond
    loopback, or left a file in its temporary folder, since the file could contain a user's text.
    """
    log = folder / "guard.log"
    (temporary := folder / "tmp").mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(GUARD), "MEDGROUND_GUARD_LOG": str(log), "OMP_NUM_THREADS": "1"}
    environment["TMPDIR"] = str(temporary)
    command = [sys.executable, "-m", "medground", "serve", "--port", "0", "--quiet", *arguments]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=preexec
    ) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if started := re.search(r"Serving at (\S+);", line):
                break
        else:
            pytest.fail("".join(lines))
        try:
            yield started[1], process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
    assert not log.exists(), log.read_text()
    leftovers = [path for path in temporary.rglob("*") if path.is_file()]
    assert not leftovers, leftovers
