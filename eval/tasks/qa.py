"""Question answering with yes, no or maybe."""

import random
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import model_validator

from chains.answer import Answer
from common.errors import UserError
from common.fingerprints import content_key
from corpus.records import LABELS, QARecord
from eval.results import TaskResult
from eval.stats.estimate import Estimate, proportion
from eval.tasks.base import Kept, QAChain, Resources, Task, run_batches
from eval.tasks.scorers import LABELS as LABEL_SCORER
from eval.tasks.scorers import REFUSALS, Sample, Scorer

if TYPE_CHECKING:
    from chains.config import Context

CHUNK = 128  # records per call: enough to batch by length, few enough to update the progress bar
_SEED = 7
_CONTEXTS = {
    "none": "no text",
    "retrieved": "retrieved",
    "gold": "own abstract",
    "wrong": "another's abstract",
    "swapped": "own abstract, checked against another's",
}
GROUNDED = {
    "read_right": (True, True),
    "read_wrong": (True, False),
    "unread_right": (False, True),
    "unread_wrong": (False, False),
}
"""Metrics by whether the question's own abstract was read and whether the answer is right."""
VARIANTS = {"newnames": "new names", "newphrases": "new phrases"}  # the sample's further test files


class QATask(Task):
    """Answers each record's question and compares the label with the record's.

    The context determines the input besides the question:

    - ``none`` (``qa_none``) and ``retrieved`` (``qa_retrieved_NAME``): nothing, so that the gold abstract cannot leak;
    - ``gold`` (``qa_gold``, ``qa_gold_VARIANT``): the record's abstract;
    - ``wrong`` (``qa_wrong``): another record's abstract (``wrong_contexts``). The target is "maybe", the metrics are
      ``share_maybe`` and ``unparsed``, and records need no label.

    An answer without a label is wrong and counted as ``unparsed``. With retrieved passages, ``GROUNDED`` divides the
    answers by whether the question's own abstract was among them: a right answer without it is not grounded.
    """

    kind: ClassVar[str] = "qa"
    chunk: ClassVar[int] = CHUNK

    context: Literal["none", "gold", "retrieved", "wrong"]

    @model_validator(mode="after")
    def _retriever_belongs_to_its_context(self) -> Self:
        if (self.retriever is None) == (self.context == "retrieved"):
            needs = "needs a" if self.retriever is None else "takes no"
            raise ValueError(f"the context {self.context} {needs} retriever")
        return self

    @property
    def scorer(self) -> Scorer:
        """Labels; for a wrong context the share of "maybe"."""
        return REFUSALS if self.context == "wrong" else LABEL_SCORER

    @property
    def answers_own_records(self) -> bool:
        """Whether each record is answered unchanged, without another record's abstract."""
        return self.variant is None and self.context in ("none", "gold", "retrieved")

    def title(self, config: Mapping[str, Any]) -> str:  # noqa: ARG002
        """The context, then retriever or variant."""
        more = self.retriever or (self.variant and VARIANTS.get(self.variant, self.variant))
        return f"{_CONTEXTS[self.context]}, {more}" if more else _CONTEXTS[self.context]

    def run(self, resources: Resources) -> TaskResult:
        """Measure the model and retriever of the settings."""
        chain = resources.chain(self._chain_context, self.retriever)
        records = resources.records(self.variant)
        return self.evaluate(chain.model, records, identity=chain.identity, quiet=resources.quiet)

    def evaluate(
        self, chain: QAChain, records: Sequence[QARecord], *, identity: Mapping[str, Any], quiet: bool = False
    ) -> TaskResult:
        """Answer every question with a chain and score the labels.

        The chain is built for the task's context. The records have labels, unless the context is wrong. ``identity``
        determines the answers besides the prompt; see ``TaskResult``.

        Raises:
            UserError: no records, a missing label, too few different abstracts for a wrong context, or see
                ``run_batches``.
        """
        kept = self.answers(chain, records, quiet=quiet)
        return self.result(self.samples(kept.records, kept.results, identity), LABELS, kept, identity)

    def metrics(self, samples: Sequence[Sample], labels: Sequence[str]) -> Mapping[str, Estimate]:
        """The scorer's metrics, and with retrieved passages the shares of ``GROUNDED``."""
        metrics = dict(super().metrics(samples, labels))
        if self.context == "retrieved":
            kinds = [(_has_read_its_own(sample), self.scorer.is_right(sample)) for sample in samples]
            metrics |= {name: proportion(kinds.count(kind), len(kinds)) for name, kind in GROUNDED.items()}
        return metrics

    def inputs(self, records: Sequence[QARecord]) -> list[dict[str, str]]:
        """The chain's input for each record."""
        if self._chain_context != "gold":
            return [{"question": record.question} for record in records]
        sources = wrong_contexts(records) if self.context == "wrong" else records
        return [
            {"question": record.question, "context": source.context, "passage_id": source.id}
            for record, source in zip(records, sources, strict=True)
        ]

    def targets(self, records: Sequence[QARecord]) -> list[str]:
        """The right label of each record."""
        if self.context == "wrong":
            return ["maybe"] * len(records)
        without = [record.id for record in records if record.label is None]
        if without:
            raise UserError(
                f"{self.name}: {len(without)} of {len(records)} records have no label (the first is {without[0]}). "
                "Use labelled records, such as PubMedQA's pqa_labeled."
            )
        return [record.label for record in records if record.label is not None]

    def answers(self, chain: QAChain, records: Sequence[QARecord], *, quiet: bool) -> Kept[QARecord, Answer]:
        """The chain's answers, in the records' order; records that are too long for the model are left out."""
        if not records:
            raise UserError(f"{self.name}: there are no records. Choose another split or a higher limit.")
        inputs = self.inputs(records)
        self.targets(records)  # fails on a record without a label before the first answer
        answer = partial(chain.batch, return_exceptions=True)
        return run_batches(self.name, "record", records, inputs, answer, self.chunk, quiet=quiet)

    def samples(
        self, records: Sequence[QARecord], answers: Sequence[Answer], identity: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """One sample per record."""
        return [
            _sample(record, answer, target, identity)
            for record, answer, target in zip(records, answers, self.targets(records), strict=True)
        ]

    @property
    def _chain_context(self) -> "Context":
        return self.context if self.context in ("none", "retrieved") else "gold"


def wrong_contexts(records: Sequence[QARecord]) -> list[QARecord]:
    """Another record for each record, whose abstract replaces its own; the same on every run.

    Each abstract is used once, and never for a record with the same abstract: the records, shuffled with a fixed seed
    and grouped by abstract, are rotated by the size of the largest group.

    Raises:
        UserError: more than half of the records share one abstract.
    """
    order = list(range(len(records)))
    random.Random(_SEED).shuffle(order)
    groups: dict[str, list[int]] = {}
    for index in order:
        groups.setdefault(records[index].context, []).append(index)
    largest = max(map(len, groups.values()), default=0)
    if 2 * largest > len(records):
        raise UserError(
            "qa_wrong gives each question another record's abstract, so at most half of the records may share one; of "
            f"{len(records)} records {largest} have the same abstract. Use more records."
        )
    line = [index for group in groups.values() for index in group]
    donors: dict[int, QARecord] = {
        index: records[line[(place + largest) % len(line)]] for place, index in enumerate(line)
    }
    return [donors[index] for index in range(len(records))]


def _has_read_its_own(sample: Sample) -> bool:
    return any(found["id"] == sample["id"] for found in sample["retrieved"])


def _sample(record: QARecord, answer: Answer, target: str, identity: Mapping[str, Any]) -> dict[str, Any]:
    asked: dict[str, Any] = {"prompt": answer.prompt}
    if answer.prompt is None:  # a chain without a model is determined by what it read
        asked |= {"question": record.question, "passages": [passage.text for passage in answer.passages]}
    return {
        "id": record.id,
        "question": record.question,
        "prompt": answer.prompt,
        "output": answer.output,
        "label_scores": answer.label_scores,
        "prediction": answer.label,
        "target": target,
        "retrieved": [{"id": passage.id, "score": passage.score} for passage in answer.passages],
        "key": content_key(**asked, identity=identity),
        "notes": answer.notes,
    }
