"""Do quotes tell what was found, or what was asked?

    python benchmarks/citations.py --data PATH/ori_pqal.json [--fit]

Each question of PubMedQA is asked of the extractive chain over the five abstracts that BM25 finds among all. Its quotes
are held against the headings of the abstract's sections: are they from the question's own abstract, and from a section
of results? Beside them the quotes that the words shared with the question alone would choose. No abstract has its
conclusion here, as everywhere with this data. The official test split is measured; ``--fit`` fits the weights of
``chains/embedded/findings.json`` anew, on the other half.

Last, the sample's test questions over their own abstracts: which share of the withheld conclusion's words does the
first quote have, rare ones counted more? It tells whether the quote is the finding that was asked about.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# Python puts this file's folder first, where finetune.py would be taken for the package of its name.
sys.path[:] = [place for place in sys.path if Path(place).resolve() != Path(__file__).resolve().parent]

from medground.environment import prepare  # noqa: E402

prepare()

from chains.answer import Answer, Citation, Passage  # noqa: E402
from chains.citations import cite, coverage  # noqa: E402
from chains.qa.extractive import NEAR, extractive_chain  # noqa: E402
from corpus.config import DataConfig  # noqa: E402
from corpus.load import load_records  # noqa: E402
from corpus.records import QARecord, documents  # noqa: E402
from corpus.sentences import sentence_spans  # noqa: E402
from eval.estimate import Estimate, mean, proportion  # noqa: E402
from eval.paired import mean_difference  # noqa: E402
from retrievers import make_retriever  # noqa: E402
from retrievers.config import BM25Config, StoreConfig  # noqa: E402
from tools.fit_findings import fit_findings, reports_findings, save_findings  # noqa: E402

QUOTES = 3
Quotes = Sequence[Citation]


def by_shared_words(question: str, passages: Sequence[Passage]) -> list[Citation]:
    """The sentences with the greatest shares of the question's words, chosen as the chain chooses its own."""
    spans = [(passage, *span) for passage in passages for span in sentence_spans(passage.text)]
    shares = coverage(question, [passage.text[start:end] for passage, start, end in spans])
    ranked = [
        Citation(passage_id=passage.id, quote=passage.text[start:end], start=start, end=end, score=share)
        for (passage, start, end), share in zip(spans, shares, strict=True)
        if share > 0
    ]
    ranked.sort(key=lambda citation: -citation.score)
    return [one for one in ranked if one.score >= NEAR * ranked[0].score][:QUOTES]


def is_finding(citation: Citation, records: Mapping[str, QARecord]) -> bool:
    """Whether a quote begins in a section of results."""
    record, begin = records[citation.passage_id], 0
    for heading, context in zip(record.sections, record.contexts, strict=True):
        begin += len(context) + 1  # sections stand one a line
        if citation.start < begin:
            return reports_findings(heading)
    raise AssertionError(f"a quote beyond its abstract: {citation}")


def told(records: Sequence[QARecord], quotes: Callable[[str, Sequence[Passage]], Quotes]) -> list[float]:
    """The share of each conclusion's words that the first quote of the record's own abstract has."""
    shares = []
    for record in records:
        first = quotes(record.question, [Passage(id=record.id, text=record.context)])[0]
        texts = [record.context[start:end] for start, end in sentence_spans(record.context)]
        shares.append(coverage(record.conclusion, texts)[texts.index(first.quote)])
    return shares


def main() -> None:
    """Print a table with 95% intervals, and the paired differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="PubMedQA's ori_pqal.json, its test_ground_truth.json beside it")
    parser.add_argument("--fit", action="store_true", help="fit the weights anew before measuring")
    asked = parser.parse_args()
    data = DataConfig(path=asked.data)
    taught, test = [*load_records(data, "train"), *load_records(data, "dev")], load_records(data, "test")
    if asked.fit:
        model = fit_findings(taught)
        save_findings(model)
        print(
            f"fitted on {model['abstracts']} abstracts, {model['sentences']} sentences: {len(model['weights'])} words"
        )
    records = {record.id: record for record in (*taught, *test)}
    retriever = make_retriever(
        BM25Config(), documents(list(records.values())), corpus="citations", embedders={}, store=StoreConfig()
    )
    questions = [record for record in test if len(record.sections) == len(record.contexts)]
    chain = extractive_chain(retriever, max_sentences=QUOTES)
    answers: list[Answer] = chain.batch([record.question for record in questions])
    chosen = [answer.citations for answer in answers]
    shared = [by_shared_words(answer.question, answer.passages) for answer in answers]

    def own(one: Citation, record: QARecord) -> bool:
        return one.passage_id == record.id

    def finding(one: Citation) -> bool:
        return is_finding(one, records)

    measures: dict[str, Callable[[Quotes, QARecord], bool]] = {
        "the first quote is of the question's own abstract": lambda quotes, record: own(quotes[0], record),
        "the first quote is of a section of results": lambda quotes, _: finding(quotes[0]),
        f"one of {QUOTES} quotes is of its own results": lambda quotes, record: any(
            own(one, record) and finding(one) for one in quotes
        ),
    }
    print(f"{len(questions)} questions of the official test split")
    print(f"{'':52} {'shared words':22} {'chosen':22} difference")
    for name, measure in measures.items():
        before = [bool(quotes) and measure(quotes, record) for quotes, record in zip(shared, questions, strict=True)]
        after = [bool(quotes) and measure(quotes, record) for quotes, record in zip(chosen, questions, strict=True)]
        rates = [_told(proportion(sum(hits), len(hits))) for hits in (before, after)]
        print(f"{name:52} {rates[0]:22} {rates[1]:22} {_told(mean_difference(before, after))}")
    sample = load_records(DataConfig(path="sample"), "test")
    before, after = (told(sample, quotes) for quotes in (by_shared_words, cite))
    rates = [_told(mean(values)) for values in (before, after)]
    name = f"of the conclusion's words, sample, {len(sample)} questions"
    print(f"{name:52} {rates[0]:22} {rates[1]:22} {_told(mean_difference(before, after))}")


def _told(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


if __name__ == "__main__":
    main()
