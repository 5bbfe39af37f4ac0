"""Random documents of each format, built from known sentences: each is found, and passages are the document's text."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from known_sentences import WRITERS, as_pdf, grouped, sentences
from reading import read_one

from corpus.documents.extract import Extract
from corpus.documents.passages import split_document, words_window
from corpus.sentences import sentence_spans


def squeezed(text: str) -> str:
    return " ".join(text.split())


def check(document: Extract, known: list[str], window: int) -> None:
    passages = split_document(document, words_window(window)).passages
    found = [
        squeezed(document.text[passage.start : passage.end][start:end])
        for passage in passages
        for start, end in sentence_spans(document.text[passage.start : passage.end])
    ]
    for sentence in known:
        assert any(one.endswith(squeezed(sentence)) for one in found), sentence
    kept = "".join("".join(document.text[passage.start : passage.end].split()) for passage in passages)
    assert kept == "".join(document.text.split())


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__[3:])
@pytest.mark.parametrize("seed", range(12))
def test_every_known_sentence_is_found(
    writer: Callable[[random.Random, list[list[str]]], tuple[str, bytes]], seed: int, tmp_path: Path
) -> None:
    chance = random.Random(f"{writer.__name__} {seed}")
    chance.folder = tmp_path  # type: ignore[attr-defined]
    known = sentences(chance, 24)
    name, raw = writer(chance, grouped(chance, known))
    if writer is as_pdf:
        known = [sentence.replace("β", "b") for sentence in known]
    check(read_one(name, raw), known, chance.choice((60, 120, 200)))
