"""Processes forked from one that has imported the libraries of ``medground index``: they start in a moment."""

import multiprocessing
import os
import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TextIO

import pytest

HELPERS = Path(__file__).parent


def start_code(code: str, *arguments: str, cwd: Path | None = None) -> tuple[BaseProcess, TextIO]:
    """``python -c CODE ARGUMENTS`` in the environment of this process, begun, and its standard output.

    It is killed like any process. Imports are not what is tested: many modules are there from the start.
    """
    context = _context()
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=_exec, args=(code, arguments, cwd, dict(os.environ), writer))
    process.start()
    writer.close()
    with reader:
        return process, os.fdopen(os.dup(reader.fileno()), encoding="utf-8")


def run_code(code: str, *arguments: str, cwd: Path | None = None) -> tuple[int | None, str]:
    """The exit status of ``python -c CODE ARGUMENTS``, negative after a signal, and what it printed."""
    process, stdout = start_code(code, *arguments, cwd=cwd)
    with stdout:
        printed = stdout.read()
    process.join()
    return process.exitcode, printed


def _exec(
    code: str, arguments: tuple[str, ...], cwd: Path | None, environment: Mapping[str, str], stdout: Connection
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    if cwd is not None:
        os.chdir(cwd)
    os.dup2(stdout.fileno(), 1)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.argv = ["-c", *arguments]
    exec(code, {"__name__": "__main__"})


def start_index(folder: Path, store: str, printed: Path) -> BaseProcess:
    """``medground index docs --json`` in ``folder``, begun; it is killed like any process.

    ``printed`` receives its output and ``printed.seconds`` the processor time of it and its child processes, from when
    the model is loaded and the store is open.
    """
    process = _context().Process(target=_index, args=(folder, store, printed))
    process.start()
    return process


def _context() -> ForkServerContext:
    """The fork server, started if it does not run; it finds the modules that it imports on PYTHONPATH."""
    from multiprocessing import forkserver

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["forked_libraries"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(HELPERS), str(HELPERS.parents[1])]))
        forkserver.ensure_running()
    return context


def _index(folder: Path, store: str, printed: Path) -> None:
    from medground.cli import main
    from medground.ingest import embedder_windows
    from medground.settings import load_settings
    from retrievers.embedders import make_embedder
    from retrievers.store import open_store

    os.chdir(folder)
    settings = load_settings(None, {"store.path": store, "embedders.minilm.dtype": "float32"})
    embedder_windows(settings)["minilm"].count(["warm up"])
    open_store(settings.store, "documents", make_embedder(settings.embedders["minilm"], settings.store))
    sys.stdout = printed.open("w", encoding="utf-8")
    started = sum(os.times()[:4])
    exact = ["--set", "embedders.minilm.dtype=float32"]
    try:
        main(["index", "docs", "--json", "--quiet", "--set", f"store.path={store}", *exact])
    finally:
        printed.with_suffix(".seconds").write_text(str(sum(os.times()[:4]) - started))
