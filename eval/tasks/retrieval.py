"""Retrieval of the abstract that each question belongs to."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from common.errors import UserError
from common.fingerprints import content_key
from corpus.records import QARecord
from eval.results import TaskResult
from eval.stats.metrics import DEPTH
from eval.tasks.base import RETRIEVAL, Resources, Section, Task, credited_ids
from eval.tasks.scorers import RANKING, Sample, Scorer
from retrievers.cached import CachedRetriever

if TYPE_CHECKING:
    from retrievers.base import Retriever


class RetrievalTask(Task):
    """``retrieval_NAME``: each question is a query, whose only relevant document is the record's abstract."""

    kind: ClassVar[str] = "retrieval"
    section: ClassVar[Section] = RETRIEVAL

    context: None = None
    retriever: str
    variant: None = None

    @property
    def scorer(self) -> Scorer:
        """The scorer of the target's rank."""
        return RANKING

    def title(self, config: Mapping[str, Any]) -> str:  # noqa: ARG002
        """The retriever's name."""
        return self.retriever

    def run(self, resources: Resources) -> TaskResult:
        """Measure the retriever over all abstracts of the data."""
        subject = resources.retriever(self.retriever)
        return self.evaluate(subject.model, resources.records(), identity=subject.identity)

    def evaluate(
        self,
        retriever: "Retriever",
        records: Sequence[QARecord],
        depth: int = DEPTH,
        *,
        identity: Mapping[str, Any],
    ) -> TaskResult:
        """Query the retriever with all questions in one call.

        The retriever must search the records' abstracts under the records' ids (``corpus.records.documents``), and may
        search other documents too. A copy of a record's abstract counts as the abstract (``credited_ids``). ``depth``
        is the number of passages to retrieve; ``identity`` is everything besides question and abstracts that determines
        the results.

        Raises:
            UserError: no records.
            ValueError: ``depth`` is below 10.
        """
        if not records:
            raise UserError(f"{self.name}: there are no records. Choose another split or a higher limit.")
        if depth < DEPTH:
            raise ValueError(f"depth {depth} is below {DEPTH}, which the metrics need")
        reused_before = retriever.reused if isinstance(retriever, CachedRetriever) else 0
        hits = retriever.search([record.question for record in records], depth)
        reused = retriever.reused - reused_before if isinstance(retriever, CachedRetriever) else 0
        abstracts = _abstracts_key([(record.id, record.context) for record in records])
        samples: list[dict[str, Any]] = []
        for record, passages in zip(records, hits, strict=True):
            ids = credited_ids(record, [(passage.id, passage.page_content) for passage in passages])
            samples.append(
                {
                    "id": record.id,
                    "question": record.question,
                    "prompt": None,
                    "output": None,
                    "label_scores": {},
                    "prediction": ids[0] if ids else None,
                    "target": record.id,
                    "retrieved": [
                        {"id": id, "score": passage.metadata["score"]}
                        for id, passage in zip(ids, passages, strict=True)
                    ],
                    "key": self._sample_key(record.question, abstracts, depth, identity),
                }
            )
        return TaskResult(self, self.metrics(samples, ()), samples, reused, identity)

    def agrees_with(self, samples: Sequence[Sample], texts: Mapping[str, str], identity: Mapping[str, Any]) -> bool:
        """Whether the first sample's key matches ``texts``. The key depends on the abstracts of all samples."""
        first = samples[0]
        abstracts = _abstracts_key([(sample["id"], texts[sample["id"]]) for sample in samples])
        depth = max(DEPTH, *(len(sample["retrieved"]) for sample in samples))
        return first.get("key") in (None, self._sample_key(first["question"], abstracts, depth, identity))

    def _sample_key(self, question: str, abstracts: str, depth: int, identity: Mapping[str, Any]) -> str:
        return content_key(question=question, abstracts=abstracts, depth=depth, name=self.retriever, identity=identity)


def _abstracts_key(abstracts: Sequence[tuple[str, str]]) -> str:
    """A hash of the abstracts' ids and texts."""
    return content_key(abstracts=abstracts)
