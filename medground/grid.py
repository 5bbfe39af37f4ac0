"""Evaluation of a grid of models on the same questions and pairs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chains.config import LLMConfig, NLIConfig
from chains.models.batching import free_memory
from common.errors import UserError
from common.result_cache import CACHE_FILE, ResultCache
from eval.config import GridLLM, GridPart
from eval.grid import Cell, grid_cells, write_grid
from eval.results import TaskResult, check_task_name, prepare_output_folder, write_results
from eval.tables import remarks
from eval.tasks import NLITask, RetrievalTask, Task
from medground.ingest import data_corpus
from medground.pipeline import Pipeline
from medground.settings import Settings
from medground.tasks import PipelineResources, answer_tasks, run_tasks

RETRIEVAL = "retrieval"


@dataclass
class Grid:
    """Results of a grid.

    Attributes:
        cells: the figures of the tables.
        failures: error messages by model.
        remarks: notes on the samples, such as texts truncated to the context window.
        computed: number of samples that were computed.
        reused: number of samples from the result cache.
    """

    cells: list[Cell] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    computed: int = 0
    reused: int = 0


def measure_grid(settings: Settings, output: Path, *, quiet: bool) -> Grid:
    """Measure ``settings.eval.grid``: retrievers, then each model.

    The results of retrievers are written to ``output/retrieval``, those of each model to ``output/MODEL`` once it is
    measured. A result cache in ``output`` lets an interrupted run resume. If a model fails, its error is in
    ``Grid.failures``, and the next model is measured.
    """
    run = _GridRun(settings, output, quiet)
    grid, published = Grid(), settings.eval.grid.published
    for name, used_settings, tasks in run.plan():
        results: list[TaskResult] = []
        try:
            for result in run_tasks(tasks, run.resources(used_settings)):
                results.append(result)  # one by one, so that the results before a failure are kept
        except UserError as error:
            if name == RETRIEVAL:
                raise
            grid.failures[name] = str(error)
        free_memory()
        if results:
            write_results(output / name, results, used_settings.model_dump(mode="json"))
            grid.remarks += [f"{name}/{line}" for line in remarks(results)]
            grid.cells += grid_cells(name, results, published)
            grid.reused += sum(result.reused for result in results)
            grid.computed += sum(len(result.samples) - result.reused for result in results)
        write_grid(output, grid.cells, grid.failures, published)
    return grid


def grid_llms(settings: Settings) -> Mapping[str, GridLLM]:
    """The grid's language models by name; without any, the model of section ``llm``."""
    if settings.eval.grid.llms:
        return settings.eval.grid.llms
    name = "medground-tiny" if settings.llm.model == "embedded" else settings.llm.model.rstrip("/").split("/")[-1]
    return {name: GridLLM(**settings.llm.model_dump(), nli_adapter=settings.nli.adapter)}


class _GridRun:
    """A run over the grid. Data and retrievers are loaded once, before the first model."""

    def __init__(self, settings: Settings, output: Path, quiet: bool) -> None:
        self._settings, self._config = settings, settings.eval.grid
        self._llms = grid_llms(settings)
        for name in (*self._llms, *self._config.encoders):
            check_task_name(name)
        if duplicates := {*self._llms, RETRIEVAL} & {*self._config.encoders} | {*self._llms} & {RETRIEVAL}:
            raise UserError(f"eval.grid: the name {min(duplicates)} is used twice. Give each model a different name.")
        prepare_output_folder(output)
        self._cache = ResultCache(output / CACHE_FILE)
        needs_records = {"retrieval", "qa"} & set(self._config.parts)
        corpus = data_corpus(settings) if needs_records else None
        self._pipeline = Pipeline.from_settings(settings, corpus, cache=self._cache, quiet=quiet)
        self._resources = PipelineResources(self._pipeline)
        self._retrievers: list[str] = []
        if "nli" in self._config.parts:
            self._resources.pairs()
        if needs_records:
            self._resources.records()
            if "retrieval" in self._config.parts or "retrieved" in self._config.contexts:
                self._retrievers = list(self._pipeline.retrievers(self._config.retrievers))

    def plan(self) -> Iterator[tuple[str, Settings, Sequence[Task]]]:
        """Name, settings and tasks of the retrievers, then of each model."""
        if "retrieval" in self._config.parts:
            data = self._settings.data.model_copy(update={"split": "all"})
            settings = self._settings.model_copy(update={"data": data})
            yield RETRIEVAL, settings, [RetrievalTask(retriever=name) for name in self._retrievers]
        for name, config in self._llms.items():
            llm = LLMConfig(**config.model_dump(include=set(LLMConfig.model_fields)))
            nli = NLIConfig(adapter=config.nli_adapter)
            settings = self._settings.model_copy(update={"llm": llm, "nli": nli})
            yield name, settings, self._tasks(settings, config.tasks)
        for name, model in self._config.encoders.items():
            settings = self._settings.model_copy(update={"nli": NLIConfig(kind="encoder", model=model)})
            yield name, settings, [NLITask(tuned=True)] if "nli" in self._config.parts else []

    def _tasks(self, settings: Settings, parts: Sequence[GridPart]) -> list[Task]:
        """The tasks of a language model."""
        tasks: list[Task] = []
        if "qa" in parts and "qa" in self._config.parts:
            tasks += answer_tasks(self._config.contexts, self._retrievers)
        if "nli" in parts and "nli" in self._config.parts:
            tasks += [NLITask(shots=shots, tuned=False) for shots in self._config.shots]
            tasks += [NLITask(tuned=True)] if settings.nli.adapter is not None else []
        return tasks

    def resources(self, settings: Settings) -> PipelineResources:
        """Resources with the settings of one model, and the grid's data and retrievers."""
        pipeline = Pipeline.from_settings(
            settings,
            self._pipeline.corpus,
            cache=self._cache,
            retrievers=self._pipeline.retrievers(self._retrievers),
            quiet=self._pipeline.quiet,
        )
        return PipelineResources(pipeline, self._resources)
