"""Evaluation tasks over the models and data of the settings."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from chains.verification import Verifier
from common.errors import UserError
from corpus.load import load_records
from corpus.nli import load_pairs
from corpus.pubmedqa import read_records
from corpus.sample import sample_path
from eval.results import TaskResult
from eval.tasks import QATask, RetrievalTask, Subject, Task, VerificationTask, make_task
from eval.tasks.qa import VARIANTS
from medground.assemble import (
    ADAPTER_ELSEWHERE,
    Models,
    answering_chain,
    judging_chain,
    load_models,
    make_nli,
    make_retrievers,
    remembered,
    retriever_identity,
)
from medground.corpora import data_corpus
from medground.settings import Settings

if TYPE_CHECKING:
    from chains.config import Context
    from chains.nli import NLIModel
    from common.result_cache import ResultCache
    from corpus.config import DataConfig
    from corpus.nli import NLIPair, PairData
    from corpus.records import QARecord
    from eval.tasks.base import QAChain
    from retrievers.base import Retriever


def retrieval_tasks(settings: Settings) -> list[Task]:
    """One task for each retriever."""
    return [RetrievalTask(retriever=name) for name in settings.retrievers]


def answer_tasks(contexts: Iterable["Context"], retrievers: Iterable[str]) -> list[Task]:
    """One task for each context; for ``retrieved`` one for each retriever."""
    names = list(retrievers)
    return [
        QATask(context=context, retriever=name)
        for context in contexts
        for name in (names if context == "retrieved" else [None])
    ]


def qa_tasks(settings: Settings, records: int) -> list[Task]:
    """The tasks of ``medground eval qa``: each context, on the sample the variants too, and verified answers.

    Args:
        settings: ``retriever`` names the retriever; without ``chain.verify`` no answer is verified.
        records: the number of records; a single one has no other record's abstract.
    """
    tasks = answer_tasks(("none", "retrieved", "gold"), [settings.retriever])
    if settings.data.path == "sample":
        tasks += [QATask(context="gold", variant=variant) for variant in VARIANTS]
        tasks += [QATask(context="wrong")] if records > 1 else []
    if settings.chain.verify != "off":
        tasks += [VerificationTask(context="retrieved", retriever=settings.retriever), VerificationTask(context="gold")]
        if records > 1:
            tasks += [VerificationTask(context="wrong"), VerificationTask(context="swapped")]
    return tasks


def settings_tasks(settings: Settings) -> list[Task]:
    """The tasks of the setting ``eval.tasks``.

    Raises:
        UserError: there are none, one is not valid, or two have one name.
    """
    tasks = [make_task(one.kind, one.model_extra or {}) for one in settings.eval.tasks]
    if not tasks:
        raise UserError(
            "eval.tasks names no task. Set it to a list such as [{kind: qa, context: gold}, {kind: my_module.MyTask}]."
        )
    names = [task.name for task in tasks]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"eval.tasks: two tasks are called {twice}. Leave one out, or change its fields.")
    return tasks


def run_tasks(tasks: Sequence[Task], resources: "SettingsResources") -> Iterator[TaskResult]:
    """The results of the tasks, one after the other.

    What the tasks share is loaded first: the answering model, which a retriever may need too, then the retrievers.

    Raises:
        UserError: data, models or retrievers of a task cannot be used.
    """
    if any(task.context is not None for task in tasks):
        resources.load_models()
    resources.build_retrievers(dict.fromkeys(task.retriever for task in tasks if task.retriever is not None))
    for task in tasks:
        yield task.run(resources)


class SettingsResources:
    """The data, retrievers and models of the settings (``eval.tasks.Resources``).

    Each is loaded when first used and kept.

    Args:
        settings: what to load.
        quiet: no progress bars.
        cache: keeps what models and retrievers return, so that a run continues after a stop.
        models: loaded already, in place of those of the settings.
    """

    def __init__(
        self, settings: Settings, *, quiet: bool, cache: "ResultCache | None" = None, models: Models | None = None
    ) -> None:
        self.quiet = quiet
        self._settings, self._cache = settings, cache
        self._retrievers: dict[str, Retriever] = {}
        self._records: dict[tuple[DataConfig, str | None], Sequence[QARecord]] = {}
        if models is not None:
            self.models = models

    def with_settings(self, settings: Settings, models: Models | None = None) -> "SettingsResources":
        """The same data and retrievers with other models."""
        other = SettingsResources(settings, quiet=self.quiet, cache=self._cache, models=models)
        other._retrievers, other._records = self._retrievers, self._records
        if "pair_data" in vars(self):
            other.pair_data = self.pair_data
        return other

    @cached_property
    def models(self) -> Models:
        """The answering model, and the judging one unless ``chain.verify`` is off."""
        return load_models(self._settings, self._cache)

    def load_models(self) -> None:
        """Load the models now."""
        _ = self.models

    @cached_property
    def pair_data(self) -> "PairData":
        """The pairs of section ``pairs``, with the count of those without a label."""
        return load_pairs(self._settings.pairs)

    def records(self, variant: str | None = None) -> "Sequence[QARecord]":
        """The questions of section ``data``, or of a variant of the sample."""
        data = self._settings.data
        if (data, variant) not in self._records:
            if variant is not None and variant not in VARIANTS:
                raise UserError(f"The sample has no variant {variant!r}; it has {', '.join(VARIANTS)}.")
            found = load_records(data) if variant is None else read_records(sample_path(variant))[: data.limit]
            self._records[data, variant] = found
        return self._records[data, variant]

    def pairs(self) -> "Sequence[NLIPair]":
        """The pairs of section ``pairs``."""
        return self.pair_data.pairs

    def build_retrievers(self, names: Iterable[str]) -> None:
        """Build retrievers that are not built yet.

        Raises:
            UserError: a name is not in section ``retrievers``, or the retriever cannot be used.
        """
        if not (missing := [name for name in names if name not in self._retrievers]):
            return
        known = self._settings.retrievers
        if unknown := next((name for name in missing if name not in known), None):
            raise UserError(f"There is no retriever {unknown!r}; there are {', '.join(known)}.")
        corpus = data_corpus(self._settings)
        llm = self.models.answering if "models" in vars(self) else None
        found = make_retrievers(self._settings, corpus, missing, llm=llm, quiet=self.quiet)
        self._retrievers |= found if self._cache is None else remembered(self._settings, found, corpus, self._cache)

    def retriever(self, name: str) -> "Subject[Retriever]":
        """A retriever of section ``retrievers`` over all abstracts of the data."""
        self.build_retrievers([name])
        return Subject(self._retrievers[name], retriever_identity(self._settings, name))

    def chain(self, context: "Context", retriever: str | None = None) -> "Subject[QAChain]":
        """The answering chain without verification."""
        chain = self._chain(context, retriever, replace(self.models, judging=None))
        return Subject(chain, {**self._model_identity(), **self._found(retriever)})

    def verified_chain(self, context: "Context", retriever: str | None = None) -> "Subject[QAChain]":
        """The answering chain with verification.

        Every answer is returned, also those that ``chain.verify: abstain`` would withhold: the risk at each coverage
        shows the effect of withholding.

        Raises:
            UserError: ``chain.verify`` is off.
        """
        settings, judge = self._settings, self.models.judging
        if judge is None:
            raise UserError("A task on verified answers needs chain.verify. Set it to report, retry or abstain.")
        identity = {**self._model_identity(), "nli": judge.fingerprint}
        verify: Any = "report"
        if context == "retrieved":
            identity |= {"verify": settings.chain.verify, **self._found(retriever)}
            verify = "retry" if settings.chain.verify == "retry" else "report"
        verifying = settings.model_copy(update={"chain": settings.chain.model_copy(update={"verify": verify})})
        return Subject(self._chain(context, retriever, self.models, verifying), identity)

    def verifier(self) -> Verifier:
        """The verifier of answers, by the judging model."""
        if self.models.judging is None:
            raise UserError("A task on verified answers needs chain.verify. Set it to report, retry or abstain.")
        return Verifier(self.models.judging)

    def judge(self, shots: int | None = None, tuned: bool | None = None) -> "Subject[NLIModel]":
        """The entailment model of section ``nli``, with so many shots, with or without its adapter."""
        settings = self._settings
        if shots is not None:
            settings = settings.model_copy(update={"prompt": settings.prompt.model_copy(update={"shots": shots})})
        if tuned is False and settings.nli.kind == "llm":
            settings = settings.model_copy(update={"nli": settings.nli.model_copy(update={"adapter": None})})
        if tuned and settings.nli.kind == "llm" and settings.nli.adapter is None:
            raise UserError("The task is of a tuned model, and nli.adapter is not set. Set it to the adapter's folder.")
        model = self._judge(settings)
        dtype = self._dtype() if settings.nli.kind == "llm" else {}
        return Subject(model, {"nli": model.fingerprint, "decide": settings.chain.decide, **dtype})

    def _judge(self, settings: Settings) -> "NLIModel":
        """The judging model; it uses an answering model that is loaded, unless that one has the adapter already."""
        asked = self.pairs()
        if settings.nli.kind == "encoder" or "models" not in vars(self) or self.models.judging is not None:
            return make_nli(settings, self._cache, asked=asked)
        llm = self.models.answering
        if settings.nli.adapter is not None:
            from chains.models.adapter_switch import share_base
            from chains.models.local import LocalLLM

            if not isinstance(llm, LocalLLM):
                raise UserError(ADAPTER_ELSEWHERE)
            llm = share_base(llm, settings.nli.adapter).judging
        return judging_chain(settings, llm, asked)

    def _chain(
        self, context: "Context", retriever: str | None, models: Models, settings: Settings | None = None
    ) -> "QAChain":
        found = None if retriever is None else self.retriever(retriever).model
        return answering_chain(settings or self._settings, models, found, context)

    def _found(self, retriever: str | None) -> dict[str, Any]:
        """What determines the passages that a model reads, besides question and corpus."""
        if retriever is None:
            return {}
        return {"passages": self._settings.chain.passages, "retriever": retriever_identity(self._settings, retriever)}

    def _model_identity(self) -> dict[str, Any]:
        """What determines a model's answers, besides the prompt."""
        fingerprint = self.models.answering.fingerprint
        return {"llm": fingerprint, "decide": self._settings.chain.decide, **self._dtype()}

    def _dtype(self) -> dict[str, str]:
        """The dtype of a model on this machine: ``auto`` depends on the processor."""
        if self._settings.llm.kind != "huggingface":
            return {}
        from chains.models.local import resolve_dtype

        return {"dtype": str(resolve_dtype(self._settings.llm)).removeprefix("torch.")}
