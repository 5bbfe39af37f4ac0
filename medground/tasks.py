"""The evaluation tasks of each ``medground eval`` command, and the pipeline's resources that they run on."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from chains.verification.answers import Verifier
from common.errors import UserError
from corpus.inference.claims import ClaimData, load_claims
from corpus.inference.pairs import load_pairs
from corpus.load import load_records
from corpus.pubmedqa import read_records
from corpus.sample import sample_path
from eval.results import TaskResult
from eval.tasks import AnswersTask, CheckTask, QATask, RetrievalTask, Subject, Task, VerificationTask, make_task
from eval.tasks.qa import VARIANTS, has_wrong_contexts
from medground.components import judging_settings
from medground.ingest import Corpus
from medground.pipeline import Pipeline
from medground.settings import Settings

if TYPE_CHECKING:
    from chains.config import Context
    from chains.nli import NLIModel
    from chains.verification.statements import Checker
    from corpus.config import DataConfig
    from corpus.inference.pairs import NLIPair, PairData
    from corpus.records import QARecord
    from eval.tasks.base import QAChain
    from retrievers.base import Retriever


def retrieval_tasks(settings: Settings) -> list[Task]:
    """One task per retriever."""
    return [RetrievalTask(retriever=name) for name in settings.retrievers]


def answer_tasks(contexts: Iterable["Context"], retrievers: Iterable[str]) -> list[Task]:
    """One task per context; for the context ``retrieved``, one per retriever."""
    names = list(retrievers)
    return [
        QATask(context=context, retriever=name)
        for context in contexts
        for name in (names if context == "retrieved" else [None])
    ]


def qa_tasks(settings: Settings, records: "Sequence[QARecord]") -> list[Task]:
    """The tasks of ``medground eval qa``: contexts, the sample's variants, and verified answers (``chain.verify``).

    If more than half of the ``records`` share one abstract, the tasks whose context is another record's abstract are
    left out, with a warning.
    """
    tasks = answer_tasks(("none", "retrieved", "gold"), [settings.retriever])
    if settings.data.path == "sample":
        tasks += [QATask(context="gold", variant=variant) for variant in VARIANTS]
        tasks.append(QATask(context="wrong"))
    if settings.chain.verify != "off":
        tasks += [VerificationTask(context="retrieved", retriever=settings.retriever), VerificationTask(context="gold")]
        tasks += [VerificationTask(context="wrong"), VerificationTask(context="swapped")]
    if not has_wrong_contexts(records) and (unfit := [task for task in tasks if task.context in ("wrong", "swapped")]):
        names = ", ".join(task.name for task in unfit)
        logging.getLogger(__name__).warning("%s: left out, since most of the records share one abstract", names)
        return [task for task in tasks if task not in unfit]
    return tasks


def written_answer_tasks(settings: Settings) -> list[Task]:
    """The tasks of ``medground eval answers``: written answers, before and after unsupported sentences are pruned."""
    return [AnswersTask(context="retrieved", retriever=settings.retriever, pruned=pruned) for pruned in (False, True)]


def check_tasks(settings: Settings) -> list[Task]:
    """The tasks of ``medground eval check``: claims checked against given and against retrieved evidence."""
    return [CheckTask(context="given"), CheckTask(context="retrieved", retriever=settings.retriever)]


def settings_tasks(settings: Settings) -> list[Task]:
    """The tasks of the setting ``eval.tasks``."""
    tasks = [make_task(entry.kind, entry.model_extra or {}) for entry in settings.eval.tasks]
    if not tasks:
        raise UserError(
            "eval.tasks names no task. Set it to a list such as [{kind: qa, context: gold}, {kind: my_module.MyTask}]."
        )
    names = [task.name for task in tasks]
    if duplicate := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"eval.tasks: two tasks are called {duplicate}. Leave one out, or change its fields.")
    return tasks


def run_tasks(tasks: Sequence[Task], resources: "PipelineResources") -> Iterator[TaskResult]:
    """Load the language model and retrievers that the tasks need, then run the tasks."""
    resources.prepare(tasks)
    for task in tasks:
        yield task.run(resources)


class PipelineResources:
    """Data, retrievers, chains and models of a pipeline (``eval.tasks.Resources``).

    Args:
        pipeline: its corpus holds the abstracts of section ``data``.
        loaded: other resources, whose records and pairs are reused.
    """

    def __init__(self, pipeline: Pipeline, loaded: "PipelineResources | None" = None) -> None:
        self.quiet = pipeline.quiet
        self._pipeline, self._settings = pipeline, pipeline.settings
        self._records: dict[tuple[DataConfig, str | None], Sequence[QARecord]] = {}
        if loaded is not None:
            self._records = loaded._records
            if "pair_data" in vars(loaded):
                self.pair_data = loaded.pair_data

    def prepare(self, tasks: Sequence[Task]) -> None:
        """Load the language model and retrievers that the tasks need.

        Raises:
            UserError: a task's retriever does not exist, or a model cannot be loaded.
        """
        names = list(dict.fromkeys(task.retriever for task in tasks if task.retriever is not None))
        known = self._settings.retrievers
        if unknown := next((name for name in names if name not in known), None):
            raise UserError(f"There is no retriever {unknown!r}; there are {', '.join(known)}.")
        data_tasks = [task for task in tasks if task.section.data == "data"]
        if any(task.context is not None for task in data_tasks):
            _ = self._pipeline.answering_model
        self._pipeline.retrievers([name for name in names if any(task.retriever == name for task in data_tasks)])

    @cached_property
    def pair_data(self) -> "PairData":
        """The pairs of section ``pairs``, and the number of pairs without a label."""
        return load_pairs(self._settings.pairs)

    def records(self, variant: str | None = None) -> "Sequence[QARecord]":
        """The records of section ``data``, or of a variant of the sample."""
        data = self._settings.data
        if (data, variant) not in self._records:
            if variant is not None and variant not in VARIANTS:
                raise UserError(f"The sample has no variant {variant!r}; it has {', '.join(VARIANTS)}.")
            loaded = load_records(data) if variant is None else read_records(sample_path(variant))[: data.limit]
            self._records[data, variant] = loaded
        return self._records[data, variant]

    def pairs(self) -> "Sequence[NLIPair]":
        """The pairs of section ``pairs``."""
        return self.pair_data.pairs

    def retriever(self, name: str) -> "Subject[Retriever]":
        """A retriever over all abstracts of the data."""
        return Subject(self._pipeline.retriever(name), self._pipeline.retriever_identity(name))

    def chain(self, context: "Context", retriever: str | None = None) -> "Subject[QAChain]":
        """The answering chain without verification."""
        chain = self._pipeline.chain(context, retriever=retriever, verify="off")
        return Subject(chain, {**self._model_identity(), **self._retrieval_identity(retriever)})

    def verified_chain(self, context: "Context", retriever: str | None = None) -> "Subject[QAChain]":
        """The answering chain with verification.

        No answer is withheld, not even with ``chain.verify: abstain``, since the curve of risk by coverage needs them
        all.
        """
        judge, verify = self._judge(), self._settings.chain.verify
        identity = {**self._model_identity(), "nli": judge.fingerprint}
        if context == "retrieved":
            identity |= {"verify": verify, **self._retrieval_identity(retriever)}
        policy: Any = "retry" if verify == "retry" and context == "retrieved" else "report"
        return Subject(self._pipeline.chain(context, retriever=retriever, verify=policy), identity)

    def written_chain(self, context: "Context", retriever: str | None = None) -> "Subject[QAChain]":
        """The chain that writes answers in sentences, each with its verdict; no answer is withheld."""
        from chains.qa.base import MappedChain

        judge = self._pipeline.judge()  # loaded first, since nli.adapter changes the pipeline's llm
        written_answers = self._pipeline.written_answers(retriever=retriever, verify="report")
        chain = MappedChain(self._pipeline.chain(context, retriever=retriever, verify="off"), written_answers.write_all)
        identity = {"nli": judge.fingerprint, "tokens": self._settings.chat.max_new_tokens}
        return Subject(chain, {**self._model_identity(), **self._retrieval_identity(retriever), **identity})

    def verifier(self) -> Verifier:
        """The verifier of answers."""
        return Verifier(self._judge())

    def judge(self, shots: int | None = None, tuned: bool | None = None) -> "Subject[NLIModel]":
        """The NLI model with ``shots`` examples per label, with or without its adapter."""
        nli = self._settings.nli
        if tuned and nli.kind == "llm" and nli.adapter is None:
            raise UserError("The task is of a tuned model, and nli.adapter is not set. Set it to the adapter's folder.")
        model = self._pipeline.judge(self.pairs(), shots=shots, adapter=tuned is not False)
        dtype = self._dtype() if nli.kind == "llm" else {}
        return Subject(model, {"nli": model.fingerprint, "decide": self._settings.chain.decide, **dtype})

    def claims(self) -> ClaimData:
        """The claims of section ``claims``."""
        return self._claims

    def checker(self, retriever: str | None = None) -> "Subject[Checker]":
        """The checker of statements over the corpus of the claims."""
        pipeline, nli = self._claims_pipeline, self._settings.nli
        checker = pipeline.checker(retriever=retriever, searches=retriever is not None, with_note=False)
        identity = {
            "nli": pipeline.judge().fingerprint,
            "decide": self._settings.chain.decide,
            "check": self._settings.check.model_dump(),
            "retriever": pipeline.retriever_identity(retriever or self._settings.retriever),
            **(self._dtype() if nli.kind == "llm" else {}),
        }
        return Subject(checker, identity)

    @property
    def check_note(self) -> str | None:
        """The note on corpus and NLI model that is shown with checked claims; None for no note."""
        return self._claims_pipeline.check_note

    @cached_property
    def _claims(self) -> ClaimData:
        return load_claims(self._settings.claims)

    @cached_property
    def _claims_pipeline(self) -> Pipeline:
        """A pipeline that checks claims over their corpus, with the same result cache."""
        corpus = Corpus(self._claims.name, self._claims.documents)
        return self._pipeline.with_corpus(corpus, judging_settings(self._settings))

    def _judge(self) -> "NLIModel":
        if self._settings.chain.verify == "off":
            raise UserError("A task on verified answers needs chain.verify. Set it to report, retry or abstain.")
        return self._pipeline.judge()

    def _retrieval_identity(self, retriever: str | None) -> dict[str, Any]:
        """The settings that the retrieved passages depend on, for results files."""
        if retriever is None:
            return {}
        identity = self._pipeline.retriever_identity(retriever)
        return {"passages": self._settings.chain.passages, "retriever": identity}

    def _model_identity(self) -> dict[str, Any]:
        """The model and settings that answers depend on besides the prompt, for results files."""
        fingerprint = self._pipeline.answering_model.fingerprint
        return {"llm": fingerprint, "decide": self._settings.chain.decide, **self._dtype()}

    def _dtype(self) -> dict[str, str]:
        """The dtype of a local model, with ``auto`` resolved for this processor."""
        if self._settings.llm.kind != "huggingface":
            return {}
        from chains.models.local import resolve_dtype

        return {"dtype": str(resolve_dtype(self._settings.llm)).removeprefix("torch.")}
