"""Windows of embedders, and shortening of questions to a window."""

from pathlib import Path

import pytest
from embedders import save_tiny_embedder

from common.errors import UserError
from corpus.documents.passages import Window
from retrievers.embedders.minilm import MiniLMEmbedder
from retrievers.embedders.packaged import packaged_minilm
from retrievers.embedders.sentence import SentenceEmbedder
from retrievers.embedders.token_limits import shorten, window_of


def known_window(embedder: SentenceEmbedder) -> Window:
    window = window_of(embedder)
    assert window is not None
    return window


def test_the_packaged_embedder_ignores_tokens_beyond_its_window_of_256() -> None:
    embedder = SentenceEmbedder(str(packaged_minilm()), dtype="float32")
    window = known_window(embedder)
    assert window.limit == 256
    # "pain" is one token, and each text has 2 special tokens.
    assert list(window.count(["", "aspirin", "pain " * 254, "pain " * 255])) == [2, 5, 256, 257]
    fits, over, other = embedder.embed_documents(["pain " * 254, "pain " * 254 + "stroke", "pain " * 254 + "nausea"])
    assert over == pytest.approx(other)
    assert over == pytest.approx(fits)
    assert window.too_long(["pain " * 254, "pain " * 254 + "stroke"]) == [False, True]


def test_embedding_changes_neither_token_counts_nor_the_fingerprint() -> None:
    embedder = SentenceEmbedder(str(packaged_minilm()), dtype="float32")
    window, fingerprint = known_window(embedder), embedder.fingerprint
    embedder.embed_documents(["pain " * 300])
    assert list(window.count(["pain " * 300])) == [302]
    assert embedder.fingerprint == fingerprint


def test_token_counts_include_the_passage_prompt_of_the_settings(tmp_path: Path) -> None:
    folder = str(save_tiny_embedder(tmp_path))
    plain = known_window(SentenceEmbedder(folder))
    prompted = known_window(SentenceEmbedder(folder, passage_prompt="passage pain "))
    assert (plain.limit, list(plain.count(["stroke"]))) == (16, [3])
    assert list(prompted.count(["stroke"])) == [5]
    assert plain.fingerprint != prompted.fingerprint
    assert plain.fingerprint == known_window(SentenceEmbedder(folder, query_prompt="query ")).fingerprint
    with pytest.raises(UserError, match="Shorten passage_prompt"):
        window_of(SentenceEmbedder(folder, passage_prompt="pain " * 12))


def test_token_counts_include_the_passage_prompt_of_the_model(tmp_path: Path) -> None:
    folder = str(save_tiny_embedder(tmp_path, prompts={"passage": "passage pain ", "query": "query "}))
    assert list(known_window(SentenceEmbedder(folder)).count(["stroke"])) == [5]


# Sentences of questions that are too long: FILLER is repeated and to be dropped.
FILLER = "The patient walks with a frame and sees the nurse each week. "
QUESTION = "Does voxatrine prevent frostbite in hikers?"
STATEMENT = "Voxatrine against frostbite in hikers."


@pytest.mark.parametrize(
    "text", [FILLER * 60 + QUESTION, f"{QUESTION} {FILLER * 60}", f"{FILLER * 40}{QUESTION} {FILLER * 40}"]
)
def test_a_long_text_is_shortened_to_its_question_and_a_short_one_unchanged(text: str) -> None:
    embedder = MiniLMEmbedder()
    assert [shorten(embedder, each) for each in (text, QUESTION, FILLER)] == [QUESTION, QUESTION, FILLER]


def test_a_long_text_without_a_question_is_shortened_to_its_last_sentences() -> None:
    embedder = MiniLMEmbedder()
    shortened = shorten(embedder, FILLER * 60 + STATEMENT)
    assert shortened.endswith(STATEMENT)
    assert 200 < embedder.window.count([shortened])[0] <= embedder.window.limit
