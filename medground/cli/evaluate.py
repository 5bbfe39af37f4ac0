"""``medground eval ...``: run a task over the data, print its table and write its results."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.errors import UserError
from medground.cli import options
from medground.cli.app import app
from medground.cli.show import print_table, say

if TYPE_CHECKING:
    from rich.table import Table

    from common.result_cache import ResultCache
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
    from eval.table import retrieval_table
    from medground.corpora import data_corpus
    from medground.pipeline import Pipeline
    from medground.tasks import measure_retrieval

    cache = _cache(output)
    records = load_records(settings.data)
    pipeline = Pipeline.from_settings(settings, data_corpus(settings), cache=cache, quiet=quiet)
    tasks = measure_retrieval(pipeline, records)
    _report(output, tasks, settings, [retrieval_table(tasks)], as_json)


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
    sample also with unseen drug names, with unseen phrases, and with a wrong abstract. Unless chain.verify is off the
    answers are verified too, and risk_TASK.png shows how many are wrong among those best supported.
    """
    settings = options.make_settings(config, overrides, data=data, split=split, split_file=split_file, limit=limit)
    if settings.llm.kind == "extractive":
        raise UserError("eval qa scores yes, no and maybe, which llm.kind extractive does not give. Set another kind.")
    from corpus.load import load_records
    from eval.table import qa_table
    from eval.verified import verified_tables, write_risk_plots
    from medground.corpora import data_corpus
    from medground.pipeline import Pipeline
    from medground.tasks import measure_qa, measure_verified

    cache = _cache(output)
    records = load_records(settings.data)
    pipeline = Pipeline.from_settings(settings, data_corpus(settings), cache=cache, quiet=quiet)
    tasks = measure_qa(pipeline, records)
    verified = measure_verified(pipeline, records)
    tables = [qa_table(tasks), *(verified_tables(verified) if verified else [])]
    _report(output, [*tasks, *verified], settings, tables, as_json)
    write_risk_plots(output, verified)
    if pipeline.note is not None:
        say(pipeline.note)


@evaluate.command()
def nli(
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    data: options.PairData = None,
    split: options.PairSplit = None,
    limit: options.Limit = None,
    output: Output = Path("results/nli"),
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure inference: does each hypothesis follow from its premise?

    The section nli names the model: the language model, with an adapter or without, or a sequence classifier.
    """
    settings = options.make_settings(config, overrides, data=data, split=split, limit=limit, section="pairs")
    from corpus.nli import load_pairs
    from eval.table import nli_tables
    from medground.pipeline import Pipeline, judging_settings
    from medground.tasks import measure_nli

    cache = _cache(output)
    pairs = load_pairs(settings.pairs)
    pipeline = Pipeline.from_settings(judging_settings(settings), cache=cache, quiet=quiet)
    model = pipeline.judge(pairs.pairs)
    result = measure_nli(pipeline, model, pairs)
    _report(output, [result], settings, nli_tables(result, model.labels), as_json)
    if pairs.unlabelled:
        say(f"{pairs.unlabelled} rows without a label were left out")


@evaluate.command()
def grid(
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    data: options.Data = None,
    split: options.SplitChoice = None,
    split_file: options.SplitFile = None,
    limit: options.Limit = None,
    output: Output = Path("results/grid"),
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure many models on the same questions and pairs.

    The section eval.grid names them, and what they read. Each question is searched for once, equal prompts of one
    model are answered once, and a run that was stopped goes on where it stood. --limit holds for questions and pairs.
    """
    settings = options.make_settings(config, overrides, data=data, split=split, split_file=split_file, limit=limit)
    if limit is not None:
        settings = settings.model_copy(update={"pairs": settings.pairs.model_copy(update={"limit": limit})})
    from eval.grid import GRID_FILE, grid_tables
    from medground.grid import grid_llms, measure_grid
    from medground.pipeline import TINY_NOTE, reads_only_the_sample

    measured = measure_grid(settings, output, quiet=quiet)
    if as_json:
        typer.echo((output / GRID_FILE).read_text(encoding="utf-8"), nl=False)
    else:
        for table in grid_tables(measured.cells, settings.eval.grid.published):
            print_table(table)
        typer.echo(f"results: {output / GRID_FILE}")
    say(f"{measured.computed} results were computed, {measured.reused} were known")
    if any(reads_only_the_sample(llm.model) for llm in grid_llms(settings).values()):
        say(TINY_NOTE)
    for line in measured.remarks:
        say(line)
    for name, reason in measured.failures.items():
        say(f"{name} was not measured to the end: {reason}")
    if measured.failures:
        raise typer.Exit(1)


def _cache(output: Path) -> "ResultCache":
    """The cache of an output folder, which must be fit to be written to."""
    from common.result_cache import CACHE_FILE, ResultCache
    from eval.results import check_output

    check_output(output)
    cache = ResultCache(output / CACHE_FILE)
    if cache.unreadable:
        lines = "1 line" if cache.unreadable == 1 else f"{cache.unreadable} lines"
        say(f"{lines} of {cache.path} cannot be read, from a run that was stopped; computed again")
    return cache


def _report(
    output: Path, tasks: "list[TaskResult]", settings: "Settings", tables: "list[Table]", as_json: bool
) -> None:
    """Shows the table before the results are written: a full disk does not take the figures along.

    They are written too where nobody reads the table to its end, as in ``| head``.
    """
    from eval.results import write_results
    from eval.table import remarks

    try:
        for table in () if as_json else tables:
            print_table(table)
    finally:
        results = write_results(output, tasks, settings.model_dump(mode="json"))
    typer.echo(results.read_text(encoding="utf-8") if as_json else f"results: {results}", nl=not as_json)
    for line in remarks(tasks):
        say(line)
