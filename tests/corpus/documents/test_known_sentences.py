"""Random documents of each format, built from known sentences."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from known_sentences import WRITERS, as_pdf, random_paragraphs, sentences
from reading import read_one

from corpus.documents.extract import Extract
from corpus.documents.passages import split_document, words_window
from corpus.sentences import sentence_spans


def with_single_spaces(text: str) -> str:
    return " ".join(text.split())


def check(document: Extract, known: list[str], max_words: int) -> None:
    """Check that the passages have all text, and that each known sentence is the end of a sentence of a passage."""
    spans = split_document(document, words_window(max_words)).passages
    passages = [document.text[span.start : span.end] for span in spans]
    found = [with_single_spaces(text[start:end]) for text in passages for start, end in sentence_spans(text)]
    for sentence in known:
        assert any(text.endswith(with_single_spaces(sentence)) for text in found), sentence
    assert "".join("".join(passages).split()) == "".join(document.text.split())


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__.removeprefix("as_"))
@pytest.mark.parametrize("seed", range(12))
def test_known_sentences_are_found_in_passages(
    writer: Callable[[random.Random, list[list[str]]], tuple[str, bytes]], seed: int, tmp_path: Path
) -> None:
    rng = random.Random(f"{writer.__name__} {seed}")
    known = sentences(rng, 24)
    name, raw = writer(rng, random_paragraphs(rng, known))
    if writer is as_pdf:  # a PDF has b in place of β
        known = [sentence.replace("β", "b") for sentence in known]
    check(read_one(name, raw), known, rng.choice((60, 120, 200)))
