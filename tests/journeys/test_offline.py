"""The commands of the embedded default, one after another as a user runs them, and none reaches beyond loopback.

conftest.py fails a test that tried, in this process (``command``) and in one of its own (``medground``), from the first
import on; tests/test_guard.py shows that it can. The guard sees what Python's sockets do; the slow test takes the
network away altogether.
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

Run = Callable[..., Any]


def done(outcome: Any) -> str:
    assert outcome.status == 0, outcome.err
    return str(outcome.out)


def test_documents_are_indexed_found_and_quoted(command: Run, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "heparin.md").write_text("# Heparin\n\nHeparin prevented clots in 40 patients.")
    (tmp_path / "notes" / "statins.txt").write_text("Statins lowered cholesterol.")
    assert json.loads(done(command("index", "notes", "--json")))["passages"] == 2
    found = json.loads(done(command("retrieve", "What prevents clots?", "--json")))
    best = found["passages"][0]
    assert best["id"] == "notes/heparin.md#1"
    assert best["metadata"]["source"] == "notes/heparin.md"
    assert "notes/heparin.md#1" in done(command("retrieve", "clots", "--set", "retriever=bm25"))
    answer = json.loads(done(command("ask", "Does heparin prevent clots?", "--json")))
    citation = answer["citations"][0]
    assert citation["quote"] == "Heparin prevented clots in 40 patients."
    [read] = [one for one in answer["passages"] if one["id"] == citation["passage_id"]]
    begin = read["metadata"]["start"]
    extracted = document_text(library_path(load_settings(None)), best["id"])
    assert extracted[begin + citation["start"] : begin + citation["end"]] == citation["quote"]
    assert "notes/heparin.md, section Heparin)" in done(command("ask", "Does heparin prevent clots?"))


def test_the_sample_is_indexed_measured_and_answered(command: Run, tmp_path: Path) -> None:
    done(command("index", "--quiet"))
    ranked = json.loads(done(command("eval", "retrieval", "--limit", "5", "--json", "--quiet")))
    assert set(ranked["results"]) == {"retrieval_dense", "retrieval_bm25"}
    answered = json.loads(done(command("eval", "qa", "--limit", "2", "--output", "out", "--json", "--quiet")))
    assert set(answered["results"]) == {
        "qa_none",
        "qa_retrieved_dense",
        "qa_gold",
        "qa_gold_newnames",
        "qa_gold_newphrases",
        "qa_wrong",
    }
    assert len((tmp_path / "out" / "samples_qa_gold.jsonl").read_text().splitlines()) == 2
    shown = done(command("ask", "Should a rise in lung volume be expected with drasegamab?"))
    assert "] mg" in shown
    done(command("doctor"))


@pytest.mark.slow
def test_the_demo_shows_the_main_job_where_there_is_no_network(medground: Run, tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    if unshare and subprocess.run([unshare, "-rn", "true"], check=False, capture_output=True).returncode == 0:
        outcome = medground("demo", "--limit", "6", "--quiet", prefix=[unshare, "-rn"], HF_HOME=str(tmp_path))
    else:  # this system lets no user take a network namespace of their own: then only the guard watches
        outcome = medground("demo", "--limit", "6", "--quiet", HF_HOME=str(tmp_path))
    assert (outcome.returncode, outcome.stderr) == (0, "")
    shown = outcome.stdout
    for part in ("dense", "bm25", "qa_none", "qa_retrieved_dense", "qa_gold", "not real medicine", "results/demo"):
        assert part in shown
    for part in ("nli_before", "of the labels agree", "A right answer, supported", "A wrong answer, contradicted"):
        assert part in shown
    results = json.loads((tmp_path / "results" / "demo" / "results.json").read_text())
    assert {"retrieval_dense", "retrieval_bm25", "qa_none", "qa_gold", "nli_before", "nli"} <= set(results["results"])
    assert (tmp_path / "results/demo/adapter/adapter_config.json").is_file()
