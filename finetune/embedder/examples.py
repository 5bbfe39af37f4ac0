"""From question records to what an embedder is taught: texts, the abstract that belongs to each, and wrong ones."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from common.errors import UserError
from corpus.records import QARecord, documents
from finetune.config import TaughtEmbedderConfig
from retrievers.kinds.bm25 import BM25Retriever


@dataclass(frozen=True, slots=True)
class Example:
    """A text, the abstract that belongs to it and ``negatives``, which don't; abstracts by their numbers."""

    text: str
    abstract: int
    negatives: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is taught and what it is measured on.

    Attributes:
        abstracts: of all records, those of the training records first; each text once.
        train: the examples; their abstracts and negatives are of training records.
        dev: the dev questions, without negatives.
    """

    abstracts: tuple[str, ...]
    train: tuple[Example, ...]
    dev: tuple[Example, ...]


def make_lesson(config: TaughtEmbedderConfig, train: Sequence[QARecord], dev: Sequence[QARecord]) -> Lesson:
    """The examples of ``config.pairs``, each with the abstracts that BM25 finds for it among the wrong ones.

    Of a text that shares words with too few abstracts, the rest of its negatives are drawn from all.

    Raises:
        UserError: there are fewer than two training abstracts beside the negatives, or nothing to teach.
    """
    train = [record for record in train if record.context.strip()]
    texts = list(dict.fromkeys(record.context for record in (*train, *dev)))
    numbers = {text: number for number, text in enumerate(texts)}
    taught = sorted({numbers[record.context] for record in train})
    if len(taught) < config.negatives + 2:
        raise UserError(
            f"The training records have {len(taught)} different abstracts, too few to tell apart with "
            f"train.embedder.negatives {config.negatives}. Take more records."
        )
    pairs = [(text, numbers[record.context]) for record in train for text in _texts(config, record)]
    if not pairs:
        raise UserError(f"No training record has what train.embedder.pairs names ({', '.join(config.pairs)}).")
    wrong = _mined(pairs, [texts[number] for number in taught], config)
    return Lesson(
        abstracts=tuple(texts),
        train=tuple(Example(*pair, negatives) for pair, negatives in zip(pairs, wrong, strict=True)),
        dev=tuple(Example(record.question, numbers[record.context]) for record in dev),
    )


def _texts(config: TaughtEmbedderConfig, record: QARecord) -> Iterator[str]:
    """What of a record is taught to be near its abstract."""
    of = {"question": record.question, "conclusion": record.conclusion}
    yield from (of[kind] for kind in config.pairs if of[kind].strip())


def _mined(
    pairs: Sequence[tuple[str, int]], abstracts: Sequence[str], config: TaughtEmbedderConfig
) -> list[tuple[int, ...]]:
    """For each text the numbers of the first wrong abstracts by BM25; ``abstracts`` begins with those of training."""
    if not config.negatives:
        return [() for _ in pairs]
    records = [
        QARecord(id=str(number), question="", contexts=(text,), label=None) for number, text in enumerate(abstracts)
    ]
    found = BM25Retriever(documents(records)).search([text for text, _ in pairs], config.negatives + 1)
    mined = []
    for place, ((_, right), documents_) in enumerate(zip(pairs, found, strict=True)):
        wrong = [int(str(one.id)) for one in documents_ if int(str(one.id)) != right]
        rest = [number for number in range(len(abstracts)) if number != right and number not in wrong]
        random.Random(f"{config.seed}/{place}").shuffle(rest)
        mined.append(tuple((wrong + rest)[: config.negatives]))
    return mined
