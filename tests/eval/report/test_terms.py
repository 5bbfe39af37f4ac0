from pathlib import Path

import report_runs as runs

from eval.report.provenance import terms
from eval.report.tasks import read_tasks
from eval.results import write_results


def terms_of(folder: Path) -> set[str]:
    return {term for term, _ in terms(read_tasks([folder]).tasks)}


def test_glossary_has_only_terms_of_the_tasks(tmp_path: Path) -> None:
    write_results(tmp_path / "retrieval", [runs.ranking([1, 2])], runs.settings())
    assert terms_of(tmp_path / "retrieval") == {"95 % interval", "accuracy@1, recall@k", "MRR@10, nDCG@10"}
    write_results(tmp_path / "generated", [runs.answers("qa_none", ["yes", "no"], confidence=None)], runs.settings())
    assert terms_of(tmp_path / "generated") == {"95 % interval", "accuracy", "macro F1", "unparsed"}


def test_terms_of_a_full_report_include_verdicts_and_calibration(tmp_path: Path) -> None:
    assert {"verdict", "gain", "ECE", "Brier", "confidence", "risk, coverage"} <= terms_of(runs.write_grid(tmp_path))
