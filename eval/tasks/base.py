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
    """A group of tasks that share tables in the terminal, in a grid and in a report.

    ``question`` is the question that the first of ``metrics`` answers. ``command`` is the subcommand of ``medground
    eval`` that measures the tasks. ``data`` is the settings section of the data.
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

    ``identity`` is everything besides the input that determines the results, in JSON types; it is part of the samples'
    keys.
    """

    model: Model_co
    identity: Mapping[str, Any]


class Resources(Protocol):
    """Data, retrievers and models of a run, loaded at first use and cached."""

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
        """The answering chain, without verification; the context ``retrieved`` needs a retriever."""

    def verified_chain(self, context: "Context", retriever: str | None = None) -> Subject[QAChain]:
        """The answering chain with verification; it returns all answers, unsupported ones included."""

    def written_chain(self, context: "Context", retriever: str | None = None) -> Subject[QAChain]:
        """The chain that writes answers in sentences, each with its verdict; it withholds no answer."""

    def verifier(self) -> "Verifier":
        """The verifier of answers."""

    def claims(self) -> "ClaimData":
        """The claims of section ``claims`` with their corpus."""

    def checker(self, retriever: str | None = None) -> "Subject[Checker]":
        """The checker of claims; with a retriever, it searches the claims' corpus."""

    def judge(self, shots: int | None = None, tuned: bool | None = None) -> "Subject[NLIModel]":
        """The NLI model with ``shots`` examples per label and, if ``tuned``, with ``nli.adapter``.

        None stands for the value in the settings.
        """


class Record(Protocol):
    """A record of the data."""

    @property
    def id(self) -> str:
        """The record's id in the data."""


RecordT = TypeVar("RecordT", bound=Record)
InputT = TypeVar("InputT")
ResultT = TypeVar("ResultT")


def credited_ids(record: "QARecord", passages: Sequence[tuple[str | None, str]]) -> list[str | None]:
    """The ids of ``passages`` (ids and texts), except that a copy of the record's abstract counts as the abstract.

    Records may have identical abstracts. The first passage with the text of the record's abstract gets the record's id.
    If a later passage has the record's id, it gets the first passage's id in exchange.
    """
    ids = [id for id, _ in passages]
    first = next((index for index, (_, text) in enumerate(passages) if text == record.context), None)
    if first is None or record.id in ids[:first]:
        return ids
    first_id = ids[first]
    return [record.id if index == first else first_id if id == record.id else id for index, id in enumerate(ids)]


class Outcomes(NamedTuple, Generic[RecordT, ResultT]):
    """A model's results for ``records``, in their order, and the ids of the records that are too long for the model."""

    records: Sequence[RecordT]
    results: Sequence[ResultT]
    left_out: tuple[str, ...]


def run_batches(
    task: str,
    noun: str,
    records: Sequence[RecordT],
    inputs: Sequence[InputT],
    call: Callable[[list[InputT]], Sequence[ResultT | BaseException]],
    size: int,
    *,
    quiet: bool,
) -> Outcomes[RecordT, ResultT]:
    """Call a model with at most ``size`` inputs at a time. Records that are too long are left out, with a warning.

    ``task`` and ``noun`` (such as "pair") name the task and a record in messages. ``call`` returns a result or an
    exception for each input, as ``Runnable.batch`` does with ``return_exceptions``.

    Raises:
        UserError: the model fails on a record for another reason than its length, or all records are too long.
    """
    succeeded: list[tuple[RecordT, ResultT]] = []
    too_long: list[tuple[str, TooLongError]] = []
    for chunk in chunks_with_progress(list(zip(records, inputs, strict=True)), size, task, quiet):
        for (record, _), result in zip(chunk, call([model_input for _, model_input in chunk]), strict=True):
            if isinstance(result, TooLongError):
                too_long.append((record.id, result))
            elif isinstance(result, UserError):
                raise UserError(f"{task}, {noun} {record.id}: {result}") from result
            elif isinstance(result, BaseException):
                raise result  # for example a KeyboardInterrupt, which LangChain returns like any other exception
            else:
                succeeded.append((record, result))
    if too_long and not succeeded:
        raise UserError(f"{task}: all {len(records)} records are too long for the model. {too_long[0][1]}")
    if too_long:
        counts = f"{len(too_long)} of {len(records)} records"
        logging.getLogger(__name__).warning(
            "%s: %s are too long for the model and are left out, %s first. %s", task, counts, *too_long[0]
        )
    left_out = tuple(id for id, _ in too_long)
    return Outcomes([record for record, _ in succeeded], [result for _, result in succeeded], left_out)


class Task(BaseModel, ABC):
    """One evaluation: the input of the model, the scorer, and the section of the results.

    Tasks are immutable; their fields are stored in ``results.json``. A subclass in any module can be run with
    ``kind: package.module.Class`` in the setting ``eval.tasks``.

    Attributes:
        kind: the name in ``KINDS``. A class that is not in ``KINDS`` does not define it; its dotted path is its name.
        section: the section of the results.
        context: what the model reads besides the question.
        retriever: the name of a retriever in the settings.
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

    @property
    def name(self) -> str:
        """The name in results: the kind or, for an unregistered class, the class name, then the fields that are set."""
        kind = vars(type(self)).get("kind") or type(self).__name__
        return "_".join(part for part in (kind, *self._name_parts) if part)

    @property
    def _name_parts(self) -> tuple[str | None, ...]:
        return self.context, self.retriever, self.variant

    @property
    def condition(self) -> str:
        """The task's name within its section, such as the title of its row in a grid."""
        return "_".join(part for part in self._name_parts if part) or self.name

    @property
    def scorer(self) -> Scorer:
        """The scorer of the samples."""
        return LABELS

    @property
    def command(self) -> str:
        """The subcommand of ``medground eval`` that measures the task."""
        return self.section.command if "kind" in vars(type(self)) else "tasks"

    def title(self, config: Mapping[str, Any]) -> str:  # noqa: ARG002
        """The task's name for readers; ``config`` holds the settings that the task was measured with."""
        return self.name

    def fields(self) -> dict[str, Any]:
        """The task's entry in ``results.json``.

        For a class that is not in ``KINDS``, section and scorer are added, so that a report need not import the class.
        """
        fields, cls = self.model_dump(mode="json"), type(self)
        if "kind" in vars(cls):
            return {"kind": cls.kind, **fields}
        path = f"{cls.__module__}.{cls.__qualname__}"
        return {"kind": path, **fields, "section": self.section.id, "scorer": self.scorer.name}

    def metrics(self, samples: Sequence[Sample], labels: Sequence[str]) -> "Mapping[str, Estimate]":
        """The metrics of the samples; ``labels`` are the candidate labels."""
        return self.scorer.metrics(samples, labels)

    def agrees_with(
        self,
        samples: Sequence[Sample],  # noqa: ARG002
        texts: Mapping[str, str],  # noqa: ARG002
        identity: Mapping[str, Any],  # noqa: ARG002
    ) -> bool:
        """Whether keys and prompts of the samples match ``texts``, the passages by id.

        True if the samples of the task have neither a prompt nor a key that depends on the texts.
        """
        return True

    def result(
        self,
        samples: Sequence[Sample],
        labels: Sequence[str],
        outcomes: Outcomes[Any, Any],
        identity: Mapping[str, Any],
    ) -> TaskResult:
        """The task's result; ``outcomes`` are the model's results that the samples were made of."""
        reused = sum(result.reused for result in outcomes.results)
        return TaskResult(self, self.metrics(samples, labels), samples, reused, identity, outcomes.left_out)

    @abstractmethod
    def run(self, resources: Resources) -> TaskResult:
        """Measure the task.

        Raises:
            UserError: data or models that the task needs cannot be used.
        """
