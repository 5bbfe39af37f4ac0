"""Training and dev examples of an embedder run."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from langchain_core.documents import Document

from common.errors import UserError
from corpus.inference.claims import ClaimData
from corpus.records import QARecord
from finetune.config import EmbedderTrainConfig
from retrievers.kinds.bm25 import BM25Retriever

_DOCUMENTS_PER_DEV_DOCUMENT = 10  # with task ``evidence``, one in 10 documents is a dev document


@dataclass(frozen=True, slots=True)
class Example:
    """A text, the index of its abstract, and the indices of its hard negatives.

    With task ``evidence``, a labelled sentence takes the place of the abstract. The evaluation ranks the abstract of a
    dev question among all abstracts. It ranks the sentence of a dev claim only among the claim's negatives.
    """

    text: str
    abstract: int
    negatives: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class EmbedderData:
    """The examples of a run.

    Attributes:
        abstracts: the different abstracts of all records, those of training records first; with task ``evidence`` the
            different sentences.
        train: training examples, with abstracts and negatives of training records only.
        dev: dev questions or claims.
    """

    abstracts: tuple[str, ...]
    train: tuple[Example, ...]
    dev: tuple[Example, ...]


def make_data(config: EmbedderTrainConfig, train: Sequence[QARecord], dev: Sequence[QARecord]) -> EmbedderData:
    """Make the examples of ``config.pairs``, with hard negatives mined by BM25 in the training abstracts.

    If BM25 finds too few abstracts for a text, random abstracts fill up its negatives.

    Raises:
        UserError: there are too few training abstracts for the negatives, or no training text.
    """
    train = [record for record in train if record.context.strip()]
    train_abstracts = list(dict.fromkeys(record.context for record in train))
    abstracts = list(dict.fromkeys((*train_abstracts, *(record.context for record in dev))))
    indices = {abstract: index for index, abstract in enumerate(abstracts)}
    _check_candidates(config, len(train_abstracts), "The training records", "abstracts", "Use more records")
    pairs = [(text, indices[record.context]) for record in train for text in _anchors(config, record)]
    if not pairs:
        raise UserError(f"No training record has any of train.embedder.pairs ({', '.join(config.pairs)}).")
    # ``abstracts`` begins with ``train_abstracts``, so indices into the latter are valid for both.
    negatives = _hard_negatives(pairs, train_abstracts, config)
    return EmbedderData(
        abstracts=tuple(abstracts),
        train=tuple(Example(*pair, hard) for pair, hard in zip(pairs, negatives, strict=True)),
        dev=tuple(Example(record.question, indices[record.context]) for record in dev),
    )


def make_evidence_data(config: EmbedderTrainConfig, claims: ClaimData) -> EmbedderData:
    """Make the examples of task ``evidence``: claims, their labelled sentences, and other sentences as negatives.

    One in ten documents is a dev document; with ``config.teach_dev`` none is.

    A claim has one training example for each labelled sentence of a training document. The negatives are random
    unlabelled sentences of that document. If they are too few, sentences of other training documents are added.

    A claim has one dev example for each dev document with unlabelled sentences. The example has the document's first
    labelled sentence, and all unlabelled sentences as negatives.

    Raises:
        UserError: no claim has a labelled sentence, or a claim has too few sentences for its negatives.
    """
    rng = random.Random(config.seed)
    labelled = [
        (claim.text, evidence.document, frozenset().union(*evidence.rationales))
        for claim in claims.claims
        for evidence in claim.evidence
        if any(evidence.rationales)
    ]
    if not labelled:
        raise UserError("No claim has a labelled evidence sentence. Name claims in SciFact's format in claims.path.")
    documents = sorted({document for _, document, _ in labelled})
    dev_count = 0 if config.teach_dev else len(documents) // _DOCUMENTS_PER_DEV_DOCUMENT
    dev_documents = set(rng.sample(documents, dev_count))
    labelled.sort(key=lambda entry: entry[1] in dev_documents)  # training documents first
    sentences = {
        id: [claims.by_id[id].page_content[start:end] for start, end in claims.sentences[id]]
        for id in dict.fromkeys(document for _, document, _ in labelled)
    }
    indices = {text: index for index, text in enumerate(dict.fromkeys(chain.from_iterable(sentences.values())))}
    train_documents = [id for id in sentences if id not in dev_documents]
    train_indices = sorted({indices[text] for id in train_documents for text in sentences[id]})
    advice = "Name another file in claims.path"
    _check_candidates(config, len(train_indices), "The training claims' documents", "sentences", advice)
    train: list[Example] = []
    dev: list[Example] = []
    for text, document, sentence_numbers in labelled:
        in_document = [indices[sentence] for sentence in sentences[document]]
        evidence = {in_document[number] for number in sentence_numbers}
        unlabelled = [index for index in dict.fromkeys(in_document) if index not in evidence]
        if document in dev_documents:
            if unlabelled:
                dev.append(Example(text, min(evidence), tuple(unlabelled)))
            continue
        for index in sorted(evidence):
            rng.shuffle(unlabelled)
            # Enough draws for config.negatives sentences, even if all sentences of this document are drawn.
            draws = min(len(train_indices), len(in_document) + config.negatives + len(evidence))
            further = [drawn for drawn in rng.sample(train_indices, draws) if drawn not in (*evidence, *unlabelled)]
            negatives = (*unlabelled, *further)[: config.negatives]
            if len(negatives) < config.negatives:
                raise UserError(
                    f"The claim {text!r} has {len(negatives)} sentences that can be negatives, fewer than "
                    f"train.embedder.negatives {config.negatives}. Set train.embedder.negatives lower."
                )
            train.append(Example(text, index, negatives))
    return EmbedderData(tuple(indices), tuple(train), tuple(dev))


def _check_candidates(config: EmbedderTrainConfig, count: int, where: str, kind: str, advice: str) -> None:
    """Raise ``UserError`` unless ``count`` candidates suffice for a positive, its negatives and one more."""
    if count < config.negatives + 2:
        or_fewer_negatives = ", or set train.embedder.negatives lower" * bool(config.negatives)
        raise UserError(
            f"{where} have {count} different {kind}, too few for train.embedder.negatives {config.negatives}. "
            f"{advice}{or_fewer_negatives}."
        )


def _anchors(config: EmbedderTrainConfig, record: QARecord) -> Iterator[str]:
    """The texts of a record that are paired with its abstract."""
    texts = {"question": record.question, "conclusion": record.conclusion}
    yield from (texts[kind] for kind in config.pairs if texts[kind].strip())


def _hard_negatives(
    pairs: Sequence[tuple[str, int]], abstracts: Sequence[str], config: EmbedderTrainConfig
) -> list[tuple[int, ...]]:
    """The hard negatives of each text, as indices into ``abstracts``.

    Each of ``pairs`` holds a text and the index of its abstract.
    """
    if not config.negatives:
        return [() for _ in pairs]
    documents = [Document(id=str(index), page_content=text) for index, text in enumerate(abstracts)]
    hits = BM25Retriever(documents).search([text for text, _ in pairs], config.negatives + 1)
    negatives = []
    for number, ((_, gold), text_hits) in enumerate(zip(pairs, hits, strict=True)):
        mined = [int(str(hit.id)) for hit in text_hits if int(str(hit.id)) != gold]
        if len(mined) < config.negatives:
            rest = [index for index in range(len(abstracts)) if index != gold and index not in mined]
            random.Random(f"{config.seed}/{number}").shuffle(rest)
            mined += rest
        negatives.append(tuple(mined[: config.negatives]))
    return negatives
