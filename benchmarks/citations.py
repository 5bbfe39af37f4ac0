"""Accuracy of the extractive chain's quotes on PubMedQA and on claims with labelled evidence sentences.

    python benchmarks/citations.py --data PATH/ori_pqal.json --claims PATH/citint [--limit N] [--fit] [--embedder DIR]
        [--cross-encoder DIR]

PubMedQA (``--data``, with test_ground_truth.json beside it): each question of the official test split is asked over the
five abstracts that BM25 finds among all 1,000. Is the first quote from the question's own abstract, and is it from a
results section? The abstracts lack their conclusions; the last row is the share of the conclusion's words in the first
quote. Two more lines are the shares of answers marked as weak evidence, with and without the question's own abstract
among the passages.

Citation Integrity (``--claims``, a folder with claims_PART.jsonl and corpus_PART.jsonl or corpus.jsonl in SciFact's
layout): each claim is asked over its candidate sentences, one a paragraph. Is the first quote, or one of three, a
labelled sentence? The file has the labelled sentence first, so the candidates are shuffled, with a fixed seed. Then
each claim is attributed to one of five papers, as a sentence of an answer without marks is: the cited one and the four
nearest others by BM25, and then the five nearest others. Constants are chosen on ``--part train``.

``--embedder`` names a folder that ``medground train embedder`` wrote, as for ``chain.quote_embedder``;
``--cross-encoder`` one of ``medground train encoder``, as for ``chain.quote_cross_encoder``. Measure them on claims
that they were not trained on.

Each table compares shared words, the chain, and the chain without an embedder, without the corpus's word frequencies,
and without the weights for findings. ``--fit`` first fits those weights (``chains/embedded/findings.json``) to
PubMedQA's other half.
"""

import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bench
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

import chains.citations
from chains.answer import Citation, Passage
from chains.citations import FrequencyLookup, Relevance, cite, coverage, select
from chains.qa.base import as_passage
from chains.qa.extractive import MIN_RELATIVE_SCORE
from chains.verification.sentences import nearest_passage
from corpus.config import DataConfig
from corpus.load import load_records
from corpus.records import QARecord, documents
from corpus.sentences import sentence_spans
from eval.stats.estimate import mean, proportion
from eval.stats.significance import mean_difference
from eval.tables import with_interval
from retrievers.config import EmbedderConfig
from retrievers.embedders import make_embedder
from retrievers.kinds.bm25 import BM25Retriever
from retrievers.kinds.rerank import load_reranker
from tools.fit_findings import fit_findings, reports_findings, save_findings

QUOTES = 3
PASSAGES = 5
MARKS = re.compile(r"[\[(]?(?:<\|[^|]*\|>[,;\s]*)+[\])]?")  # in place of a claim's citations
Quotes = Sequence[Citation]
Choice = Callable[[str, Sequence[Passage]], Quotes]


def by_shared_words(question: str, passages: Sequence[Passage]) -> list[Citation]:
    """The sentences with the greatest shares of the question's words."""
    spans = [(passage, *span) for passage in passages for span in sentence_spans(passage.text)]
    shares = coverage(question, [passage.text[start:end] for passage, start, end in spans])
    ranked = [
        Citation(passage_id=passage.id, quote=passage.text[start:end], start=start, end=end, score=share)
        for (passage, start, end), share in zip(spans, shares, strict=True)
        if share > 0
    ]
    return sorted(ranked, key=lambda citation: -citation.score)


class CachedEmbedder(Embeddings):
    """Embeds each text once."""

    def __init__(self, embedder: Embeddings) -> None:
        self._embedder = embedder
        self.vectors: dict[str, list[float]] = {}

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector for each text."""
        if new := [text for text in dict.fromkeys(texts) if text not in self.vectors]:
            self.vectors |= zip(new, self._embedder.embed_documents(new), strict=True)
        return [self.vectors[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """The vector of a question."""
        return self._embedder.embed_query(text)


def choices(embedder: Embeddings, frequencies: FrequencyLookup, relevance: Relevance | None) -> dict[str, Choice]:
    """The ways to choose quotes, by name; the second is the chain's."""

    def without_findings(question: str, passages: Sequence[Passage]) -> Quotes:
        with _least(1.0):
            return cite(question, passages, embedder, frequencies, relevance)

    ways: dict[str, Choice] = {
        "shared words": by_shared_words,
        "the chain": lambda question, passages: cite(question, passages, embedder, frequencies, relevance),
        "no embedder": lambda question, passages: cite(question, passages, None, frequencies, relevance),
        "no corpus": lambda question, passages: cite(question, passages, embedder, None, relevance),
        "no findings": without_findings,
    }
    if relevance is not None:
        ways["no cross-encoder"] = lambda question, passages: cite(question, passages, embedder, frequencies)
    return ways


@contextmanager
def _least(value: float) -> Iterator[None]:
    """Change ``chains.citations.MIN_FINDING_FACTOR``, the factor of a sentence without a finding."""
    before, chains.citations.MIN_FINDING_FACTOR = chains.citations.MIN_FINDING_FACTOR, value
    try:
        yield
    finally:
        chains.citations.MIN_FINDING_FACTOR = before


def shown(quotes: Quotes) -> Quotes:
    """The quotes that the chain would show."""
    return [one for one in quotes if one.score >= MIN_RELATIVE_SCORE * quotes[0].score][:QUOTES]


def is_finding(citation: Citation, records: Mapping[str, QARecord]) -> bool:
    """Whether a quote begins in a section of results."""
    record, begin = records[citation.passage_id], 0
    for heading, context in zip(record.sections, record.contexts, strict=True):
        begin += len(context) + 1  # one section per line
        if citation.start < begin:
            return reports_findings(heading)
    raise ValueError(f"a quote beyond its abstract: {citation}")


def pubmedqa(path: str, limit: int | None, embedder: Embeddings, relevance: Relevance | None, *, fit: bool) -> None:
    """Print the table of PubMedQA's test split."""
    data = DataConfig(path=path)
    train, test = [*load_records(data, "train"), *load_records(data, "dev")], load_records(data, "test")
    if fit:
        model = fit_findings(train)
        save_findings(model)
        print(
            f"fitted to {model['abstracts']} abstracts, {model['sentences']} sentences: {len(model['weights'])} words"
        )
    records = {record.id: record for record in (*train, *test)}
    retriever = BM25Retriever(documents(list(records.values())))
    asked = [record for record in test if len(record.sections) == len(record.contexts)][:limit]
    found = retriever.search([record.question for record in asked], PASSAGES + 1)
    more = [[as_passage(document) for document in passages] for passages in found]
    read = [passages[:PASSAGES] for passages in more]

    def own(one: Citation, record: QARecord) -> bool:
        return one.passage_id == record.id

    def concluded(quotes: Quotes, record: QARecord) -> float:
        return coverage(record.conclusion, [quotes[0].quote, *(text for text in record.contexts)])[0]

    measures: dict[str, Callable[[Quotes, QARecord], float]] = {
        "first quote of the question's own abstract": lambda quotes, record: own(quotes[0], record),
        "first quote of a section of results": lambda quotes, _: is_finding(quotes[0], records),
        f"one of {QUOTES} quotes of its own results": lambda quotes, record: any(
            own(one, record) and is_finding(one, records) for one in quotes
        ),
        "the conclusion's words in the first quote": concluded,
    }
    quotes = {
        name: [shown(choose(record.question, passages)) for record, passages in zip(asked, read, strict=True)]
        for name, choose in choices(embedder, retriever.frequencies, relevance).items()
    }
    values = {
        measure: {
            name: [float(bool(one) and value(one, record)) for one, record in zip(ones, asked, strict=True)]
            for name, ones in quotes.items()
        }
        for measure, value in measures.items()
    }
    table(f"PubMedQA, {len(asked)} questions of the official test split", values)
    weak = {"evidence marked weak": read}
    weak["marked weak, the question's own abstract left out"] = [
        [one for one in ones if one.id != record.id][:PASSAGES] for record, ones in zip(asked, more, strict=True)
    ]
    for name, given in weak.items():
        marked = [
            select(record.question, passages, embedder, retriever.frequencies).is_weak
            for record, passages in zip(asked, given, strict=True)
        ]
        print(f"  {name:50} {with_interval(proportion(sum(marked), len(marked)))}")


@dataclass(frozen=True, slots=True)
class Cited:
    """A claim, the document that it cites, and the numbers of this document's labelled sentences."""

    claim: str
    document: str
    labelled: frozenset[int]


def read_claims(folder: Path, part: str, limit: int | None) -> tuple[list[Cited], dict[str, list[str]]]:
    """The labelled citations of a part, and the candidate sentences of the documents that its claims cite."""

    def lines(path: Path) -> list[dict[str, Any]]:
        return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]

    listed = lines(folder / f"claims_{part}.jsonl")
    cited = [
        Cited(MARKS.sub("", one["claim"]), id, frozenset(number for label in labels for number in label["sentences"]))
        for one in listed
        for id, labels in one["evidence"].items()
    ]
    own = folder / f"corpus_{part}.jsonl"
    corpus = lines(own if own.is_file() else folder / "corpus.jsonl")
    named = {one.document for one in cited} | {str(id) for one in listed for id in one.get("cited_doc_ids", ())}
    return cited[:limit], {str(one["doc_id"]): one["abstract"] for one in corpus if str(one["doc_id"]) in named}


def claims(folder: Path, part: str, limit: int | None, embedder: Embeddings, relevance: Relevance | None) -> None:
    """Print the table of the labelled citations."""
    cited, candidates = read_claims(folder, part, limit)
    order = random.Random(0)
    values: dict[str, dict[str, list[float]]] = {"labelled sentence first": {}, f"among {QUOTES}": {}}
    texts_of = [Document(page_content=" ".join(texts)) for texts in candidates.values()]
    ways = choices(embedder, BM25Retriever(texts_of).frequencies, relevance)
    for one in cited:
        texts = list(enumerate(candidates[one.document]))
        order.shuffle(texts)
        passage = Passage(id=one.document, text="\n\n".join(text for _, text in texts))
        for name, choose in ways.items():
            begins = [_place(quote, texts) in one.labelled for quote in choose(one.claim, [passage])]
            values["labelled sentence first"].setdefault(name, []).append(any(begins[:1]))
            values[f"among {QUOTES}"].setdefault(name, []).append(any(begins[:QUOTES]))
    table(f"Citation Integrity, {part}: {len(cited)} claims over shuffled candidates", values)


def attribution(folder: Path, part: str, limit: int | None, embedder: Embeddings) -> None:
    """Print, by cut-off, how many claims are attributed to a passage, and how many of these to the cited paper."""
    cited, candidates = read_claims(folder, part, limit)
    passages = {id: Passage(id=id, text="\n\n".join(texts)) for id, texts in candidates.items()}
    retriever = BM25Retriever([Document(id=one.id, page_content=one.text) for one in passages.values()])
    found = retriever.search([one.claim for one in cited], 400)
    for name, by in (("cosine", embedder), ("words", None)):
        near: list[tuple[float, bool]] = []  # with the cited paper: nearness, and whether it is this paper's
        far: list[float] = []  # without it
        for one, ranked in zip(cited, found, strict=True):
            nearest: dict[int, Passage] = {}
            for document in ranked:
                nearest.setdefault(_paper(document.id), passages[str(document.id)])
            nearest.pop(_paper(one.document), None)
            others = list(nearest.values())[:PASSAGES]
            number, nearness = nearest_passage(one.claim, [passages[one.document], *others[: PASSAGES - 1]], by)
            near.append((nearness, number == 1))
            far.append(nearest_passage(one.claim, others, by)[1])
        print(
            f"Attribution by {name}, {part}: {len(cited)} claims over {PASSAGES} papers, with the cited one and without"
        )
        for cut in (hundredths / 100 for hundredths in range(30, 95, 5)):
            kept = [is_cited for nearness, is_cited in near if nearness >= cut]
            if kept:
                print(
                    f"  {cut:.2f}  with: attributed {len(kept) / len(near):.3f}, of these rightly "
                    f"{with_interval(proportion(sum(kept), len(kept)))}; without: attributed "
                    f"{sum(nearness >= cut for nearness in far) / len(far):.3f}"
                )


def _paper(id: str | None) -> int:
    """The cited paper of a document, which holds candidates for one claim: the thousands of its id."""
    return int(id or 0) // 1000


def _place(quote: Citation, texts: Sequence[tuple[int, str]]) -> int:
    """The number of the candidate sentence in which a quote starts."""
    begin = 0
    for number, text in texts:
        begin += len(text) + 2
        if quote.start < begin:
            return number
    raise ValueError(f"a quote beyond its text: {quote}")


def table(title: str, values: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Print the shares with 95% intervals, and the chain's paired differences from the others."""
    print(title)
    for measure, ways in values.items():
        print(f"  {measure}")
        for name, hits in ways.items():
            share = proportion(int(sum(hits)), len(hits)) if set(hits) <= {0.0, 1.0} else mean(list(hits))
            gain = with_interval(mean_difference(hits, ways["the chain"]), signed=True)
            print(f"    {name:16} {with_interval(share):24} {f'the chain minus this: {gain}' * (name != 'the chain')}")


def main() -> None:
    """Print the tables of the data that the options name."""
    parser = bench.parser(__doc__)
    parser.add_argument("--data", help="PubMedQA's ori_pqal.json")
    parser.add_argument("--claims", type=Path, help="folder of Citation Integrity")
    parser.add_argument("--part", choices=("train", "dev", "test"), default="dev", help="part of the claims")
    parser.add_argument("--limit", type=int, help="number of questions and of claims")
    parser.add_argument("--embedder", default="embedded", help="model of the embedder, as in embedders.NAME.model")
    parser.add_argument("--cross-encoder", help="as chain.quote_cross_encoder")
    parser.add_argument("--fit", action="store_true", help="fit the weights for findings before measuring")
    options = parser.parse_args()
    embedder = CachedEmbedder(make_embedder(EmbedderConfig(model=options.embedder, dtype="float32")))
    reranker = options.cross_encoder and load_reranker(options.cross_encoder, "float32", ("maybe", "neutral"))
    relevance = reranker.relevance if reranker else None
    if options.data:
        pubmedqa(options.data, options.limit, embedder, relevance, fit=options.fit)
    if options.claims:
        claims(options.claims, options.part, options.limit, embedder, relevance)
        attribution(options.claims, options.part, options.limit, embedder)


if __name__ == "__main__":
    bench.run(main)
