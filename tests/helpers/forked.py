"""Subprocesses that start fast, because they are forked from a process that has imported the heavy libraries."""

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
    """Start ``python -c CODE ARGUMENTS`` with this process's environment; returns the process and its stdout.

    Many modules are imported before the code starts, so it cannot test imports.
    """
    context = _context()
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=_exec, args=(code, arguments, cwd, dict(os.environ), writer))
    process.start()
    writer.close()
    with reader:
        return process, os.fdopen(os.dup(reader.fileno()), encoding="utf-8")


def run_code(code: str, *arguments: str, cwd: Path | None = None) -> tuple[int | None, str]:
    """Run ``python -c CODE ARGUMENTS``; returns the exit status, negative after a signal, and its stdout."""
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
    """Start ``medground index docs --json`` in ``folder``, with the model loaded and the store open.

    The command's output is written to ``printed``. The processor time in seconds of the command and its child processes
    is written to the same path with the suffix .seconds.
    """
    process = _context().Process(target=_index, args=(folder, store, printed))
    process.start()
    return process


def _context() -> ForkServerContext:
    """The context of the fork server, which is started if necessary, with ``forked_libraries`` imported."""
    from multiprocessing import forkserver

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["forked_libraries"])
    with pytest.MonkeyPatch.context() as patch:  # the fork server finds forked_libraries on PYTHONPATH
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
    overrides = ["--set", f"store.path={store}", "--set", "embedders.minilm.dtype=float32"]
    started = sum(os.times()[:4])  # user and system time of the process and of its children
    try:
        main(["index", "docs", "--json", "--quiet", *overrides])
    finally:
        printed.with_suffix(".seconds").write_text(str(sum(os.times()[:4]) - started))
