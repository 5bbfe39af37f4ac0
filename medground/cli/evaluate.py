"""``medground eval ...``: run tasks, print their tables and write their results."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.errors import UserError
from medground.cli import options
from medground.cli.app import app
from medground.cli.show import print_err, print_table

if TYPE_CHECKING:
    from rich.table import Table

    from eval.results import TaskResult
    from eval.tasks import Task
    from medground.pipeline import Pipeline
    from medground.settings import Settings
    from medground.tasks import PipelineResources

evaluate = typer.Typer(help="Evaluate retrieval or answers on the data.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(evaluate, name="eval")

Output = Annotated[Path, typer.Option("--output", metavar="DIR", help="Folder of the results.")]
QuestionSplit = Annotated[
    options.Split | None, typer.Option("--split", help="Split whose questions are asked; all by default.")
]


@dataclass(frozen=True)
class Run:
    """The options of one evaluation."""

    settings: "Settings"
    output: Path
    limit: int | None
    as_json: bool
    quiet: bool


def data_command(run: Callable[[Run], None]) -> Callable[[Run], None]:
    """Register ``run`` as a command with the options of section ``data``; its default output is results/NAME."""

    @evaluate.command(run.__name__, help=run.__doc__)
    def command(
        config: options.ConfigFile = None,
        overrides: options.Overrides = None,
        data: options.Data = None,
        split: options.SplitChoice = None,
        split_file: options.SplitFile = None,
        limit: options.Limit = None,
        output: Output = Path("results", run.__name__),
        as_json: options.Json = False,
        quiet: options.Quiet = False,
    ) -> None:
        settings = options.make_settings(config, overrides, data=data, split=split, split_file=split_file, limit=limit)
        run(Run(settings, output, limit, as_json, quiet))

    return run


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
    """Evaluate every retriever.

    Each question is a query against all abstracts of the data; only its own abstract is relevant.
    """
    settings = options.make_settings(
        config, overrides, data=data, split=split or "all", split_file=split_file, limit=limit
    )
    run = Run(settings, output, limit, as_json, quiet)
    pipeline = _pipeline(run)
    from medground.tasks import PipelineResources, retrieval_tasks

    _measure(retrieval_tasks(settings), PipelineResources(pipeline), run)


@data_command
def qa(run: Run) -> None:
    """Evaluate answers.

    Each question is answered without a text, with the retrieved passages, and with its own abstract. On the sample
    also with unseen drug names, with unseen phrases, and with a wrong abstract. Unless chain.verify is off the answers
    are verified too, and risk_TASK.png plots the share of wrong answers by the share of answers given.
    """
    _check_not_extractive(run.settings, "eval qa")
    pipeline = _pipeline(run)
    from medground.tasks import PipelineResources, qa_tasks

    resources = PipelineResources(pipeline)
    _measure(qa_tasks(run.settings, resources.records()), resources, run)
    print_err(pipeline.note)


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
    """Evaluate inference: does each hypothesis follow from its premise?

    The section nli names the model: the language model, with or without an adapter, or a sequence classifier.
    """
    settings = options.make_settings(config, overrides, data=data, split=split, limit=limit, section="pairs")
    from eval.tasks import NLITask
    from medground.components import judging_settings
    from medground.tasks import PipelineResources

    pipeline = _pipeline(Run(judging_settings(settings), output, limit, as_json, quiet), searches=False)
    resources = PipelineResources(pipeline)
    # results.json has the settings of the command line, not those of judging_settings
    results = _measure([NLITask()], resources, Run(settings, output, limit, as_json, quiet))
    print_err(_calibration_advice(results[0], settings.nli.temperature))
    if unlabelled := resources.pair_data.unlabelled:
        print_err(f"{unlabelled} rows without a label were left out")


@data_command
def answers(run: Run) -> None:
    """Evaluate written answers: do the cited passages support the sentences?

    The model writes an answer to each question from the retrieved passages. Citation recall and precision are those of
    ALCE, with the model of section nli as the judge; every figure is given before and after sentences without support
    are pruned. Where the data has conclusions, the texts are compared with them.
    """
    _check_not_extractive(run.settings, "eval answers", "writes sentences")
    pipeline = _pipeline(run)
    from medground.tasks import PipelineResources, written_answer_tasks

    _measure(written_answer_tasks(run.settings), PipelineResources(pipeline), run)
    print_err(pipeline.note)


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
    """Evaluate checked claims: do verdicts and evidence agree with the experts' labels?

    Each claim is checked against each document that the data has a label for, and against the passages that the
    retriever finds in the data's corpus. Where the data labels sentences of evidence, quoted sentences are scored with
    SciFact's metrics.
    """
    settings = options.make_settings(config, overrides, data=data, limit=limit, corpus=corpus, section="claims")
    run = Run(settings, output, limit, as_json, quiet)
    from medground.tasks import PipelineResources, check_tasks

    resources = PipelineResources(_pipeline(run, searches=False))
    _measure(check_tasks(settings), resources, run)
    if mixed := resources.claims().mixed:
        print_err(
            f"{mixed} claims have as many supporting as contradicting documents; only given evidence is used for them"
        )
    print_err(resources.check_note)


@data_command
def tasks(run: Run) -> None:
    """Evaluate the tasks of the setting eval.tasks.

    Each entry has a kind (retrieval, qa, nli, verified, answers, check, or your own class as my_module.MyTask) and the
    task's fields, such as {kind: qa, context: gold}. --limit applies to questions, pairs and claims.
    """
    run = _limit_all(run)
    from medground.tasks import PipelineResources, settings_tasks

    chosen = settings_tasks(run.settings)
    has_answer_tasks = any(task.context is not None for task in chosen if task.section.data == "data")
    if has_answer_tasks:
        _check_not_extractive(run.settings, "A task on answers")
    pipeline = _pipeline(run, searches=any(task.section.data == "data" for task in chosen))
    _measure(chosen, PipelineResources(pipeline), run)
    print_err(pipeline.note if has_answer_tasks else None)


@data_command
def grid(run: Run) -> None:
    """Evaluate many models on the same questions and pairs.

    The section eval.grid names them and their contexts. Each question is searched for once, equal prompts of one model
    are answered once, and an interrupted run can be continued. --limit applies to questions and pairs.
    """
    run = _limit_all(run)
    from eval.grid import GRID_FILE, grid_tables
    from medground.grid import grid_llms, measure_grid
    from medground.tiny import TINY_NOTE, is_tiny

    measured = measure_grid(run.settings, run.output, quiet=run.quiet)
    file = run.output / GRID_FILE
    if run.as_json:
        typer.echo(file.read_text(encoding="utf-8"), nl=False)
    else:
        for table in grid_tables(measured.cells, run.settings.eval.grid.published):
            print_table(table)
        typer.echo(f"results: {file}")
    print_err(f"{measured.computed} results were computed, {measured.reused} were cached")
    if any(is_tiny(llm.model) for llm in grid_llms(run.settings).values()):
        print_err(TINY_NOTE)
    for line in measured.remarks:
        print_err(line)
    for name, reason in measured.failures.items():
        print_err(f"the evaluation of {name} failed: {reason}")
    if measured.failures:
        raise typer.Exit(1)


def _limit_all(run: Run) -> Run:
    """The run with ``--limit`` also for pairs and claims."""
    if run.limit is None:
        return run
    sections = {
        name: getattr(run.settings, name).model_copy(update={"limit": run.limit}) for name in ("pairs", "claims")
    }
    return replace(run, settings=run.settings.model_copy(update=sections))


def _check_not_extractive(settings: "Settings", command: str, ability: str = "scores yes, no and maybe") -> None:
    if settings.llm.kind == "extractive":
        raise UserError(
            f"{command} needs a model that {ability}; llm.kind extractive only quotes. Set another llm.kind."
        )


def _pipeline(run: Run, *, searches: bool = True) -> "Pipeline":
    """The pipeline over the data's abstracts, with a result cache in the output folder."""
    from common.result_cache import CACHE_FILE, ResultCache
    from eval.results import prepare_output_folder
    from medground.ingest import data_corpus
    from medground.pipeline import Pipeline

    prepare_output_folder(run.output)
    cache = ResultCache(run.output / CACHE_FILE)
    if cache.unreadable:
        lines = "1 line" if cache.unreadable == 1 else f"{cache.unreadable} lines"
        print_err(f"{lines} of {cache.path} cannot be read, from an interrupted run; computed again")
    corpus = data_corpus(run.settings) if searches else None
    return Pipeline.from_settings(run.settings, corpus, cache=cache, quiet=run.quiet)


def _calibration_advice(result: "TaskResult", temperature: float) -> str | None:
    """A message with the best temperature and threshold for the evaluated pairs.

    None if the labels are not NLI's, or if no temperature can be fitted.
    ``temperature`` is that of the evaluated scores.
    """
    from chains.nli import NLI_LABELS
    from eval.stats.calibration import TEMPERATURES, best_threshold, fit_temperature
    from eval.tables import with_interval

    samples = result.samples
    if {*samples[0]["label_scores"]} != {*NLI_LABELS} or (fitted := fit_temperature(samples)) is None:
        return None
    threshold, accuracy = best_threshold(samples, fitted.value)
    best = with_interval(fitted.times(temperature))
    if fitted.value in (TEMPERATURES[0], TEMPERATURES[-1]):
        best += " (the limit of the search, so these pairs determine none)"
    return (
        f"best for these pairs: nli.temperature {best}, and with it check.threshold {threshold:.2f}, "
        f"accuracy {with_interval(accuracy)}. Choose them on dev pairs (--split dev), not on those that you report"
    )


def _measure(tasks: "Sequence[Task]", resources: "PipelineResources", run: Run) -> "list[TaskResult]":
    """Run tasks, print their tables, and write their results and plots."""
    from eval.report.plots import write_risk_plots
    from eval.tables import result_tables
    from medground.tasks import run_tasks

    results = list(run_tasks(tasks, resources))
    print_and_write(run, results, result_tables(results))
    write_risk_plots(run.output, results)
    return results


def print_and_write(run: Run, results: "Sequence[TaskResult]", tables: "Sequence[Table]") -> None:
    """Print the tables, and write the results even if stdout is closed early (``| head``).

    The tables come first, so that they are shown even if the disk is full.
    """
    from eval.results import write_results
    from eval.tables import remarks

    try:
        for table in () if run.as_json else tables:
            print_table(table)
    finally:
        path = write_results(run.output, results, run.settings.model_dump(mode="json"))
    typer.echo(path.read_text(encoding="utf-8") if run.as_json else f"results: {path}", nl=not run.as_json)
    for line in remarks(results):
        print_err(line)
