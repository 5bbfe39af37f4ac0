from pathlib import Path

import pytest
import report_runs as runs

from common.errors import UserError
from eval.report.page import Report, write_report
from eval.report.tasks import read_tasks
from eval.results import write_results


def make_report(folder: Path) -> Report:
    write_results(folder, [runs.ranking([1, 2])], runs.settings())
    return Report(read_tasks([folder]).tasks)


def test_page_and_plots_are_written_to_a_new_folder(tmp_path: Path) -> None:
    page, plots = write_report(tmp_path / "new" / "folder", make_report(tmp_path / "run"))
    assert page == tmp_path / "new" / "folder" / "report.html"
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [plot.parent for plot in plots] == [page.parent]


def test_a_folder_name_that_is_not_utf_8_is_written_with_question_marks(tmp_path: Path) -> None:
    page, _ = write_report(tmp_path, make_report(tmp_path / "run\udcff"))
    assert "run?" in page.read_text(encoding="utf-8")


def test_an_unwritable_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written to .*report\.html"):
        write_report(tmp_path / "file", make_report(tmp_path / "run"))
