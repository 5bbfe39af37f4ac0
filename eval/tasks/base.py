"""Base class of evaluation tasks, and the resources of a run."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, NamedTuple, Protocol, TypeVar

from langchain_core.runnables import Runnable
from pydantic import BaseModel, ConfigDict

from chains.answer import Answer
from chains.models.base import TooLongError
from common.errors import UserError
from eval.progress import chunks_with_progress
from eval.results import TaskResult, check_task_name
from eval.tasks.scorers import LABELS, Sample, Scorer

if TYPE_CHECKING:
    from chains.config import Context
    from chains.nli import NLIModel
    from chains.verification.answers import Verifier
    from chains.verification.statements import Checker
    from corpus.inference.claims import ClaimData
    from corpus.inference.pairs import NLIPair
    from corpus.records import QARecord
    from eval.stats.estimate import Estimate
    from retrievers.base import Retriever

QAChain = Runnable[Any, Answer]  # Any: chains differ in the exact type of the mapping that they take
Model_co = TypeVar("Model_co", covariant=True)


@dataclass(frozen=True)
class Section:
    """A group of tasks that share tables in the terminal, a grid and a report.

    ``question`` is what the first of ``metrics`` answers; ``command`` is the subcommand of ``medground eval``; ``data``
    is the settings section of the data.
    """

    id: str
    title: str
    question: str
    metrics: tuple[str, str]
    command: str
    data: Literal["data", "pairs", "claims"] = "data"


RETRIEVAL = Section(
    "retrieval",
    "Retrieval",
    "How often is a question's own abstract the first one found?",
    ("accuracy@1", "mrr@10"),
    "retrieval",
)
ANSWERS = Section(
    "qa", "Answers", "How often is the answer, yes, no or maybe, the expert's?", ("accuracy", "macro_f1"), "qa"
)
INFERENCE = Section(
    "nli",
    "Inference",
    "How often is the relation of hypothesis to premise classified correctly?",
    ("accuracy", "macro_f1"),
    "nli",
    "pairs",
)
VERIFICATION = Section(
    "verified",
    "Verified answers",
    "How often is an answer right when its verdict is supported?",
    ("accuracy_supported", "accuracy"),
    "qa",
)
WRITTEN = Section(
    "answers",
    "Written answers",
    "How many sentences of a written answer do the passages that they cite support?",
    ("citation_recall", "citation_precision"),
    "answers",
)
CHECKING = Section(
    "check",
    "Checked claims",
    "How often is the verdict on a claim the expert's?",
    ("accuracy", "macro_f1"),
    "check",
    "claims",
)
SECTIONS = (RETRIEVAL, ANSWERS, INFERENCE, VERIFICATION, WRITTEN, CHECKING)


@dataclass(frozen=True)
class Subject(Generic[Model_co]):
    """A retriever, chain or model under evaluation.

    ``identity`` is plain data that determines its results besides the input; it enters the samples' keys.
    """

    model: Model_co
    identity: Mapping[str, Any]


class Resources(Protocol):
    """Data, retrievers and models of a run, loaded at first use and kept."""

    @property
    def quiet(self) -> bool:
        """Whether progress bars are off."""

    def records(self, variant: str | None = None) -> "Sequence[QARecord]":
        """The questions of section ``data``, or of a variant of the sample such as ``newnames``."""

    def pairs(self) -> "Sequence[NLIPair]":
        """The pairs of section ``pairs``."""

    def retriever(self, name: str) -> "Subject[Retriever]":
        """A retriever of the settings over all abstracts of the data."""

    def chain(self, context: "Context", retriever: str | None = None) -> Subject[QAChain]:
        """The answering chain without verification; the context ``retrieved`` needs a retriever."""

    def verified_chain(self, context: "Context", retriever: str | None = None) -> Subject[QAChain]:
        """The answering chain with verification; it returns every answer, also unsupported ones."""

    def written_chain(self, context: "Context", retriever: str | None = None) -> Subject[QAChain]:
        """The chain that writes answers in sentences, each with its verdict; it withholds none."""

    def verifier(self) -> "Verifier":
        """The verifier of answers."""

    def claims(self) -> "ClaimData":
        """The claims of section ``claims`` with their corpus."""

    def checker(self, retriever: str | None = None) -> "Subject[Checker]":
        """The checker of statements; with a retriever it searches the corpus of the claims."""

    def judge(self, shots: int | None = None, tuned: bool | None = None) -> "Subject[NLIModel]":
        """The NLI model with ``shots`` examples per label, with or without ``nli.adapter``; None as in the settings."""


class Record(Protocol):
    """A record of the data."""

    @property
    def id(self) -> str:
        """Identifies it in the data."""


Record_ = TypeVar("Record_", bound=Record)
Input = TypeVar("Input")
Result = TypeVar("Result")


class Kept(NamedTuple, Generic[Record_, Result]):
    """Records with their results, and the ids of the records that were left out."""

    records: Sequence[Record_]
    results: Sequence[Result]
    left_out: tuple[str, ...]


def run_batches(
    task: str,
    what: str,
    records: Sequence[Record_],
    inputs: Sequence[Input],
    call: Callable[[list[Input]], Sequence[Result | BaseException]],
    size: int,
    *,
    quiet: bool,
) -> Kept[Record_, Result]:
    """Call a model with ``size`` inputs at a time; records that are too long for it are left out, with a warning.

    ``task`` and ``what`` (such as "pair") name task and records in messages. ``call`` returns results and exceptions,
    as ``batch`` with ``return_exceptions`` does.

    Raises:
        UserError: a record cannot be judged for another reason than its length, or all records are too long.
    """
    kept: list[tuple[Record_, Result]] = []
    too_long: list[tuple[str, TooLongError]] = []
    for chunk in chunks_with_progress(list(zip(records, inputs, strict=True)), size, task, quiet):
        for (record, _), result in zip(chunk, call([one for _, one in chunk]), strict=True):
            if isinstance(result, TooLongError):
                too_long.append((record.id, result))
            elif isinstance(result, UserError):
                raise UserError(f"{task}, {what} {record.id}: {result}") from result
            elif isinstance(result, BaseException):
                raise result  # LangChain returns every exception, Ctrl-C included
            else:
                kept.append((record, result))
    if too_long and not kept:
        raise UserError(f"{task}: all {len(records)} records are too long for the model. {too_long[0][1]}")
    if too_long:
        counts = f"{len(too_long)} of {len(records)} records"
        logging.getLogger(__name__).warning(
            "%s: %s are too long for the model and are left out, %s first. %s", task, counts, *too_long[0]
        )
    return Kept([one for one, _ in kept], [one for _, one in kept], tuple(id for id, _ in too_long))


class Task(BaseModel, ABC):
    """One evaluation: the input of the model, the scorer, and the section of the results.

    Tasks are immutable; their fields are stored in ``results.json``. A subclass in any module runs by
    ``kind: package.module.Class`` in the setting ``eval.tasks``.

    Attributes:
        kind: the registered name; other classes go by their dotted path.
        section: the tables that the task appears in.
        context: what the model reads besides the question.
        retriever: its name in the settings.
        variant: a variant of the sample, such as ``newnames``.

    Raises:
        UserError: the task's name cannot be part of a file name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str]
    section: ClassVar[Section] = ANSWERS

    context: str | None = None
    retriever: str | None = None
    variant: str | None = None

    def model_post_init(self, _: Any, /) -> None:
        """Check that the name can be part of a file name."""
        check_task_name(self.name)

    @classmethod
    def kind_name(cls) -> str:
        """The registered kind, or the dotted path of a class that is not registered."""
        return vars(cls).get("kind") or f"{cls.__module__}.{cls.__qualname__}"

    @property
    def name(self) -> str:
        """The name in results: kind, then the fields that are set. An unregistered class uses its own name."""
        kind = vars(type(self)).get("kind") or type(self).__name__
        return "_".join(part for part in (kind, *self._parts) if part)

    @property
    def _parts(self) -> tuple[str | None, ...]:
        return self.context, self.retriever, self.variant

    @property
    def condition(self) -> str:
        """What distinguishes the task within its section, such as a row of a grid."""
        return "_".join(part for part in self._parts if part) or self.name

    @property
    def scorer(self) -> Scorer:
        """The scorer of the samples."""
        return LABELS

    @property
    def command(self) -> str:
        """The subcommand of ``medground eval`` that measures the task."""
        return self.section.command if "kind" in vars(type(self)) else "tasks"

    @property
    def answers_own_records(self) -> bool:
        """Whether the predictions are answers to the data's unchanged records."""
        return False

    def title(self, config: Mapping[str, Any]) -> str:  # noqa: ARG002
        """The task in words; ``config`` are the settings that it was measured with."""
        return self.name

    def fields(self) -> dict[str, Any]:
        """The task's entry in ``results.json``; unregistered classes add section and scorer, so that a report needs no
        import.
        """
        own = {"kind": self.kind_name(), **self.model_dump(mode="json")}
        if "kind" in vars(type(self)):
            return own
        return {**own, "section": self.section.id, "scorer": self.scorer.name}

    def metrics(self, samples: Sequence[Sample], labels: Sequence[str]) -> "Mapping[str, Estimate]":
        """The metrics of the samples; ``labels`` are the candidate labels."""
        return self.scorer.metrics(samples, labels)

    def result(
        self, samples: Sequence[Sample], labels: Sequence[str], kept: Kept[Any, Any], identity: Mapping[str, Any]
    ) -> TaskResult:
        """The result of these samples, made from the results of ``kept``."""
        reused = sum(one.reused for one in kept.results)
        return TaskResult(self, self.metrics(samples, labels), samples, reused, identity, kept.left_out)

    @abstractmethod
    def run(self, resources: Resources) -> TaskResult:
        """Measure the task.

        Raises:
            UserError: data or models that the task needs cannot be used.
        """
