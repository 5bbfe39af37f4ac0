"""Shared parts of the benchmarks. Import it before the model libraries: it turns their telemetry off."""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from common.errors import UserError

CONFIGS = Path(__file__).parents[1] / "configs"


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser with the option ``--output``."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--output", type=Path, help="JSON file for the figures")
    return made


def run(main: Callable[[], None]) -> None:
    """Run a benchmark; a mistake of the user or an unreadable file ends it with a message."""
    try:
        main()
    except (UserError, OSError) as error:
        sys.exit(str(error))


def write_report(path: Path | None, report: dict[str, Any]) -> None:
    """Write the figures with processor, threads and versions, if ``path`` is set."""
    if path is None:
        return
    from eval.results import versions, write_json

    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else None
    write_json(path, {"threads": threads, **report, "machine": machine, "versions": versions()})


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {"median": statistics.median(values), "least": min(values), "greatest": max(values)}


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """The spread of the rounds' ratios."""
    return spread([a / b for a, b in zip(ours, theirs, strict=True)])


def shown(of: dict[str, float]) -> str:
    """A spread as text."""
    return f"{of['median']:.2f} ({of['least']:.2f} to {of['greatest']:.2f})"


def child(*arguments: str) -> dict[str, Any]:
    """Run this script in a process of its own; the result is the JSON in its last line of stdout.

    Raises:
        UserError: the process failed.
    """
    command = [sys.executable, sys.argv[0], *arguments]
    outcome = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if outcome.returncode:
        raise UserError(f"{' '.join(arguments)} ended with status {outcome.returncode}; its message is above.")
    found: dict[str, Any] = json.loads(outcome.stdout.splitlines()[-1])
    return found


def peak_mb() -> float:
    """Peak memory of this process in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage may return the memory of the parent process here
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
