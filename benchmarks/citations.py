"""Accuracy of the extractive chain's quotes on PubMedQA and on claims with labelled evidence sentences.

    python benchmarks/citations.py --data PATH/ori_pqal.json --claims PATH/citint [--limit N] [--fit] [--embedder DIR]
        [--cross-encoder DIR]

PubMedQA (``--data``, with test_ground_truth.json beside it): the chain answers each question of the official test split
with quotes from the five abstracts that BM25 ranks first among all 1,000. The measures are whether the first quote is
from the question's abstract, whether it is from a results section, and the share of the conclusion's words in the first
quote (the abstracts lack their conclusions). Two more lines are the shares of answers whose evidence is marked as weak,
with and without the question's abstract among the five.

Citation Integrity (``--claims``, a folder with claims_PART.jsonl and corpus_PART.jsonl or corpus.jsonl in SciFact's
layout): the chain quotes sentences for each claim from its candidate sentences, each of which is a paragraph. The
measures are whether the first quote, and whether one of three, is a labelled sentence. The file has the labelled
sentence first, so the candidates are shuffled, with a fixed seed. Then each claim is attributed to one of five papers,
as the chain attributes sentences of a written answer without citation marks: first the cited paper and the four nearest
others by BM25, then the five nearest others. Constants are chosen on ``--part train``.

``--embedder`` is a folder that ``medground train embedder`` wrote, as for ``chain.quote_embedder``; ``--cross-encoder``
is a folder that ``medground train encoder`` wrote, as for ``chain.quote_cross_encoder``. Neither model may have been
trained on the claims.

Each table compares ranking by shared words, the chain, and the chain without an embedder, without the corpus's word
frequencies, and without the weights for findings. ``--fit`` first fits these weights
(``chains/embedded/findings.json``) to the other half of PubMedQA.
"""

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import bench
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from chains.answer import Citation, Passage
from chains.citations import MIN_RELATIVE_SCORE, CachedEmbedder, FrequencyLookup, Relevance, cite, coverage, select
from chains.qa.base import as_passage
from chains.verification.sentences import nearest_passage
from common.errors import UserError
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

QUOTES = 3  # maximum number of quotes in an answer
PASSAGES = 5  # number of passages to quote from
CITATION_MARKS = re.compile(r"[\[(]?(?:<\|[^|]*\|>[,;\s]*)+[\])]?")  # such as [<|cit|>, <|cit|>]
Quotes = Sequence[Citation]
Ranking = Callable[[str, Sequence[Passage]], Quotes]


def rank_by_shared_words(question: str, passages: Sequence[Passage]) -> list[Citation]:
    """The sentences that share words with the question, sorted by their share of its words."""
    spans = [(passage, *span) for passage in passages for span in sentence_spans(passage.text)]
    shares = coverage(question, [passage.text[start:end] for passage, start, end in spans])
    ranked = [
        Citation(passage_id=passage.id, quote=passage.text[start:end], start=start, end=end, score=share)
        for (passage, start, end), share in zip(spans, shares, strict=True)
        if share > 0
    ]
    return sorted(ranked, key=lambda citation: -citation.score)


def make_rankings(
    embedder: Embeddings, frequencies: FrequencyLookup, relevance: Relevance | None
) -> dict[str, Ranking]:
    """The rankings of quotes to compare, by name; "the chain" is the default."""

    def without_findings(question: str, passages: Sequence[Passage]) -> Quotes:
        with patch("chains.citations.MIN_FINDING_FACTOR", 1.0):  # the factor of a sentence without a finding
            return cite(question, passages, embedder, frequencies, relevance)

    by_name: dict[str, Ranking] = {
        "shared words": rank_by_shared_words,
        "the chain": lambda question, passages: cite(question, passages, embedder, frequencies, relevance),
        "no embedder": lambda question, passages: cite(question, passages, None, frequencies, relevance),
        "no corpus": lambda question, passages: cite(question, passages, embedder, None, relevance),
        "no findings": without_findings,
    }
    if relevance is not None:
        by_name["no cross-encoder"] = lambda question, passages: cite(question, passages, embedder, frequencies)
    return by_name


def displayed_quotes(quotes: Quotes) -> Quotes:
    """The first of the ranked quotes, as many as the chain displays."""
    return [quote for quote in quotes if quote.score >= MIN_RELATIVE_SCORE * quotes[0].score][:QUOTES]


def is_finding(citation: Citation, records: Mapping[str, QARecord]) -> bool:
    """Whether a quote starts in a section of results."""
    record, end = records[citation.passage_id], 0
    for heading, section in zip(record.sections, record.contexts, strict=True):
        end += len(section) + 1  # sections are joined by newlines
        if citation.start < end:
            return reports_findings(heading)
    raise ValueError(f"a quote beyond its abstract: {citation}")


def print_pubmedqa(
    path: str, limit: int | None, embedder: Embeddings, relevance: Relevance | None, *, fit: bool
) -> None:
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
    test = [record for record in test if len(record.sections) == len(record.contexts)][:limit]
    results = retriever.search([record.question for record in test], PASSAGES + 1)
    six_passages = [[as_passage(document) for document in found] for found in results]
    passages = [six[:PASSAGES] for six in six_passages]

    def is_from_own_abstract(quote: Citation, record: QARecord) -> bool:
        return quote.passage_id == record.id

    def conclusion_coverage(quotes: Quotes, record: QARecord) -> float:
        return coverage(record.conclusion, [quotes[0].quote, *record.contexts])[0]

    measures: dict[str, Callable[[Quotes, QARecord], float]] = {
        "first quote of the question's own abstract": lambda quotes, record: is_from_own_abstract(quotes[0], record),
        "first quote of a section of results": lambda quotes, _: is_finding(quotes[0], records),
        f"one of {QUOTES} quotes of its own results": lambda quotes, record: any(
            is_from_own_abstract(quote, record) and is_finding(quote, records) for quote in quotes
        ),
        "the conclusion's words in the first quote": conclusion_coverage,
    }
    quotes_by_ranking = {
        name: [displayed_quotes(rank(record.question, read)) for record, read in zip(test, passages, strict=True)]
        for name, rank in make_rankings(embedder, retriever.frequencies, relevance).items()
    }
    values = {
        title: {
            name: [float(bool(each) and measure(each, record)) for each, record in zip(quotes, test, strict=True)]
            for name, quotes in quotes_by_ranking.items()
        }
        for title, measure in measures.items()
    }
    print_table(f"PubMedQA, {len(test)} questions of the official test split", values)
    without_own = [
        [passage for passage in six if passage.id != record.id][:PASSAGES]
        for record, six in zip(test, six_passages, strict=True)
    ]
    titles = ("evidence marked weak", "marked weak, the question's own abstract left out")
    for title, passages_read in zip(titles, (passages, without_own), strict=True):
        is_weak = [
            select(record.question, read, embedder, retriever.frequencies).is_weak
            for record, read in zip(test, passages_read, strict=True)
        ]
        print(f"  {title:50} {with_interval(proportion(sum(is_weak), len(is_weak)))}")


@dataclass(frozen=True, slots=True)
class LabelledCitation:
    """A claim, the document that it cites, and the numbers of this document's labelled sentences."""

    claim: str
    document: str
    labelled: frozenset[int]


def read_claims(folder: Path, part: str, limit: int | None) -> tuple[list[LabelledCitation], dict[str, list[str]]]:
    """The labelled citations of a part, and the candidate sentences of the documents that its claims cite."""

    def rows(path: Path) -> list[dict[str, Any]]:
        return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]

    claim_rows = rows(folder / f"claims_{part}.jsonl")
    citations = [
        LabelledCitation(
            CITATION_MARKS.sub("", row["claim"]),
            id,
            frozenset(number for label in labels for number in label["sentences"]),
        )
        for row in claim_rows
        for id, labels in row["evidence"].items()
    ]
    part_corpus = folder / f"corpus_{part}.jsonl"
    corpus = rows(part_corpus if part_corpus.is_file() else folder / "corpus.jsonl")
    cited_ids = {each.document for each in citations}
    cited_ids |= {str(id) for row in claim_rows for id in row.get("cited_doc_ids", ())}
    return citations[:limit], {str(row["doc_id"]): row["abstract"] for row in corpus if str(row["doc_id"]) in cited_ids}


def print_claims(folder: Path, part: str, limit: int | None, embedder: Embeddings, relevance: Relevance | None) -> None:
    """Print the table of the labelled citations."""
    citations, candidates = read_claims(folder, part, limit)
    rng = random.Random(0)
    first, among_quotes = "labelled sentence first", f"among {QUOTES}"
    values: dict[str, dict[str, list[float]]] = {first: {}, among_quotes: {}}
    corpus = [Document(page_content=" ".join(sentences)) for sentences in candidates.values()]
    by_name = make_rankings(embedder, BM25Retriever(corpus).frequencies, relevance)
    for citation in citations:
        sentences = list(enumerate(candidates[citation.document]))
        rng.shuffle(sentences)
        passage = Passage(id=citation.document, text="\n\n".join(text for _, text in sentences))
        for name, rank in by_name.items():
            is_labelled = [
                _sentence_number(quote, sentences) in citation.labelled for quote in rank(citation.claim, [passage])
            ]
            values[first].setdefault(name, []).append(any(is_labelled[:1]))
            values[among_quotes].setdefault(name, []).append(any(is_labelled[:QUOTES]))
    print_table(f"Citation Integrity, {part}: {len(citations)} claims over shuffled candidates", values)


def print_attribution(folder: Path, part: str, limit: int | None, embedder: Embeddings) -> None:
    """Print by threshold how many claims are attributed to a paper, and how many of these to the cited paper."""
    citations, candidates = read_claims(folder, part, limit)
    passages = {id: Passage(id=id, text="\n\n".join(sentences)) for id, sentences in candidates.items()}
    retriever = BM25Retriever([Document(id=each.id, page_content=each.text) for each in passages.values()])
    results = retriever.search([citation.claim for citation in citations], 400)  # a paper has a document for each claim
    for name, similarity in (("cosine", embedder), ("words", None)):
        with_cited: list[tuple[float, bool]] = []  # similarity to the attributed paper, and whether it is the cited one
        without_cited: list[float] = []  # similarity to the attributed paper
        for citation, ranked in zip(citations, results, strict=True):
            nearest: dict[int, Passage] = {}
            for document in ranked:
                nearest.setdefault(paper_number(document.id), passages[str(document.id)])
            nearest.pop(paper_number(citation.document), None)
            others = list(nearest.values())[:PASSAGES]
            papers = [passages[citation.document], *others[: PASSAGES - 1]]
            number, score = nearest_passage(citation.claim, papers, similarity)
            with_cited.append((score, number == 1))
            without_cited.append(nearest_passage(citation.claim, others, similarity)[1])
        print(
            f"Attribution by {name}, {part}: {len(citations)} claims over {PASSAGES} papers, with the cited one and "
            "without"
        )
        for threshold in (hundredths / 100 for hundredths in range(30, 95, 5)):
            attributed = [is_cited for score, is_cited in with_cited if score >= threshold]
            if attributed:
                print(
                    f"  {threshold:.2f}  with: attributed {len(attributed) / len(with_cited):.3f}, of these rightly "
                    f"{with_interval(proportion(sum(attributed), len(attributed)))}; without: attributed "
                    f"{sum(score >= threshold for score in without_cited) / len(without_cited):.3f}"
                )


def paper_number(id: str | None) -> int:
    """The number of a document's paper: its thousands, since a paper has several documents, one for each claim."""
    if not (id or "").isdecimal():
        raise UserError(f"The document id {id} is no number. The ids of Citation Integrity number papers by thousands.")
    return int(id or 0) // 1000


def _sentence_number(quote: Citation, sentences: Sequence[tuple[int, str]]) -> int:
    """The number of the candidate sentence in which a quote starts."""
    end = 0
    for number, text in sentences:
        end += len(text) + 2  # sentences are joined by two newlines
        if quote.start < end:
            return number
    raise ValueError(f"a quote beyond its text: {quote}")


def print_table(title: str, values: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Print the means with 95% intervals, and the chain's paired differences from the other rankings.

    ``values`` has a value for each question or claim, by measure and ranking.
    """
    print(title)
    for measure, by_ranking in values.items():
        print(f"  {measure}")
        for name, hits in by_ranking.items():
            share = proportion(int(sum(hits)), len(hits)) if set(hits) <= {0.0, 1.0} else mean(list(hits))
            gain = with_interval(mean_difference(hits, by_ranking["the chain"]), signed=True)
            print(f"    {name:16} {with_interval(share):24} {f'the chain minus this: {gain}' * (name != 'the chain')}")


def main() -> None:
    """Print the tables for the data given by the options."""
    parser = bench.make_parser(__doc__)
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
        print_pubmedqa(options.data, options.limit, embedder, relevance, fit=options.fit)
    if options.claims:
        print_claims(options.claims, options.part, options.limit, embedder, relevance)
        print_attribution(options.claims, options.part, options.limit, embedder)


if __name__ == "__main__":
    bench.run(main)
