"""``medground report`` on the command line. The page is tested in test_report_browser.py."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import report_runs as runs

from eval.results import write_results


def test_report_is_written_to_the_run_or_to_output(command: Callable[..., Any], tmp_path: Path) -> None:
    write_results(tmp_path / "run", [runs.ranking([1, 2], "bm25")], runs.settings())
    outcome = command("report", "run")
    assert outcome.status == 0
    assert outcome.out.startswith("report: run/report.html (0.1 MB)\nfigures: 1 PNG files")
    assert "no task of these runs embeds both" in outcome.err
    html = (tmp_path / "run" / "report.html").read_text()
    assert runs.records(1)[0].context.split(".")[0] in html
    assert command("report", "run", "--output", "out", "--quiet").status == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"report.html", "recall_at_k.png"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "none does not exist"),
        (["."], "holds no results.json"),
        (["run", "--output", "run/results.json"], "cannot be written"),
        (["incomplete"], "the samples of retrieval_bm25 are missing"),
    ],
)
def test_unreadable_run_is_an_error(
    command: Callable[..., Any], tmp_path: Path, arguments: list[str], message: str
) -> None:
    if arguments != ["."]:  # the folder stays empty for "."
        for name in ("run", "incomplete"):
            write_results(tmp_path / name, [runs.ranking([1], "bm25")], runs.settings())
        (tmp_path / "incomplete" / "samples_retrieval_bm25.jsonl").unlink()
    outcome = command("report", *arguments)
    assert outcome.status == 1
    assert message in outcome.err
    assert "Traceback" not in outcome.err
