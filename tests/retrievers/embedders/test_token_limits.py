"""retrievers/windows.py: an embedder's own count of what it reads."""

from pathlib import Path

import pytest
from embedders import WordEmbedder, save_tiny_embedder

from common.errors import UserError
from corpus.documents.passages import Window
from retrievers.embedders.packaged import packaged_minilm
from retrievers.embedders.sentence import SentenceEmbedder
from retrievers.embedders.token_limits import window_of


def made(embedder: SentenceEmbedder) -> Window:
    window = window_of(embedder)
    assert window is not None
    return window


def test_the_packaged_embedder_reads_256_tokens() -> None:
    embedder = SentenceEmbedder(str(packaged_minilm()), dtype="float32")
    window = made(embedder)
    assert window.limit == 256
    assert list(window.count(["", "aspirin", "pain " * 254, "pain " * 255])) == [2, 5, 256, 257]
    # What the window says is over is what the model does not read: the vector does not change beyond it.
    fits, over, longer = embedder.embed_documents(["pain " * 254, "pain " * 254 + "stroke", "pain " * 254 + "nausea"])
    assert over == pytest.approx(longer)
    assert over == pytest.approx(fits)
    assert window.too_long(["pain " * 254, "pain " * 254 + "stroke"]) == [False, True]
    # Neither disturbs the other, and the vectors' collection stays the same.
    mark = embedder.fingerprint
    embedder.embed_documents(["pain " * 300])
    assert list(window.count(["pain " * 300])) == [302]
    assert embedder.fingerprint == mark


def test_a_prompt_is_part_of_what_is_read(tmp_path: Path) -> None:
    folder = str(save_tiny_embedder(tmp_path))
    plain = made(SentenceEmbedder(folder))
    prompted = made(SentenceEmbedder(folder, passage_prompt="passage pain "))
    assert (plain.limit, list(plain.count(["stroke"]))) == (16, [3])
    assert list(prompted.count(["stroke"])) == [5]
    assert plain.fingerprint != prompted.fingerprint
    assert plain.fingerprint == made(SentenceEmbedder(folder, query_prompt="query ")).fingerprint
    with pytest.raises(UserError, match="Shorten passage_prompt"):
        window_of(SentenceEmbedder(folder, passage_prompt="pain " * 12))


def test_a_prompt_that_the_model_ships_counts(tmp_path: Path) -> None:
    folder = str(save_tiny_embedder(tmp_path, prompts={"passage": "passage pain ", "query": "query "}))
    assert list(made(SentenceEmbedder(folder)).count(["stroke"])) == [5]


def test_an_embedder_of_the_callers_own_says_nothing() -> None:
    assert window_of(WordEmbedder()) is None


FILLER = "The patient walks with a frame and sees the nurse each week. "
ASKED = "Does voxatrine prevent frostbite in hikers?"


@pytest.mark.parametrize("text", [FILLER * 60 + ASKED, f"{ASKED} {FILLER * 60}", f"{FILLER * 40}{ASKED} {FILLER * 40}"])
def test_a_question_beyond_the_window_is_cut_to_what_it_asks(text: str) -> None:
    from retrievers.embedders.minilm import MiniLMEmbedder
    from retrievers.embedders.token_limits import shorten

    embedder = MiniLMEmbedder()
    assert [shorten(embedder, one) for one in (text, ASKED, FILLER)] == [ASKED, ASKED, FILLER]


def test_a_text_beyond_the_window_without_a_question_mark_is_read_from_its_end() -> None:
    from retrievers.embedders.minilm import MiniLMEmbedder
    from retrievers.embedders.token_limits import shorten

    embedder = MiniLMEmbedder()
    kept = shorten(embedder, FILLER * 60 + "Voxatrine against frostbite in hikers.")
    assert kept.endswith("Voxatrine against frostbite in hikers.")
    assert 200 < embedder.window.count([kept])[0] <= embedder.window.limit
