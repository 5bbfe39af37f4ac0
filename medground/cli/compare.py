"""``medground compare``: paired significance tests between runs."""

from pathlib import Path
from typing import Annotated

import typer

from medground.cli import options
from medground.cli.app import app
from medground.cli.show import print_err, print_json, print_table


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help="Folders of results, or FOLDER:TASK each.")],
    output: Annotated[
        Path | None, typer.Option("--output", metavar="DIR", help="Write compare.json there as well.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Compare runs, record by record.

    Each task is compared with the task of the same name in the first run that has it; a folder of several runs means
    all of them. With one run only, its tasks over the same records are compared. FOLDER:TASK compares tasks of
    different names, such as r:retrieval_dense r:retrieval_bm25. Tasks that only one of several runs has are listed.

    The difference has a paired bootstrap interval; right and wrong answers are tested with McNemar's exact test, and
    its p-value is corrected by Holm's method for all tests of the call. A retrieval is right if the question's own
    abstract is first; a verdict is right if it supports a right answer or does not support a wrong one.
    """
    from eval.compare import as_json as json_comparisons
    from eval.compare import choose_pairs, compare_tables, write_comparison
    from eval.compare import compare as compare_pairs

    pairs, unmatched = choose_pairs(runs)
    comparisons = compare_pairs(pairs)
    if as_json:
        print_json(json_comparisons(comparisons, unmatched))
    else:
        for table in compare_tables(comparisons):
            print_table(table)
    if unmatched:
        print_err(
            f"Not compared, as one run alone has them: {', '.join(side.name for side in unmatched)}. To compare tasks "
            "of different names, write FOLDER:TASK FOLDER:TASK."
        )
    if output is not None:
        path = write_comparison(output, comparisons, unmatched)
        if not as_json:
            typer.echo(f"comparison: {path}")
