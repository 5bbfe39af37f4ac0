"""The retrieval task: does each question bring back its own abstract?"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document

from common.errors import UserError
from common.fingerprints import content_key
from corpus.records import QARecord
from eval.metrics import DEPTH, ranking_metrics
from eval.results import TaskResult, check_task_name
from retrievers.cached import CachedRetriever

if TYPE_CHECKING:
    from retrievers.base import Retriever


def evaluate_retrieval(
    name: str,
    retriever: "Retriever",
    records: Sequence[QARecord],
    depth: int = DEPTH,
    *,
    identity: Mapping[str, Any],
) -> TaskResult:
    """Ask every record's question and look for the record's own abstract among the first ``depth`` passages.

    All questions go to the retriever in one call. The retriever must stand over the records' abstracts, indexed under
    the records' ids (``corpus.records.documents``); it may hold others too. Where records share an abstract, word for
    word, any of its ids is the own one: nothing in the question could tell them apart.

    Args:
        name: the retriever's name in the settings; the task is called ``retrieval_NAME``.
        retriever: what is measured.
        records: their questions are asked; each abstract is the one relevant document of its question.
        depth: how many passages are asked for and kept in the samples, at least 10.
        identity: what determines the retriever's results beside question and abstracts, as plain data (its settings,
            its embedder's settings); it enters the samples' keys.

    Raises:
        UserError: no records, or a name that cannot be part of a file name.
        ValueError: ``depth`` is below 10.
    """
    task = f"retrieval_{name}"
    check_task_name(task)
    if not records:
        raise UserError(f"{task}: there are no records to ask about. Choose another split or a higher limit.")
    if depth < DEPTH:
        raise ValueError(f"depth {depth} is below {DEPTH}, which the metrics need")
    before = retriever.reused if isinstance(retriever, CachedRetriever) else 0
    found = retriever.search([record.question for record in records], depth)
    reused = retriever.reused - before if isinstance(retriever, CachedRetriever) else 0
    abstracts = content_key(abstracts=[[record.id, record.context] for record in records])
    ranks: list[int | None] = []
    samples: list[dict[str, Any]] = []
    for record, passages in zip(records, found, strict=True):
        ids = _own_first(record, passages)
        ranks.append(ids.index(record.id) + 1 if record.id in ids else None)
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
                    {"id": id, "score": passage.metadata["score"]} for id, passage in zip(ids, passages, strict=True)
                ],
                "key": content_key(
                    question=record.question, abstracts=abstracts, depth=depth, name=name, identity=identity
                ),
            }
        )
    return TaskResult(task, ranking_metrics(ranks), samples, reused, identity)


def _own_first(record: QARecord, passages: Sequence[Document]) -> list[str | None]:
    """The passages' ids; of those that have the text of the record's abstract, the first has its id."""
    ids = [passage.id for passage in passages]
    first = next((place for place, passage in enumerate(passages) if passage.page_content == record.context), None)
    if first is None or record.id in ids[:first]:
        return ids
    other = ids[first]
    return [record.id if place == first else other if id == record.id else id for place, id in enumerate(ids)]
