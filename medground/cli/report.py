"""``medground report``: runs as one HTML file and PNG files."""

from pathlib import Path
from typing import Annotated

import typer

from medground.cli import options
from medground.cli.app import app
from medground.cli.show import print_err


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of results, such as a grid's.")],
    output: Annotated[
        Path | None, typer.Option("--output", metavar="DIR", help="Where the report goes; else to the first RUN.")
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Show runs as a page: tables, curves, a map of the embeddings, and every record.

    A folder means all runs in it and below it. report.html is self-contained and can be sent to others: it holds
    the texts of the questions and passages, and loads nothing from the network. The figures are also written beside it
    as PNG files. Figures and intervals are computed from the samples; nothing is measured again. The passages' texts
    come from the data that the run's settings name, and their vectors from the store.
    """
    from eval.report.page import Report, write_report
    from eval.report.tasks import read_tasks
    from eval.results import prepare_output_folder
    from medground.report_data import ReportData, notes

    measured = read_tasks(runs)
    folder = output or runs[0]
    prepare_output_folder(folder)
    data = ReportData()
    texts = [data.texts(task) for task in measured.tasks]
    maps = data.maps(measured.tasks, folder, quiet=quiet)
    page, figures = write_report(
        folder,
        Report(
            measured.tasks,
            texts=texts,
            maps=maps,
            gaps=data.gaps,
            map_gap=data.map_gap,
            notes=notes(measured.tasks),
            failures=measured.failures,
            published=measured.published,
        ),
    )
    for gap in [*data.gaps, data.map_gap]:
        if gap:
            print_err(gap)
    typer.echo(f"report: {page} ({page.stat().st_size / 1e6:.1f} MB)\nfigures: {len(figures)} PNG files beside it")
