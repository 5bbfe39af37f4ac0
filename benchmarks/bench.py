"""Shared functions of the benchmarks. Import it before the model libraries: ``common`` turns off their telemetry."""

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


def make_parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser with the description ``doc`` and the option ``--output``."""
    new = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    new.add_argument("--output", type=Path, help="JSON file for the figures")
    return new


def run(main: Callable[[], None]) -> None:
    """Run a benchmark; a ``UserError`` or ``OSError`` ends it with a message instead of a traceback."""
    try:
        main()
    except (UserError, OSError) as error:
        sys.exit(str(error))


def write_report(path: Path | None, report: dict[str, Any]) -> None:
    """Write the figures, with processor, number of threads and versions of packages, unless ``path`` is None."""
    if path is None:
        return
    from eval.results import versions, write_json

    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else None
    write_json(path, {"threads": threads, **report, "machine": machine, "versions": versions()})


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, minimum and maximum of values."""
    return {"median": statistics.median(values), "least": min(values), "greatest": max(values)}


def ratio_spread(numerators: Sequence[float], denominators: Sequence[float]) -> dict[str, float]:
    """The ``spread`` of the ratios, one for each round."""
    return spread([a / b for a, b in zip(numerators, denominators, strict=True)])


def format_spread(values: dict[str, float]) -> str:
    """A ``spread`` as text."""
    return f"{values['median']:.2f} ({values['least']:.2f} to {values['greatest']:.2f})"


def run_in_child(*arguments: str) -> dict[str, Any]:
    """Run this script with ``arguments`` in a new process; returns the JSON object in its last line of output.

    Raises:
        UserError: the process failed.
    """
    command = [sys.executable, sys.argv[0], *arguments]
    outcome = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if outcome.returncode:
        raise UserError(f"{' '.join(arguments)} ended with status {outcome.returncode}; its message is above.")
    result: dict[str, Any] = json.loads(outcome.stdout.splitlines()[-1])
    return result


def peak_mib() -> float:
    """Peak memory of this process in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux, where getrusage may return the parent process's peak
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return max_rss_mib(resource.getrusage(resource.RUSAGE_SELF))


def max_rss_mib(usage: resource.struct_rusage) -> float:
    """Peak memory in MiB; the system reports bytes on macOS and KiB on Linux."""
    return usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
