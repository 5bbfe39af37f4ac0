"""``medground eval ...``: run tasks, print their tables and write their results."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.errors import UserError
from medground.cli import options
from medground.cli.app import app
from medground.cli.show import print_table, say

if TYPE_CHECKING:
    from rich.table import Table

    from eval.results import TaskResult
    from eval.tasks import Task
    from medground.pipeline import Pipeline
    from medground.settings import Settings
    from medground.tasks import PipelineResources

evaluate = typer.Typer(help="Measure retrieval or answers over the data.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(evaluate, name="eval")

Output = Annotated[Path, typer.Option("--output", metavar="DIR", help="Where the results go.")]
QuestionSplit = Annotated[
    options.Split | None, typer.Option("--split", help="Split whose questions are asked; all by default.")
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

    Each question of the data is a query, and its own abstract among all of the data's is the relevant document.
    """
    settings = options.make_settings(
        config, overrides, data=data, split=split or "all", split_file=split_file, limit=limit
    )
    pipeline = _pipeline(settings, output, quiet)
    from medground.tasks import PipelineResources, retrieval_tasks

    _measure(retrieval_tasks(settings), PipelineResources(pipeline), settings, output, as_json)


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

    Each question is answered without a text, with the retrieved passages, and with its own abstract. On the sample
    also with unseen drug names, with unseen phrases, and with a wrong abstract. Unless chain.verify is off the answers
    are verified too, and risk_TASK.png plots the share of wrong answers by the share of answers given.
    """
    settings = options.make_settings(config, overrides, data=data, split=split, split_file=split_file, limit=limit)
    _refuse_extractive(settings, "eval qa")
    pipeline = _pipeline(settings, output, quiet)
    from medground.tasks import PipelineResources, qa_tasks

    resources = PipelineResources(pipeline)
    _measure(qa_tasks(settings, len(resources.records())), resources, settings, output, as_json)
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

    The section nli names the model: the language model, with or without an adapter, or a sequence classifier.
    """
    settings = options.make_settings(config, overrides, data=data, split=split, limit=limit, section="pairs")
    from eval.tasks import NLITask
    from medground.pipeline import judging_settings
    from medground.tasks import PipelineResources

    resources = PipelineResources(_pipeline(judging_settings(settings), output, quiet, searches=False))
    _measure([NLITask()], resources, settings, output, as_json)
    if unlabelled := resources.pair_data.unlabelled:
        say(f"{unlabelled} rows without a label were left out")


@evaluate.command()
def answers(
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    data: options.Data = None,
    split: options.SplitChoice = None,
    split_file: options.SplitFile = None,
    limit: options.Limit = None,
    output: Output = Path("results/answers"),
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure written answers: do the cited passages support the sentences?

    The model writes an answer to each question from the retrieved passages. Citation recall and precision are those of
    ALCE, with the model of section nli as the judge; every figure is given before and after sentences without support
    are pruned. Where the data has conclusions, the texts are compared with them.
    """
    settings = options.make_settings(config, overrides, data=data, split=split, split_file=split_file, limit=limit)
    _refuse_extractive(settings, "eval answers", "writes sentences")
    pipeline = _pipeline(settings, output, quiet)
    from medground.tasks import PipelineResources, written_tasks

    _measure(written_tasks(settings), PipelineResources(pipeline), settings, output, as_json)
    if pipeline.note is not None:
        say(pipeline.note)


@evaluate.command()
def check(
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    data: options.ClaimData = None,
    corpus: options.ClaimCorpus = None,
    limit: options.Limit = None,
    output: Output = Path("results/check"),
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure checked claims: is the verdict on each claim the expert's, and is its evidence?

    Each claim is checked against each document that the data judges it by, and against what the retriever finds in
    the data's corpus. Where the data names sentences of evidence, those that are quoted are scored as SciFact does.
    """
    settings = options.make_settings(config, overrides, data=data, limit=limit, corpus=corpus, section="claims")
    from medground.tasks import PipelineResources, check_tasks

    resources = PipelineResources(_pipeline(settings, output, quiet, searches=False))
    _measure(check_tasks(settings), resources, settings, output, as_json)
    if mixed := resources.claims().mixed:
        say(
            f"{mixed} claims have as many documents for as against them; against retrieved evidence they are not "
            "measured"
        )
    if (note := resources.check_note) is not None:
        say(note)


@evaluate.command()
def tasks(
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    data: options.Data = None,
    split: options.SplitChoice = None,
    split_file: options.SplitFile = None,
    limit: options.Limit = None,
    output: Output = Path("results/tasks"),
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure the tasks of the setting eval.tasks.

    Each entry has a kind (retrieval, qa, nli, verified, answers, check, or your own class as my_module.MyTask) and the
    task's fields, such as {kind: qa, context: gold}. --limit holds for questions, pairs and claims.
    """
    settings = options.make_settings(config, overrides, data=data, split=split, split_file=split_file, limit=limit)
    settings = _limit_all(settings, limit)
    from medground.tasks import PipelineResources, settings_tasks

    chosen = settings_tasks(settings)
    answers = any(task.context is not None for task in chosen if task.section.data == "data")
    if answers:
        _refuse_extractive(settings, "A task on answers")
    pipeline = _pipeline(settings, output, quiet, searches=any(task.section.data == "data" for task in chosen))
    _measure(chosen, PipelineResources(pipeline), settings, output, as_json)
    if answers and pipeline.note is not None:
        say(pipeline.note)


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

    The section eval.grid names them and their contexts. Each question is searched for once, equal prompts of one model
    are answered once, and a run continues after a stop. --limit holds for questions and pairs.
    """
    settings = options.make_settings(config, overrides, data=data, split=split, split_file=split_file, limit=limit)
    settings = _limit_all(settings, limit)
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


def _limit_all(settings: "Settings", limit: int | None) -> "Settings":
    """The settings with the limit of questions for pairs and claims, too."""
    if limit is None:
        return settings
    limited = {"pairs": settings.pairs, "claims": settings.claims}
    return settings.model_copy(
        update={name: section.model_copy(update={"limit": limit}) for name, section in limited.items()}
    )


def _refuse_extractive(settings: "Settings", what: str, does: str = "scores yes, no and maybe") -> None:
    if settings.llm.kind == "extractive":
        raise UserError(f"{what} {does}, which llm.kind extractive does not give. Set another kind.")


def _pipeline(settings: "Settings", output: Path, quiet: bool, *, searches: bool = True) -> "Pipeline":
    """The pipeline over the data's abstracts, with a result cache in the output folder."""
    from common.result_cache import CACHE_FILE, ResultCache
    from eval.results import check_output
    from medground.ingest import data_corpus
    from medground.pipeline import Pipeline

    check_output(output)
    cache = ResultCache(output / CACHE_FILE)
    if cache.unreadable:
        lines = "1 line" if cache.unreadable == 1 else f"{cache.unreadable} lines"
        say(f"{lines} of {cache.path} cannot be read, from a run that was stopped; computed again")
    corpus = data_corpus(settings) if searches else None
    return Pipeline.from_settings(settings, corpus, cache=cache, quiet=quiet)


def _measure(
    tasks: "Sequence[Task]", resources: "PipelineResources", settings: "Settings", output: Path, as_json: bool
) -> None:
    """Run tasks, print their tables and write their results."""
    from eval.report.plots import write_risk_plots
    from eval.tables import result_tables
    from medground.tasks import run_tasks

    results = list(run_tasks(tasks, resources))
    _report(output, results, settings, result_tables(results), as_json)
    write_risk_plots(output, results)


def _report(
    output: Path, results: "list[TaskResult]", settings: "Settings", tables: "list[Table]", as_json: bool
) -> None:
    """Print the tables, then write the results, also if the reader closes early as in ``| head``.

    The tables come first, so that they are shown even if the disk is full.
    """
    from eval.results import write_results
    from eval.tables import remarks

    try:
        for table in () if as_json else tables:
            print_table(table)
    finally:
        path = write_results(output, results, settings.model_dump(mode="json"))
    typer.echo(path.read_text(encoding="utf-8") if as_json else f"results: {path}", nl=not as_json)
    for line in remarks(results):
        say(line)
