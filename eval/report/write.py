"""A report's files."""

from pathlib import Path

from common.atomic_write import write_whole
from common.errors import UserError
from eval.report.page import Report, render
from eval.report.plots import write_plots

PAGE = "report.html"


def write_report(folder: Path, report: Report) -> tuple[Path, list[Path]]:
    """Write ``report.html`` and its figures as PNG files to ``folder``; returns their paths.

    Raises:
        UserError: a file cannot be written.
    """
    page = folder / PAGE
    text = render(report).encode("utf-8", "replace").decode("utf-8")  # a file's name may hold what UTF-8 cannot
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(page, text)
    except OSError as error:
        raise UserError(
            f"The report cannot be written to {page}: {error.strerror or error}. Name another --output folder, or make "
            "room there."
        ) from error
    return page, write_plots(folder, report.tasks, report.maps)
