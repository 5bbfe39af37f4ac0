from pathlib import Path

import report_runs as runs

from eval.report.provenance import terms
from eval.report.tasks import read_tasks
from eval.results import write_results


def names(folder: Path) -> set[str]:
    return {name for name, _ in terms(read_tasks([folder]).tasks)}


def test_only_what_the_report_uses_is_explained(tmp_path: Path) -> None:
    write_results(tmp_path / "r", [runs.ranking([1, 2])], runs.settings())
    assert names(tmp_path / "r") == {"95 % interval", "accuracy@1, recall@k", "MRR@10, nDCG@10"}
    write_results(tmp_path / "g", [runs.answers("qa_none", ["yes", "no"], confidence=None)], runs.settings())
    assert names(tmp_path / "g") == {"95 % interval", "accuracy", "macro F1", "unparsed"}


def test_a_full_report_explains_all(tmp_path: Path) -> None:
    assert {"verdict", "gain", "ECE", "Brier", "confidence", "risk, coverage"} <= names(runs.write_grid(tmp_path))
