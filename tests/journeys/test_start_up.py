"""A warm library: what a process imports to answer, and what it sees of another process's work."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "sentence_transformers", "peft", "bitsandbytes", "sklearn", "datasets")
HYBRID = "retrievers.both={kind: hybrid, retrievers: {dense: 0.5, bm25: 0.5}}"
QUESTION = "Does aspirin lower the risk of stroke?"
STORE = "--set=store.path=store"

MODULES = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps([name for name in {heavy} if name in sys.modules]), file=sys.stderr))
from medground.cli import main
main({arguments})
"""

SEARCHING = """
import json, sys
from medground.pipeline import Pipeline
from medground.ingest import searched_corpus
from medground.settings import load_settings
settings = load_settings(None, {"store.path": "store", "retrievers.both":
    {"kind": "hybrid", "retrievers": {"dense": 0.5, "bm25": 0.5}}, "retrievers.parts": {"kind": "parent"}})
pipeline = Pipeline.from_settings(settings, searched_corpus(settings), quiet=True)
retrievers = pipeline.retrievers(["dense", "bm25", "both", "parts"])
for question in sys.stdin:
    found = {name: [one.id for one in retriever.search([question], 9)[0]] for name, retriever in retrievers.items()}
    print(json.dumps(found), flush=True)
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def medground(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "medground", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, env=environment())


@pytest.fixture
def library(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text("Aspirin lowers the risk of stroke in adults with atrial fibrillation.")
    (docs / "b.txt").write_text("Metformin reduces blood glucose in people with type 2 diabetes.")
    medground(tmp_path, "index", "docs", STORE, "--set=embedders.minilm.dtype=float32", "--quiet")
    return tmp_path


@pytest.mark.parametrize("command", ["ask", "retrieve"])
@pytest.mark.parametrize("retriever", ["dense", "bm25", "both"])
def test_answering_from_a_warm_library_imports_no_torch(library: Path, command: str, retriever: str) -> None:
    settings = [STORE, f"--set=retriever={retriever}", f"--set={HYBRID}", "--set=embedders.minilm.dtype=float32"]
    code = MODULES.format(heavy=HEAVY, arguments=[command, QUESTION, *settings, "--json"])
    command_line = [sys.executable, "-c", code]
    done = subprocess.run(command_line, cwd=library, capture_output=True, text=True, env=environment(), check=True)
    assert json.loads(done.stderr.splitlines()[-1]) == []
    assert json.loads(done.stdout)["passages"][0]["id"].startswith("docs/a.txt")


def test_a_running_process_sees_what_index_changed(library: Path) -> None:
    parts = "--set=retrievers.parts={kind: parent}"
    medground(library, "index", "docs", STORE, parts, "--quiet")
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
        medground(library, "index", "docs", STORE, parts, "--quiet")
        for name, ids in ask("aspirin stroke").items():
            assert "docs/a.txt#1" not in ids, name
        for name, ids in ask("measles vaccine in children").items():
            assert ids[0] == "docs/c.txt#1", name


KILLED = """
import os, signal, sys
from medground.cli import main

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

import retrievers.indexing as indexing, retrievers.lexical as lexical, medground.ingest as corpora
match sys.argv[1]:
    case "embedding": indexing._store = kill
    case "removal": indexing._remove_others = kill
    case "note": indexing._note = lambda store, revision, **_: None if revision is None else kill()
    case "words": lexical._build = kill
    case "naming": lexical.write_whole = kill
main(["index", "docs", "--set=store.path=store", "--set=embedders.minilm.dtype=float32", "--quiet"])
"""


@pytest.mark.parametrize("moment", ["embedding", "removal", "note", "words", "naming"])
def test_vectors_and_words_agree_after_a_kill(library: Path, moment: str) -> None:
    (library / "docs/a.txt").unlink()
    (library / "docs/c.txt").write_text("The measles vaccine was safe in children.")
    killed = subprocess.run([sys.executable, "-c", KILLED, moment], cwd=library, env=environment(), check=False)
    assert killed.returncode == -signal.SIGKILL
    exact = "--set=embedders.minilm.dtype=float32"
    medground(library, "index", "docs", STORE, exact, "--quiet")
    for retriever in ("dense", "bm25"):
        chosen = (STORE, exact, f"--set=retriever={retriever}", "--json")
        printed = medground(library, "retrieve", "measles vaccine aspirin stroke metformin", *chosen)
        found = {one["id"] for one in json.loads(printed.stdout)["passages"]}
        assert found == {"docs/b.txt#1", "docs/c.txt#1"}
