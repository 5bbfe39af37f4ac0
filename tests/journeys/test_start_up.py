"""An indexed library: imports of a process that answers, updates by another process, and killed updates."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forked import run_code

ROOT = Path(__file__).parents[2]
HEAVY_LIBRARIES = (
    "torch",
    "transformers",
    "sentence_transformers",
    "peft",
    "bitsandbytes",
    "sklearn",
    "datasets",
    "scipy",
    "bm25s",
)
HYBRID = "--set=retrievers.hybrid={kind: hybrid, retrievers: {dense: 0.5, bm25: 0.5}}"
QUESTION = "Does aspirin lower the risk of stroke?"
STORE = "--set=store.path=store"
FLOAT32 = "--set=embedders.minilm.dtype=float32"

# Runs each of the commands; prints its arguments, exit status and the heavy modules imported so far.
RUN_COMMANDS = """
import json, sys
from medground.cli import main
for arguments in {commands}:
    try:
        main(arguments)
    except SystemExit as exit:
        imported = [name for name in {heavy} if name in sys.modules]
        print(json.dumps([arguments, exit.code, imported]), file=sys.stderr)
"""

# Reads questions from stdin; prints the ids of the hits by retriever.
SEARCH = """
import json, sys
from medground.pipeline import Pipeline
from medground.ingest import searched_corpus
from medground.settings import load_settings
settings = load_settings(None, {"store.path": "store", "embedders.minilm.dtype": "float32", "retrievers.hybrid":
    {"kind": "hybrid", "retrievers": {"dense": 0.5, "bm25": 0.5}}, "retrievers.parent": {"kind": "parent"}})
pipeline = Pipeline.from_settings(settings, searched_corpus(settings), quiet=True)
retrievers = pipeline.retrievers(["dense", "bm25", "hybrid", "parent"])
for question in sys.stdin:
    ids = {name: [hit.id for hit in retriever.search([question], 9)[0]] for name, retriever in retrievers.items()}
    print(json.dumps(ids), flush=True)
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def index(folder: Path, *arguments: str) -> None:
    """Run ``medground index`` in this process."""
    from medground.cli import main

    with contextlib.chdir(folder), pytest.raises(SystemExit) as exit_info:
        main(["index", "docs", STORE, FLOAT32, "--quiet", *arguments])
    assert not exit_info.value.code


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("indexed")
    docs = folder / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text("Aspirin lowers the risk of stroke in adults with atrial fibrillation.")
    (docs / "b.txt").write_text("Metformin reduces blood glucose in people with type 2 diabetes.")
    index(folder)
    return folder


@pytest.fixture
def library(indexed: Path, tmp_path: Path) -> Path:
    """A copy of the indexed library that a test may change."""
    return shutil.copytree(indexed, tmp_path, dirs_exist_ok=True)


def test_answering_from_an_indexed_library_imports_no_heavy_library(library: Path) -> None:
    commands = [
        [command, QUESTION, STORE, f"--set=retriever={retriever}", HYBRID, FLOAT32, "--json"]
        for command in ("ask", "retrieve")
        for retriever in ("dense", "bm25", "hybrid")
    ]
    command_line = [sys.executable, "-c", RUN_COMMANDS.format(heavy=HEAVY_LIBRARIES, commands=commands)]
    process = subprocess.run(command_line, cwd=library, capture_output=True, text=True, env=environment(), check=True)
    exits = [json.loads(line) for line in process.stderr.splitlines() if line.startswith("[[")]
    assert exits == [[command, 0, []] for command in commands]
    answers = read_json(process.stdout)
    assert len(answers) == len(commands)
    assert all(answer["passages"][0]["id"].startswith("docs/a.txt") for answer in answers)


def read_json(text: str) -> list[dict[str, Any]]:
    """The concatenated JSON values in a text."""
    values = []
    while text := text.lstrip():
        value, end = json.JSONDecoder().raw_decode(text)
        values.append(value)
        text = text[end:]
    return values


def test_running_process_sees_updates_by_another_process(library: Path) -> None:
    parent = "--set=retrievers.parent={kind: parent}"
    index(library, parent)
    with subprocess.Popen(
        [sys.executable, "-c", SEARCH],
        cwd=library,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:

        def search(question: str) -> dict[str, list[str]]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(question + "\n")
            process.stdin.flush()
            ids: dict[str, list[str]] = json.loads(process.stdout.readline())
            return ids

        for name, ids in search("aspirin stroke").items():
            assert ids[0] == "docs/a.txt#1", name
        (library / "docs/a.txt").unlink()
        (library / "docs/c.txt").write_text("The measles vaccine was safe in children.")
        index(library, parent)
        for name, ids in search("aspirin stroke").items():
            assert "docs/a.txt#1" not in ids, name
        for name, ids in search("measles vaccine in children").items():
            assert ids[0] == "docs/c.txt#1", name


# Runs ``medground index`` and kills its process at the step that the argument names.
KILLED_INDEX = """
import os, signal, sys
from medground.cli import main

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

import retrievers.indexing as indexing, retrievers.lexical as lexical
from retrievers.files.vectors import VectorFiles
match sys.argv[1]:
    case "storing embeddings": indexing._store = kill
    case "removing embeddings": indexing._remove_others = kill
    case "writing the vector file": VectorFiles.new = kill
    case "recording the revision":
        record = indexing._record
        indexing._record = lambda store, revision, *state: kill() if revision else record(store, revision, *state)
    case "removing old vector files": VectorFiles.remove_others = kill
    case "building BM25": lexical._build = kill
    case "writing BM25": lexical.write_whole = kill
main(["index", "docs", "--set=store.path=store", "--set=embedders.minilm.dtype=float32", "--quiet"])
"""
STEPS = re.findall(r'case "(.+)":', KILLED_INDEX)


@pytest.mark.parametrize("step", STEPS)
def test_index_after_a_killed_index_completes_vectors_and_bm25(
    library: Path, step: str, command: Callable[..., Any]
) -> None:
    (library / "docs/a.txt").unlink()
    (library / "docs/c.txt").write_text("The measles vaccine was safe in children.")
    status, _ = run_code(KILLED_INDEX, step, cwd=library)
    assert status == -signal.SIGKILL
    outcome = command("index", "docs", STORE, FLOAT32, "--quiet")
    assert outcome.status == 0, outcome.err
    for retriever in ("dense", "bm25"):
        options = (STORE, FLOAT32, f"--set=retriever={retriever}", "--json")
        printed = command("retrieve", "measles vaccine aspirin stroke metformin", *options).out
        assert {passage["id"] for passage in json.loads(printed)["passages"]} == {"docs/b.txt#1", "docs/c.txt#1"}
