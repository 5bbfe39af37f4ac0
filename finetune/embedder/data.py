"""Training and dev examples of an embedder run."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from common.errors import UserError
from corpus.records import QARecord, documents
from finetune.config import EmbedderTrainConfig
from retrievers.kinds.bm25 import BM25Retriever


@dataclass(frozen=True, slots=True)
class Example:
    """A text, the index of its abstract, and the indices of its hard negatives."""

    text: str
    abstract: int
    negatives: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class EmbedderData:
    """The examples of a run.

    Attributes:
        abstracts: the abstracts of all records without repetition, those of the training records first.
        train: training examples; their abstracts and negatives are of training records.
        dev: dev questions, without negatives.
    """

    abstracts: tuple[str, ...]
    train: tuple[Example, ...]
    dev: tuple[Example, ...]


def make_data(config: EmbedderTrainConfig, train: Sequence[QARecord], dev: Sequence[QARecord]) -> EmbedderData:
    """Make the examples of ``config.pairs``, with BM25's first other abstracts as hard negatives.

    Where BM25 finds too few abstracts for a text, the rest of its negatives are random.

    Raises:
        UserError: there are too few training abstracts for the negatives, or no training text.
    """
    train = [record for record in train if record.context.strip()]
    texts = list(dict.fromkeys(record.context for record in (*train, *dev)))
    indices = {text: index for index, text in enumerate(texts)}
    trained = sorted({indices[record.context] for record in train})
    if len(trained) < config.negatives + 2:
        raise UserError(
            f"The training records have {len(trained)} different abstracts, too few for train.embedder.negatives "
            f"{config.negatives}. Use more records, or set train.embedder.negatives lower."
        )
    pairs = [(text, indices[record.context]) for record in train for text in _texts(config, record)]
    if not pairs:
        raise UserError(f"No training record has any of train.embedder.pairs ({', '.join(config.pairs)}).")
    negatives = _hard_negatives(pairs, [texts[index] for index in trained], config)
    return EmbedderData(
        abstracts=tuple(texts),
        train=tuple(Example(*pair, others) for pair, others in zip(pairs, negatives, strict=True)),
        dev=tuple(Example(record.question, indices[record.context]) for record in dev),
    )


def _texts(config: EmbedderTrainConfig, record: QARecord) -> Iterator[str]:
    texts = {"question": record.question, "conclusion": record.conclusion}
    yield from (texts[kind] for kind in config.pairs if texts[kind].strip())


def _hard_negatives(
    pairs: Sequence[tuple[str, int]], abstracts: Sequence[str], config: EmbedderTrainConfig
) -> list[tuple[int, ...]]:
    """The indices of each text's hard negatives among ``abstracts``, which are the first of all abstracts."""
    if not config.negatives:
        return [() for _ in pairs]
    records = [
        QARecord(id=str(index), question="", contexts=(text,), label=None) for index, text in enumerate(abstracts)
    ]
    hits = BM25Retriever(documents(records)).search([text for text, _ in pairs], config.negatives + 1)
    negatives = []
    for place, ((_, right), found) in enumerate(zip(pairs, hits, strict=True)):
        wrong = [int(str(one.id)) for one in found if int(str(one.id)) != right]
        rest = [index for index in range(len(abstracts)) if index != right and index not in wrong]
        random.Random(f"{config.seed}/{place}").shuffle(rest)
        negatives.append(tuple((wrong + rest)[: config.negatives]))
    return negatives
