"""Commands with the default settings work offline.

The network guard of conftest.py fails a test whose Python code attempts a connection beyond loopback. The slow test
covers native code, too: if the system permits, it runs in a network namespace without interfaces.
"""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from corpus.documents.catalogue import document_text
from medground.ingest import library_path
from medground.settings import load_settings

Run = Callable[..., Any]  # fixture ``command`` runs medground in this process, ``medground`` in a subprocess


def stdout(outcome: Any) -> str:
    """The output of a run of ``command``, which must have succeeded."""
    assert outcome.status == 0, outcome.err
    return str(outcome.out)


def test_documents_are_indexed_retrieved_and_quoted(command: Run, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "heparin.md").write_text("# Heparin\n\nHeparin prevented clots in 40 patients.")
    (tmp_path / "notes" / "statins.txt").write_text("Statins lowered cholesterol.")
    assert json.loads(stdout(command("index", "notes", "--json")))["passages"] == 2
    best = json.loads(stdout(command("retrieve", "What prevents clots?", "--json")))["passages"][0]
    assert best["id"] == "notes/heparin.md#1"
    assert best["metadata"]["source"] == "notes/heparin.md"
    assert "notes/heparin.md#1" in stdout(command("retrieve", "clots", "--set", "retriever=bm25"))
    answer = json.loads(stdout(command("ask", "Does heparin prevent clots?", "--json")))
    citation = answer["citations"][0]
    assert citation["quote"] == "Heparin prevented clots in 40 patients."
    (passage,) = (passage for passage in answer["passages"] if passage["id"] == citation["passage_id"])
    start = passage["metadata"]["start"]
    text = document_text(library_path(load_settings(None)), best["id"])
    assert text[start + citation["start"] : start + citation["end"]] == citation["quote"]
    assert "notes/heparin.md, section Heparin)" in stdout(command("ask", "Does heparin prevent clots?"))


def test_index_eval_and_ask_work_on_the_sample(command: Run, tmp_path: Path) -> None:
    stdout(command("index", "--quiet"))
    retrieval = json.loads(stdout(command("eval", "retrieval", "--limit", "5", "--json", "--quiet")))
    assert set(retrieval["results"]) == {"retrieval_dense", "retrieval_bm25"}
    qa = json.loads(stdout(command("eval", "qa", "--limit", "2", "--output", "out", "--json", "--quiet")))
    assert set(qa["results"]) == {
        "qa_none",
        "qa_retrieved_dense",
        "qa_gold",
        "qa_gold_newnames",
        "qa_gold_newphrases",
        "qa_wrong",
    }
    assert len((tmp_path / "out" / "samples_qa_gold.jsonl").read_text().splitlines()) == 2
    assert "[1] mg" in stdout(command("ask", "Should a rise in lung volume be expected with drasegamab?"))
    stdout(command("doctor"))


@pytest.mark.slow
def test_demo_runs_without_a_network(medground: Run, tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    new_namespace = [str(unshare), "-rn"]
    if not unshare or subprocess.run([*new_namespace, "true"], check=False, capture_output=True).returncode:
        new_namespace = []  # no permission for a network namespace: only the guard checks connections
    outcome = medground("demo", "--limit", "6", "--quiet", prefix=new_namespace, HF_HOME=str(tmp_path))
    assert (outcome.returncode, outcome.stderr) == (0, "")
    tasks = ("dense", "bm25", "qa_none", "qa_retrieved_dense", "qa_gold", "nli_before")
    verified_answers = ("A right answer, supported", "A wrong answer, contradicted")
    for text in (*tasks, *verified_answers, "of the labels agree", "not real medicine", "results/demo"):
        assert text in outcome.stdout
    results = json.loads((tmp_path / "results" / "demo" / "results.json").read_text())
    assert {"retrieval_dense", "retrieval_bm25", "qa_none", "qa_gold", "nli_before", "nli"} <= set(results["results"])
    # "earlier" has the settings of tasks that the last run did not measure.
    assert results["earlier"]["retrieval_bm25"]["config"]["data"]["split"] == "all"
    assert results["earlier"]["qa_gold"]["config"]["data"]["split"] == "test"
    assert results["config"]["llm"]["adapter"] == str(Path("results", "demo", "adapter"))
    assert (tmp_path / "results/demo/adapter/adapter_config.json").is_file()
