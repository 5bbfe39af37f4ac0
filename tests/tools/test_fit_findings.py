import json
from pathlib import Path

import pytest

from chains.models import findings
from chains.models.findings import WEIGHTS
from corpus.records import QARecord
from tools.fit_findings import fit_findings, reports_findings, save_findings

RECORDS = [
    QARecord(
        id=str(number),
        question="Does it help?",
        contexts=("We aimed to see whether it helps.", "Scores were higher by 5%. Scores fell.", "Patients were seen."),
        label="yes",
        sections=("OBJECTIVE", "RESULTS", "METHODS"),
        conclusion="It helps more.",
    )
    for number in range(60)
]


def test_words_of_results_and_conclusions_have_positive_weights() -> None:
    model = fit_findings(RECORDS)
    assert (model["abstracts"], model["sentences"]) == (60, 60 * 5)  # five sentences a record
    weights = model["weights"]
    # words are stems; the L1 penalty may drop some
    assert max(weights["score"], weights["more"]) > 0 > min(weights["patient"], weights.get("whether", 0))


def test_records_without_headings_are_ignored() -> None:
    without_headings = QARecord(id="x", question="Q?", contexts=("Scores were higher.",), label="yes")
    assert fit_findings([*RECORDS, without_headings]) == fit_findings(RECORDS)


def test_headings_of_results_and_conclusions_report_findings() -> None:
    headings = ["RESULTS", "Main findings", "METHODS AND RESULTS", "CONCLUSIONS", "METHODS", "OBJECTIVE", "BACKGROUND"]
    assert list(filter(reports_findings, headings)) == headings[:4]


def test_saved_weights_are_used_by_the_chains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = json.loads(WEIGHTS.read_text("utf-8"))
    assert shipped["abstracts"] == 500  # PubMedQA's training half
    monkeypatch.setattr("tools.fit_findings.WEIGHTS", tmp_path / "findings.json")
    save_findings({**shipped, "intercept": 9.0})
    monkeypatch.setattr(findings, "WEIGHTS", tmp_path / "findings.json")
    findings._model.cache_clear()
    try:
        assert findings.finding_log_odds("") == 9.0
    finally:
        findings._model.cache_clear()
