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


def test_words_of_results_and_conclusions_speak_for_a_finding() -> None:
    model = fit_findings(RECORDS)
    assert (model["abstracts"], model["sentences"]) == (60, 300)
    weights = model["weights"]
    assert max(weights["score"], weights["more"]) > 0 > min(weights["patient"], weights.get("whether", 0))


def test_records_without_headings_teach_nothing() -> None:
    bare = QARecord(id="x", question="Q?", contexts=("Scores were higher.",), label="yes")
    assert fit_findings([*RECORDS, bare]) == fit_findings(RECORDS)


@pytest.mark.parametrize("heading", ["RESULTS", "Main findings", "METHODS AND RESULTS", "CONCLUSIONS"])
def test_headings_of_findings(heading: str) -> None:
    assert reports_findings(heading)


@pytest.mark.parametrize("heading", ["METHODS", "OBJECTIVE", "PATIENTS AND METHODS", "BACKGROUND"])
def test_other_headings(heading: str) -> None:
    assert not reports_findings(heading)


def test_what_is_saved_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = json.loads(WEIGHTS.read_text("utf-8"))
    assert shipped["abstracts"] == 500
    monkeypatch.setattr("tools.fit_findings.WEIGHTS", tmp_path / "findings.json")
    save_findings({**shipped, "intercept": 9.0})
    monkeypatch.setattr(findings, "WEIGHTS", tmp_path / "findings.json")
    findings._model.cache_clear()
    try:
        assert findings.finding_log_odds("") == 9.0
    finally:
        findings._model.cache_clear()
