"""Training and dev examples of an embedder run."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from common.errors import UserError
from corpus.inference.claims import ClaimData
from corpus.records import QARecord, documents
from finetune.config import EmbedderTrainConfig
from retrievers.kinds.bm25 import BM25Retriever

DEV_SHARE = 10  # of task evidence, one in so many documents is for dev claims


@dataclass(frozen=True, slots=True)
class Example:
    """A text, the index of its abstract, and the indices of its hard negatives.

    Of task evidence, the abstracts are sentences. A dev claim is ranked against its negatives only, the other sentences
    of its document; a dev question without negatives against all abstracts.
    """

    text: str
    abstract: int
    negatives: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class EmbedderData:
    """The examples of a run.

    Attributes:
        abstracts: the abstracts of all records without repetition, those of the training records first.
        train: training examples; their abstracts and negatives are of training records.
        dev: dev questions or claims.
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


def make_evidence_data(config: EmbedderTrainConfig, claims: ClaimData) -> EmbedderData:
    """Make the examples of task evidence: claims, their labelled sentences, and other sentences of the same documents.

    A claim has an example for each labelled sentence. Its negatives are drawn among the document's sentences that are
    not labelled for it; a short document's are filled up with sentences of other documents. One in ten documents is for
    dev claims, none with ``config.teach_dev``.

    Raises:
        UserError: no training claim has a labelled sentence, or there are too few sentences for the negatives.
    """
    rng = random.Random(config.seed)
    labelled = [
        (claim.text, one.document, frozenset().union(*one.rationales))
        for claim in claims.claims
        for one in claim.evidence
        if any(one.rationales)
    ]
    held_out = sorted({document for _, document, _ in labelled})
    dev_documents = set() if config.teach_dev else set(rng.sample(held_out, len(held_out) // DEV_SHARE))
    labelled.sort(key=lambda one: one[1] in dev_documents)  # training sentences first
    sentences = {
        id: [claims.by_id[id].page_content[start:end] for start, end in claims.sentences[id]]
        for id in dict.fromkeys(document for _, document, _ in labelled)
    }
    indices = {text: index for index, text in enumerate(dict.fromkeys(t for ts in sentences.values() for t in ts))}
    trained = sorted({indices[text] for _, id, _ in labelled if id not in dev_documents for text in sentences[id]})
    if len(trained) < config.negatives + 2:
        raise UserError(
            f"The training claims' documents have {len(trained)} different sentences, too few for "
            f"train.embedder.negatives {config.negatives}. Name another file in claims.path, or set it lower."
        )
    train: list[Example] = []
    dev: list[Example] = []
    for text, document, numbers in labelled:
        own = [indices[sentence] for sentence in sentences[document]]
        right = {own[number] for number in numbers}
        others = [index for index in dict.fromkeys(own) if index not in right]
        if document in dev_documents:
            dev += [Example(text, index, tuple(others)) for index in sorted(right)[:1] if others]
            continue
        for index in sorted(right):
            rng.shuffle(others)
            drawn = rng.sample(trained, min(len(trained), len(own) + config.negatives + len(right)))
            more = (one for one in drawn if one not in right and one not in others)
            train.append(Example(text, index, tuple([*others, *more][: config.negatives])))
    return EmbedderData(tuple(indices), tuple(train), tuple(dev))


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
