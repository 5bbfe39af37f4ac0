"""``medground export``: results in the file formats of other tools."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from medground.cli.app import app
from medground.cli.show import print_err


@app.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder of results, or one with several of them.")],
    layout: Annotated[
        Literal["lm-eval", "pubmedqa"],
        typer.Option("--format", help="The lm-evaluation-harness's files, or PubMedQA's {pmid: label}."),
    ],
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="Where the files go.")],
    task: Annotated[
        str | None,
        typer.Option("--task", metavar="TASK", help="For pubmedqa; default: qa_retrieved_*, or the only task."),
    ] = None,
) -> None:
    """Write results in the file format of another tool.

    lm-eval: results_DATE.json and samples_TASK_DATE.jsonl in a folder for each model, as the lm-evaluation-harness
    writes them. pubmedqa: the input file of PubMedQA's official evaluation script.
    """
    if task is not None and layout != "pubmedqa":
        raise typer.BadParameter("only --format pubmedqa takes a task; lm-eval takes all tasks", param_hint="--task")
    from eval.runs import find_runs

    runs = find_runs(run)
    if layout == "lm-eval":
        from eval.export.harness import export_harness

        exported = export_harness(runs, output)
        for file in exported.files:
            typer.echo(file)
        if exported.left_out:
            print_err(f"left out, because no model assigns labels in it: {', '.join(exported.left_out)}")
    else:
        from eval.export.pubmedqa import export_pubmedqa

        predictions = export_pubmedqa(runs, output, task)
        typer.echo(predictions.file)
        print_err(f"the answers of {predictions.task}")
        print_err(predictions.warning)
