"""Random documents of every format from known sentences: each is found by its words and quoted to the character."""

import random
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from known_sentences import WRITERS, random_groups

from chains.citations import select
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


def known_sentences(chance: random.Random, count: int, first: int) -> list[str]:
    return [
        f"In trial {number} of {chance.choice(PLACES)} {chance.choice(DRUGS)} {chance.choice(FINDINGS)}."
        for number in range(first, first + count)
    ]


def asked(chance: random.Random, sentence: str) -> str:
    """The sentence in another spelling of the same words."""
    plain = sentence.removesuffix(".")
    return chance.choice(
        (
            plain,
            plain.lower(),
            unicodedata.normalize("NFD", plain),
            unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode() if "β" not in plain else plain,
            plain.replace("trial", "tri\u200bal").replace("’", "'"),
            plain.replace("IL-6", "IL6").replace("B12", "B-12").replace("HbA1c", "Hb A1c"),
            " ".join(chance.sample(plain.split(), len(plain.split()))) if "i.v." not in plain else plain,
        )
    )


def squeezed(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("seed", range(2))
def test_every_known_sentence_is_found_and_quoted_to_the_character(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    known: list[tuple[str, str]] = []
    for number, writer in enumerate(WRITERS):
        own = known_sentences(chance, 12, 100 * (number + 1))
        name, raw = _written(writer, chance, own)
        (tmp_path / "docs").mkdir(exist_ok=True)
        (tmp_path / "docs" / name).write_bytes(raw)
        known += [(name, sentence.replace("β", "b") if name == "a.pdf" else sentence) for sentence in own]
    library = tmp_path / "library.sqlite3"
    window = words_window(chance.choice((60, 120, 200)))
    intake = update_library([tmp_path / "docs"], library, window, DocumentsConfig(), quiet=True)
    assert (intake.added, intake.failed) == (len(WRITERS), [])
    retriever = BM25Retriever(list(Passages(library)))
    for name, sentence in known:
        question = asked(chance, sentence)
        (found,) = retriever.search([question], 5)
        passages = {one.id: one for one in map(as_passage, found)}
        first, *others = select(question, list(passages.values())).citations
        assert squeezed(first.quote).endswith(squeezed(sentence)), (name, question)
        for citation in (first, *others):
            begin = int(passages[citation.passage_id].metadata["start"])
            whole = document_text(library, citation.passage_id)
            assert whole[begin + citation.start : begin + citation.end] == citation.quote


def _written(
    writer: Callable[[random.Random, list[list[str]]], tuple[str, bytes]], chance: random.Random, own: list[str]
) -> tuple[str, bytes]:
    return writer(chance, random_groups(chance, own))
