"""Question answering with the labels yes, no and maybe."""

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import model_validator

from chains.answer import Answer
from chains.models.prompt_sanitizing import Cleaner
from common.errors import UserError
from common.fingerprints import content_key
from corpus.records import LABELS, QARecord
from eval.grouping import grouped
from eval.results import TaskResult
from eval.stats.estimate import Estimate, proportion
from eval.tasks.base import Outcomes, QAChain, Resources, Task, credited_ids, run_batches
from eval.tasks.scorers import LABELS as LABEL_SCORER
from eval.tasks.scorers import REFUSALS, Sample, Scorer

if TYPE_CHECKING:
    from chains.config import Context

CHUNK = 128  # records per call of the chain: enough to batch by length, few enough to update the progress bar
_SEED = 7  # determines the order of the records in wrong_contexts
_CONTEXT_TITLES = {
    "none": "no text",
    "retrieved": "retrieved",
    "gold": "own abstract",
    "wrong": "another's abstract",
    "swapped": "own abstract, checked against another's",
}
GROUNDING_METRICS = {
    "read_right": (True, True),
    "read_wrong": (True, False),
    "unread_right": (False, True),
    "unread_wrong": (False, False),
}
"""By metric, which is a share of answers: whether they are based on the question's own abstract, and are right."""
VARIANTS = {"newnames": "new names", "newphrases": "new phrases"}  # titles of the sample's other test files, by name


class QATask(Task):
    """Answers each record's question and compares the label with the record's.

    The context determines what the chain gets besides the question:

    - ``none`` (``qa_none``) and ``retrieved`` (``qa_retrieved_NAME``): nothing, so that the gold abstract cannot leak;
    - ``gold`` (``qa_gold``, ``qa_gold_VARIANT``): the record's abstract;
    - ``wrong`` (``qa_wrong``): another record's abstract (``wrong_contexts``). The target is "maybe", the metrics are
      ``share_maybe`` and ``unparsed``, and records need no label.

    An answer without a label is wrong and counted as ``unparsed``. With retrieved passages, ``GROUNDING_METRICS`` show
    how many right answers are grounded, that is, given with the question's own abstract among the passages.
    """

    kind: ClassVar[str] = "qa"
    chunk: ClassVar[int] = CHUNK

    context: Literal["none", "gold", "retrieved", "wrong"]

    @model_validator(mode="after")
    def _check_retriever(self) -> Self:
        if (self.retriever is None) == (self.context == "retrieved"):
            needs = "needs a" if self.retriever is None else "takes no"
            raise ValueError(f"the context {self.context} {needs} retriever")
        return self

    @property
    def scorer(self) -> Scorer:
        """The scorer of labels; for the context ``wrong``, of the share of "maybe"."""
        return REFUSALS if self.context == "wrong" else LABEL_SCORER

    def title(self, config: Mapping[str, Any]) -> str:  # noqa: ARG002
        """The context, then retriever or variant."""
        detail = self.retriever or (self.variant and VARIANTS.get(self.variant, self.variant))
        title = _CONTEXT_TITLES[self.context]
        return f"{title}, {detail}" if detail else title

    def run(self, resources: Resources) -> TaskResult:
        """Measure the model and retriever of the settings."""
        chain = resources.chain(self._chain_context, self.retriever)
        records = resources.records(self.variant)
        return self.evaluate(chain.model, records, identity=chain.identity, quiet=resources.quiet)

    def evaluate(
        self, chain: QAChain, records: Sequence[QARecord], *, identity: Mapping[str, Any], quiet: bool = False
    ) -> TaskResult:
        """Answer every question with a chain and score the labels.

        The chain must fit the task's context. The records need labels, unless the context is ``wrong``. ``identity`` is
        everything besides the prompt that determines the answers; see ``TaskResult``.

        Raises:
            UserError: no records, a missing label, too few different abstracts for the context ``wrong``, or as
                ``run_batches``.
        """
        outcomes = self.answers(chain, records, quiet=quiet)
        samples = self.samples(outcomes.records, outcomes.results, identity)
        return self.result(samples, LABELS, outcomes, identity)

    def metrics(self, samples: Sequence[Sample], labels: Sequence[str]) -> Mapping[str, Estimate]:
        """The scorer's metrics and, with retrieved passages, ``GROUNDING_METRICS``."""
        metrics = dict(super().metrics(samples, labels))
        if self.context == "retrieved":
            read_and_right = [(_has_read_own_abstract(sample), self.scorer.is_right(sample)) for sample in samples]
            n = len(samples)
            metrics |= {name: proportion(read_and_right.count(pair), n) for name, pair in GROUNDING_METRICS.items()}
        return metrics

    def agrees_with(self, samples: Sequence[Sample], texts: Mapping[str, str], identity: Mapping[str, Any]) -> bool:
        """Whether each sample matches the texts of its passages.

        A prompt must contain the texts. If a sample has no prompt, its key must match the texts.

        Two kinds of samples are not examined: those with notes, such as on a shortened context, and those with passages
        that ``texts`` lacks.
        """
        return all(
            _has_read(sample, [texts[hit["id"]] for hit in sample["retrieved"]], identity)
            for sample in samples
            if "key" in sample and not sample["notes"] and all(hit["id"] in texts for hit in sample["retrieved"])
        )

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
        if unlabelled := [record.id for record in records if record.label is None]:
            n = len(unlabelled)
            raise UserError(
                f"{self.name}: {n} of {len(records)} records have no label (the first is {unlabelled[0]}). Use "
                "labelled records, such as PubMedQA's pqa_labeled."
            )
        return [record.label for record in records if record.label is not None]

    def answers(self, chain: QAChain, records: Sequence[QARecord], *, quiet: bool) -> Outcomes[QARecord, Answer]:
        """The chain's answers, in the records' order; records that are too long for the model are left out."""
        if not records:
            raise UserError(f"{self.name}: there are no records. Choose another split or a higher limit.")
        inputs = self.inputs(records)
        self.targets(records)  # so that a missing label is reported before the chain runs
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


def has_wrong_contexts(records: Sequence[QARecord]) -> bool:
    """Whether each record can get another abstract: this needs that at most half of the records share an abstract."""
    return 2 * _largest_group(records) <= len(records)


def _largest_group(records: Sequence[QARecord]) -> int:
    """The largest number of records with the same abstract."""
    return max(Counter(record.context for record in records).values(), default=0)


def wrong_contexts(records: Sequence[QARecord]) -> list[QARecord]:
    """For each record a record with another abstract; the same on every run.

    Each record is used once. The records are shuffled with a fixed seed and grouped by abstract. The list is then
    rotated by the size of the largest group, so that no record gets one of its own group.

    Raises:
        UserError: more than half of the records share one abstract.
    """
    largest = _largest_group(records)
    if not has_wrong_contexts(records):
        raise UserError(
            "The contexts wrong and swapped give each question another record's abstract, so at most half of the "
            f"records may share one; of {len(records)} records {largest} have the same abstract. Use more records."
        )
    order = list(range(len(records)))
    random.Random(_SEED).shuffle(order)
    by_abstract = [index for group in grouped(order, lambda index: records[index].context) for index in group]
    rotated = by_abstract[largest:] + by_abstract[:largest]
    source_of = dict(zip(by_abstract, rotated, strict=True))
    return [records[source_of[index]] for index in range(len(records))]


def _has_read_own_abstract(sample: Sample) -> bool:
    return any(hit["id"] == sample["id"] for hit in sample["retrieved"])


def _sample_key(prompt: str | None, question: str, passages: Sequence[str], identity: Mapping[str, Any]) -> str:
    model_input: dict[str, Any] = {"prompt": prompt}
    if prompt is None:  # a chain without a language model has no prompt
        model_input |= {"question": question, "passages": passages}
    return content_key(**model_input, identity=identity)


def _has_read(sample: Sample, passages: Sequence[str], identity: Mapping[str, Any]) -> bool:
    """Whether the sample's answer is based on the texts ``passages``."""
    prompt = sample["prompt"]
    if prompt is None:
        return bool(sample["key"] == _sample_key(None, sample["question"], passages, identity))
    cleaned = map(Cleaner(), passages)
    return all(text in prompt or json.dumps(text, ensure_ascii=False)[1:-1] in prompt for text in cleaned)


def _sample(record: QARecord, answer: Answer, target: str, identity: Mapping[str, Any]) -> dict[str, Any]:
    ids = credited_ids(record, [(passage.id, passage.text) for passage in answer.passages])
    return {
        "id": record.id,
        "question": record.question,
        "prompt": answer.prompt,
        "output": answer.output,
        "label_scores": answer.label_scores,
        "prediction": answer.label,
        "target": target,
        "retrieved": [{"id": id, "score": passage.score} for id, passage in zip(ids, answer.passages, strict=True)],
        "key": _sample_key(answer.prompt, record.question, [passage.text for passage in answer.passages], identity),
        "notes": answer.notes,
    }
