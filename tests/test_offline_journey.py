"""The commands of the embedded default, one after another as a user runs them, and none reaches beyond loopback.

conftest.py fails a test that tried, in this process (``command``) and in one of its own (``medground``), from the first
import on; tests/test_guard.py shows that it can. The guard sees what Python's sockets do; the slow test takes the
network away altogether.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
    assert found["passages"][0]["id"] == "notes/heparin.md#1"
    assert "notes/heparin.md#1" in done(command("retrieve", "clots", "--set", "retriever=bm25"))
    answer = json.loads(done(command("ask", "Does heparin prevent clots?", "--json")))
    assert answer["citations"][0]["quote"] == "Heparin prevented clots in 40 patients."


def test_the_sample_is_indexed_measured_and_answered(command: Run, tmp_path: Path) -> None:
    done(command("index", "--quiet"))
    ranked = json.loads(done(command("eval", "retrieval", "--limit", "20", "--json", "--quiet")))
    assert set(ranked["results"]) == {"retrieval_dense", "retrieval_bm25"}
    answered = json.loads(done(command("eval", "qa", "--limit", "4", "--output", "out", "--json", "--quiet")))
    assert set(answered["results"]) == {
        "qa_none",
        "qa_retrieved_dense",
        "qa_gold",
        "qa_gold_newnames",
        "qa_gold_newphrases",
        "qa_wrong",
    }
    assert len((tmp_path / "out" / "samples_qa_gold.jsonl").read_text().splitlines()) == 4
    shown = done(command("ask", "Should a rise in lung volume be expected with drasegamab?"))
    assert "[mg" in shown
    done(command("doctor"))


def test_the_demo_shows_the_main_job(medground: Run, tmp_path: Path) -> None:
    outcome = medground("demo", "--limit", "6", "--quiet")
    assert (outcome.returncode, outcome.stderr) == (0, "")
    shown = outcome.stdout
    for part in ("dense", "bm25", "qa_none", "qa_retrieved_dense", "qa_gold", "not real medicine", "results/demo"):
        assert part in shown
    for part in ("nli_before", "of the labels agree", "verdict: "):
        assert part in shown
    results = json.loads((tmp_path / "results" / "demo" / "results.json").read_text())
    assert {"retrieval_dense", "retrieval_bm25", "qa_none", "qa_gold", "nli_before", "nli"} <= set(results["results"])
    assert (tmp_path / "results/demo/adapter/adapter_config.json").is_file()


@pytest.mark.slow
def test_the_demo_runs_where_there_is_no_network_at_all(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-rn", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this system does not let a user take a network namespace of their own (unshare -rn)")
    command = [unshare, "-rn", sys.executable, "-m", "medground", "demo", "--limit", "6", "--quiet"]
    outcome = subprocess.run(command, cwd=tmp_path, env={**os.environ, "HF_HOME": str(tmp_path)}, check=False)
    assert outcome.returncode == 0
