"""``medground eval ...``: run a task over the data, print its table and write its results."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from corpus.errors import UserError
from medground.cli import options
from medground.cli.app import app
from medground.cli.show import print_table, say

if TYPE_CHECKING:
    from rich.table import Table

    from eval.results import TaskResult
    from medground.settings import Settings

evaluate = typer.Typer(help="Measure retrieval or answers over the data.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(evaluate, name="eval")

Output = Annotated[Path, typer.Option("--output", metavar="DIR", help="Where the results go.")]
QuestionSplit = Annotated[
    options.Split | None, typer.Option("--split", help="Whose questions are asked; all of them unless given.")
]


@evaluate.command()
def retrieval(
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    data: options.Data = None,
    split: QuestionSplit = None,
    split_file: options.SplitFile = None,
    limit: options.Limit = None,
    output: Output = Path("results/retrieval"),
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure every retriever.

    Each question of the data is asked, and its own abstract looked for among all of the data's.
    """
    settings = options.make_settings(
        config, overrides, data=data, split=split or "all", split_file=split_file, limit=limit
    )
    from corpus.load import load_records
    from eval.results import check_output
    from eval.table import retrieval_table
    from medground.assemble import make_retrievers
    from medground.corpora import data_corpus
    from medground.tasks import measure_retrieval

    check_output(output)
    records = load_records(settings.data)
    retrievers = make_retrievers(settings, data_corpus(settings), list(settings.retrievers), quiet=quiet)
    tasks = measure_retrieval(settings, retrievers, records)
    _report(output, tasks, settings, retrieval_table(tasks), as_json)


@evaluate.command()
def qa(
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    data: options.Data = None,
    split: options.SplitChoice = None,
    split_file: options.SplitFile = None,
    limit: options.Limit = None,
    output: Output = Path("results/qa"),
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure answers.

    Each question is answered without a text, with what the retriever finds, and with its own abstract. On the
    sample also with unseen drug names, with unseen phrases, and with a wrong abstract.
    """
    settings = options.make_settings(config, overrides, data=data, split=split, split_file=split_file, limit=limit)
    if settings.llm.kind == "extractive":
        raise UserError("eval qa scores yes, no and maybe, which llm.kind extractive does not give. Set another kind.")
    from chains.llm import load_llm
    from corpus.load import load_records
    from eval.results import check_output
    from eval.table import qa_table
    from medground.assemble import make_retrievers, reader_note
    from medground.corpora import data_corpus
    from medground.tasks import measure_qa

    check_output(output)
    records = load_records(settings.data)
    retriever = make_retrievers(settings, data_corpus(settings), [settings.retriever], quiet=quiet)[settings.retriever]
    tasks = measure_qa(settings, load_llm(settings.llm), retriever, records, quiet=quiet)
    _report(output, tasks, settings, qa_table(tasks), as_json)
    if note := reader_note(settings):
        say(note)


def _report(output: Path, tasks: "list[TaskResult]", settings: "Settings", table: "Table", as_json: bool) -> None:
    """Shows the table before the results are written: a full disk does not take the figures along."""
    from eval.results import write_results

    if not as_json:
        print_table(table)
    results = write_results(output, tasks, settings.model_dump(mode="json"))
    typer.echo(results.read_text(encoding="utf-8") if as_json else f"results: {results}", nl=not as_json)
