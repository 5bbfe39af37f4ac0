from pathlib import Path

import pytest
import report_runs as runs

from common.errors import UserError
from eval.report.page import Report, write_report
from eval.report.tasks import read_tasks
from eval.results import write_results


def report(folder: Path) -> Report:
    write_results(folder, [runs.ranking([1, 2])], runs.settings())
    return Report(read_tasks([folder]).tasks)


def test_the_page_and_its_figures_are_written(tmp_path: Path) -> None:
    page, figures = write_report(tmp_path / "new" / "place", report(tmp_path / "run"))
    assert page == tmp_path / "new" / "place" / "report.html"
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [figure.parent for figure in figures] == [page.parent]


def test_a_folder_s_name_that_is_no_utf_8_is_no_error(tmp_path: Path) -> None:
    page, _ = write_report(tmp_path, report(tmp_path / "run\udcff"))
    assert "run?" in page.read_text(encoding="utf-8")


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written to .*report\.html"):
        write_report(tmp_path / "file", report(tmp_path / "run"))
