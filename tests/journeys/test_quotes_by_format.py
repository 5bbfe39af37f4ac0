"""Sentences of random documents, one of each format, are found by respelled questions and quoted exactly."""

import random
import unicodedata
from pathlib import Path

import pytest
from known_sentences import WRITERS, random_paragraphs

from chains.citations import cite
from chains.qa.base import as_passage
from corpus.config import DocumentsConfig
from corpus.documents.catalogue import Passages, document_text
from corpus.documents.passages import words_window
from corpus.files import update_library
from retrievers.kinds.bm25 import BM25Retriever

DRUGS = ("corvinol", "IL-6 blockade", "vitamin B12", "zelparin", "Sjögren’s serum", "β-lactam", "HbA1c control")
FINDINGS = (
    "lowered pain by 3.5%",
    "was given i.v. at 5 mg/kg to children",
    "raised LDL, i.e. cholesterol, in U.S. women",
    "did not help Dr. Lee's patients",
    "halved deaths (p < 0.01)",
    "held “severe” gout at bay",
)
PLACES = ("Aarhus", "Basel", "Cork", "Delft", "Évora", "Fulda", "Orléans", "Haifa", "Izmir", "Jena", "Kyoto", "Århus")


def random_sentences(rng: random.Random, count: int, first_trial: int) -> list[str]:
    return [
        f"In trial {number} of {rng.choice(PLACES)} {rng.choice(DRUGS)} {rng.choice(FINDINGS)}."
        for number in range(first_trial, first_trial + count)
    ]


def respelled(rng: random.Random, sentence: str) -> str:
    """The sentence with other case, Unicode form, characters, hyphens or word order."""
    plain = sentence.removesuffix(".")
    return rng.choice(
        (
            plain,
            plain.lower(),
            unicodedata.normalize("NFD", plain),
            unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode() if "β" not in plain else plain,
            plain.replace("trial", "tri\u200bal").replace("’", "'"),
            plain.replace("IL-6", "IL6").replace("B12", "B-12").replace("HbA1c", "Hb A1c"),
            # "kg" and a number after it would become one term.
            " ".join(rng.sample(plain.split(), len(plain.split()))) if "mg/kg" not in plain else plain,
        )
    )


def normalize_spaces(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("seed", range(2))
def test_every_sentence_is_retrieved_and_quoted_exactly(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    (tmp_path / "docs").mkdir()
    written: list[tuple[str, str]] = []  # file name and sentence
    for number, writer in enumerate(WRITERS):
        sentences = random_sentences(rng, 12, 100 * (number + 1))
        name, raw = writer(rng, random_paragraphs(rng, sentences))
        (tmp_path / "docs" / name).write_bytes(raw)
        if name == "a.pdf":  # the fonts' encoding has no β
            sentences = [sentence.replace("β", "b") for sentence in sentences]
        written += [(name, sentence) for sentence in sentences]
    library = tmp_path / "library.sqlite3"
    window = words_window(rng.choice((60, 120, 200)))
    report = update_library([tmp_path / "docs"], library, window, DocumentsConfig(), quiet=True)
    assert (report.added, report.failed) == (len(WRITERS), [])
    retriever = BM25Retriever(list(Passages(library)))
    for name, sentence in written:
        question = respelled(rng, sentence)
        (hits,) = retriever.search([question], 5)
        passages = {passage.id: passage for passage in map(as_passage, hits)}
        citations = cite(question, list(passages.values()))
        assert normalize_spaces(citations[0].quote).endswith(normalize_spaces(sentence)), (name, question)
        for citation in citations:
            start = int(passages[citation.passage_id].metadata["start"])
            text = document_text(library, citation.passage_id)
            assert text[start + citation.start : start + citation.end] == citation.quote
