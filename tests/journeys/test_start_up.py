"""A warm library: what a process imports to answer, and what it sees of another process's work."""

import contextlib
import json
import os
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
HEAVY = (
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
HYBRID = "retrievers.both={kind: hybrid, retrievers: {dense: 0.5, bm25: 0.5}}"
QUESTION = "Does aspirin lower the risk of stroke?"
STORE = "--set=store.path=store"
EXACT = "--set=embedders.minilm.dtype=float32"

MODULES = """
import json, sys
from medground.cli import main
for arguments in {commands}:
    try:
        main(arguments)
    except SystemExit as ended:
        loaded = [name for name in {heavy} if name in sys.modules]
        print(json.dumps([arguments, ended.code, loaded]), file=sys.stderr)
"""

SEARCHING = """
import json, sys
from medground.pipeline import Pipeline
from medground.ingest import searched_corpus
from medground.settings import load_settings
settings = load_settings(None, {"store.path": "store", "embedders.minilm.dtype": "float32", "retrievers.both":
    {"kind": "hybrid", "retrievers": {"dense": 0.5, "bm25": 0.5}}, "retrievers.parts": {"kind": "parent"}})
pipeline = Pipeline.from_settings(settings, searched_corpus(settings), quiet=True)
retrievers = pipeline.retrievers(["dense", "bm25", "both", "parts"])
for question in sys.stdin:
    found = {name: [one.id for one in retriever.search([question], 9)[0]] for name, retriever in retrievers.items()}
    print(json.dumps(found), flush=True)
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def index(folder: Path, *arguments: str) -> None:
    """Bring the library up to date in this process; those that search are others."""
    from medground.cli import main

    with contextlib.chdir(folder), pytest.raises(SystemExit) as ended:
        main(["index", "docs", STORE, EXACT, "--quiet", *arguments])
    assert not ended.value.code


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
    """A copy of a library that is indexed."""
    return shutil.copytree(indexed, tmp_path, dirs_exist_ok=True)


def test_answering_from_a_warm_library_imports_no_heavy_library(library: Path) -> None:
    """One process asks with each retriever in turn: what one of them imports stays imported."""
    commands = [
        [command, QUESTION, STORE, f"--set=retriever={retriever}", f"--set={HYBRID}", EXACT, "--json"]
        for command in ("ask", "retrieve")
        for retriever in ("dense", "bm25", "both")
    ]
    code = MODULES.format(heavy=HEAVY, commands=commands)
    command_line = [sys.executable, "-c", code]
    done = subprocess.run(command_line, cwd=library, capture_output=True, text=True, env=environment(), check=True)
    ended = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("[[")]
    assert ended == [[command, 0, []] for command in commands]
    answers = read_json(done.stdout)
    assert len(answers) == len(commands)
    assert all(answer["passages"][0]["id"].startswith("docs/a.txt") for answer in answers)


def read_json(text: str) -> list[dict[str, Any]]:
    """The values that follow each other in a text."""
    values, place = [], 0
    while text[place:].strip():
        place += len(text[place:]) - len(text[place:].lstrip())
        value, place = json.JSONDecoder().raw_decode(text, place)
        values.append(value)
    return values


def test_a_running_process_sees_what_index_changed(library: Path) -> None:
    parts = "--set=retrievers.parts={kind: parent}"
    index(library, parts)
    searching = [sys.executable, "-c", SEARCHING]
    with subprocess.Popen(
        searching, cwd=library, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    ) as process:

        def ask(question: str) -> dict[str, list[str]]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(question + "\n")
            process.stdin.flush()
            found: dict[str, list[str]] = json.loads(process.stdout.readline())
            return found

        assert {name: ids[0] for name, ids in ask("aspirin stroke").items()} == dict.fromkeys(
            ["dense", "bm25", "both", "parts"], "docs/a.txt#1"
        )
        (library / "docs/a.txt").unlink()
        (library / "docs/c.txt").write_text("The measles vaccine was safe in children.")
        index(library, parts)
        for name, ids in ask("aspirin stroke").items():
            assert "docs/a.txt#1" not in ids, name
        for name, ids in ask("measles vaccine in children").items():
            assert ids[0] == "docs/c.txt#1", name


KILLED = """
import os, signal, sys
from medground.cli import main

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

import retrievers.indexing as indexing, retrievers.lexical as lexical
from retrievers.files.vectors import VectorFiles
match sys.argv[1]:
    case "embedding": indexing._store = kill
    case "removal": indexing._remove_others = kill
    case "vectors": VectorFiles.write = kill
    case "note":
        note = indexing._note
        indexing._note = lambda store, revision, *state: kill() if revision else note(store, revision, *state)
    case "former vectors": VectorFiles.remove_others = kill
    case "words": lexical._build = kill
    case "naming": lexical.write_whole = kill
main(["index", "docs", "--set=store.path=store", "--set=embedders.minilm.dtype=float32", "--quiet"])
"""


@pytest.mark.parametrize("moment", ["embedding", "removal", "vectors", "note", "former vectors", "words", "naming"])
def test_vectors_and_words_agree_after_a_kill(library: Path, moment: str, command: Callable[..., Any]) -> None:
    (library / "docs/a.txt").unlink()
    (library / "docs/c.txt").write_text("The measles vaccine was safe in children.")
    status, _ = run_code(KILLED, moment, cwd=library)
    assert status == -signal.SIGKILL
    done = command("index", "docs", STORE, EXACT, "--quiet")
    assert done.status == 0, done.err
    for retriever in ("dense", "bm25"):
        chosen = (STORE, EXACT, f"--set=retriever={retriever}", "--json")
        printed = command("retrieve", "measles vaccine aspirin stroke metformin", *chosen)
        found = {one["id"] for one in json.loads(printed.out)["passages"]}
        assert found == {"docs/b.txt#1", "docs/c.txt#1"}
