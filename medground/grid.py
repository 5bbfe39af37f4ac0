"""Many models measured on the same questions and pairs, each question searched for once."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from chains.config import LLMConfig, NLIConfig
from common.errors import UserError
from common.result_cache import CACHE_FILE, ResultCache
from eval.config import GridLLM, Part
from eval.grid import Cell, grid_cells, write_grid
from eval.results import TaskResult, check_output, check_task_name, write_results
from eval.table import remarks
from medground.assemble import ADAPTER_ELSEWHERE, Models, judging_chain, make_nli, make_retrievers, remembered
from medground.corpora import data_corpus
from medground.settings import Settings
from medground.tasks import measure_answers, measure_nli, measure_retrieval

if TYPE_CHECKING:
    from chains.nli import NLIModel
    from corpus.nli import PairData
    from corpus.records import QARecord
    from retrievers.base import Retriever

RETRIEVAL = "retrieval"


@dataclass
class Grid:
    """What a grid measured: its cells, by name the models that could not be measured and why, and remarks."""

    cells: list[Cell] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    computed: int = 0
    reused: int = 0


def measure_grid(settings: Settings, output: Path, *, quiet: bool) -> Grid:
    """Measure ``settings.eval.grid``: retrievers, then one model after the other.

    Each model's results go to a folder of its name below ``output`` as soon as it is measured, the retrievers' to
    ``retrieval``; every record's result is in the cache at ``output`` before that, so that a run which was stopped
    goes on where it stood. A model that cannot be had is passed over and told.

    Raises:
        UserError: data, pairs or a retriever cannot be used, or a name cannot be that of a folder.
    """
    work = _Work(settings, output, quiet)
    grid, published = Grid(), settings.eval.grid.published
    for measured in work.measured():
        if measured.failure is not None:
            grid.failures[measured.name] = measured.failure
        if measured.results:
            write_results(output / measured.name, measured.results, measured.settings.model_dump(mode="json"))
            grid.remarks += [f"{measured.name}/{line}" for line in remarks(measured.results)]
            grid.cells += grid_cells(measured.name, measured.results, published)
            grid.reused += sum(result.reused for result in measured.results)
            grid.computed += sum(len(result.samples) - result.reused for result in measured.results)
        write_grid(output, grid.cells, grid.failures, published)
    return grid


def grid_llms(settings: Settings) -> Mapping[str, GridLLM]:
    """The grid's language models by name; that of section ``llm`` where the grid names none."""
    if settings.eval.grid.llms:
        return settings.eval.grid.llms
    name = "medground-tiny" if settings.llm.model == "embedded" else settings.llm.model.rstrip("/").split("/")[-1]
    return {name: GridLLM(**settings.llm.model_dump(), nli_adapter=settings.nli.adapter)}


@dataclass
class _Measured:
    """What one model reached, and what kept it from more."""

    name: str
    settings: Settings
    results: list[TaskResult] = field(default_factory=list)
    failure: str | None = None


class _Work:
    """All that the models of a grid share; whatever is wrong with it shows before the first is loaded."""

    def __init__(self, settings: Settings, output: Path, quiet: bool) -> None:
        self._settings, self._config, self._quiet = settings, settings.eval.grid, quiet
        self._llms = grid_llms(settings)
        for name in (*self._llms, *self._config.encoders):
            check_task_name(name)
        if twice := {*self._llms, RETRIEVAL} & {*self._config.encoders} | {*self._llms} & {RETRIEVAL}:
            raise UserError(f"eval.grid: the name {min(twice)} stands for two things. Give each a name of its own.")
        check_output(output)
        self._cache = ResultCache(output / CACHE_FILE)
        self._pairs: PairData | None = None
        self._questions: list[QARecord] = []
        self._retrievers: dict[str, Retriever] = {}
        if "nli" in self._config.parts:
            from corpus.nli import load_pairs

            self._pairs = load_pairs(settings.pairs)
        if {"retrieval", "qa"} & set(self._config.parts):
            from corpus.load import load_records

            self._questions = load_records(settings.data)
            if "retrieval" in self._config.parts or "retrieved" in self._config.contexts:
                names = list(settings.retrievers if self._config.retrievers is None else self._config.retrievers)
                corpus = data_corpus(settings)
                found = make_retrievers(settings, corpus, names, quiet=quiet)
                self._retrievers = remembered(settings, found, corpus, self._cache)

    def measured(self) -> Iterator[_Measured]:
        """The retrievers, then one model after the other."""
        if "retrieval" in self._config.parts:
            from corpus.load import load_records

            asked = self._settings.model_copy(update={"data": self._settings.data.model_copy(update={"split": "all"})})
            results = measure_retrieval(asked, self._retrievers, load_records(asked.data))
            yield _Measured(RETRIEVAL, asked, results)
        for name, config in self._llms.items():
            llm = LLMConfig(**config.model_dump(include=set(LLMConfig.model_fields)))
            nli = NLIConfig(adapter=config.nli_adapter)
            yield self._one(name, self._settings.model_copy(update={"llm": llm, "nli": nli}), config.tasks)
        for name, model in self._config.encoders.items():
            nli = NLIConfig(kind="encoder", model=model)
            yield self._one(name, self._settings.model_copy(update={"nli": nli}), ("nli",))

    def _one(self, name: str, settings: Settings, parts: Sequence[Part]) -> _Measured:
        """A model is loaded, measured, and let go of before the next is loaded."""
        measured = _Measured(name, settings)
        try:
            for result in self._results(settings, [part for part in parts if part in self._config.parts]):
                measured.results.append(result)
        except UserError as error:
            measured.failure = str(error)
        _free_memory()
        return measured

    def _results(self, settings: Settings, parts: Sequence[Part]) -> Iterator[TaskResult]:
        if settings.nli.kind == "encoder":
            if "nli" in parts:
                yield self._judged(settings, make_nli(settings, self._cache), "nli_tuned")
            return
        if not parts:
            return
        from chains.models import make_llm

        llm = make_llm(settings.llm, self._cache)
        if "qa" in parts:
            answers = (settings, Models(llm), self._retrievers, self._questions)
            yield from measure_answers(*answers, contexts=self._config.contexts, quiet=self._quiet)
        if "nli" in parts:
            assert self._pairs is not None
            asked = self._pairs.pairs
            for shots in self._config.shots:
                shown = settings.model_copy(update={"prompt": settings.prompt.model_copy(update={"shots": shots})})
                yield self._judged(shown, judging_chain(shown, llm, asked), f"nli_{shots}shot" if shots else "nli")
            if settings.nli.adapter is not None:
                from chains.models.adapter_switch import share_base
                from chains.models.local import LocalLLM

                if not isinstance(llm, LocalLLM):
                    raise UserError(ADAPTER_ELSEWHERE)
                tuned = judging_chain(settings, share_base(llm, settings.nli.adapter).judging, asked)
                yield self._judged(settings, tuned, "nli_tuned")

    def _judged(self, settings: Settings, model: "NLIModel", task: str) -> TaskResult:
        assert self._pairs is not None
        return measure_nli(settings, model, self._pairs, task=task, quiet=self._quiet)


def _free_memory() -> None:
    """Give back what a model took, so that the next one finds room."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
