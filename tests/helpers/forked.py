"""``medground index`` in processes forked from one that has imported the libraries: they start in a moment."""

import multiprocessing
import os
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

HELPERS = Path(__file__).parent


def start_index(folder: Path, store: str, printed: Path) -> BaseProcess:
    """``medground index docs --json`` in ``folder``, begun; it is killed like any process.

    ``printed`` receives its output and ``printed.seconds`` the processor time of it and its child processes, from when
    the model is loaded and the store is open.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["forked_libraries"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(HELPERS), str(HELPERS.parents[1])]))
        process = context.Process(target=_index, args=(folder, store, printed))
        process.start()
    return process


def _index(folder: Path, store: str, printed: Path) -> None:
    from medground.cli import main
    from medground.ingest import embedder_windows
    from medground.settings import load_settings
    from retrievers.embedders import make_embedder
    from retrievers.store import open_store

    os.chdir(folder)
    settings = load_settings(None, {"store.path": store})
    embedder_windows(settings)["minilm"].count(["warm up"])
    open_store(settings.store, "documents", make_embedder(settings.embedders["minilm"], settings.store))
    sys.stdout = printed.open("w", encoding="utf-8")
    started = sum(os.times()[:4])
    try:
        main(["index", "docs", "--json", "--quiet", "--set", f"store.path={store}"])
    finally:
        printed.with_suffix(".seconds").write_text(str(sum(os.times()[:4]) - started))
