import pytest
from classifiers import make_wordpiece

from chains.encoder.pair_texts import PairTexts
from common.errors import UserError

SENTENCES = [f"Patients number {n} were randomised to aspirin." for n in range(9)]
LONG = " ".join(SENTENCES)


@pytest.fixture(scope="module")
def texts() -> PairTexts:
    return PairTexts(make_wordpiece(), 64)


def length(texts: PairTexts, first: str, second: str) -> int:
    return len(texts.encode([(first, second)])[0]["input_ids"])


def test_a_pair_is_encoded_with_its_types_and_whole(texts: PairTexts) -> None:
    one, other = texts.encode([("yes", "no"), (LONG, "no")])
    assert set(one) == {"input_ids", "token_type_ids", "attention_mask"}
    assert one["token_type_ids"] == [0, 0, 0, 1, 1]
    assert texts.fits(one)
    assert len(other["input_ids"]) > 64
    assert not texts.fits(other)
    assert texts.encode([]) == []


def test_parts_are_whole_sentences_and_as_long_as_may_be(texts: PairTexts) -> None:
    parts = texts.parts((LONG, "It did."))
    assert len(parts) > 1
    assert " ".join(first for first, _ in parts) == LONG
    for number, (first, second) in enumerate(parts):
        assert second == "It did."
        assert length(texts, first, second) <= 64
        if number + 1 < len(parts):
            following = parts[number + 1][0].split(". ")[0] + "."
            assert length(texts, f"{first} {following}", second) > 64


def test_a_sentence_longer_than_the_window_is_split_between_words(texts: PairTexts) -> None:
    endless = "aspirin stroke " * 60
    parts = texts.parts((f"It did. {endless}. It did not.", "yes"))
    assert " ".join(first for first, _ in parts).split() == f"It did. {endless}. It did not.".split()
    assert all(length(texts, *part) <= 64 for part in parts)
    assert len(parts) < 2 + 120 // 15


@pytest.mark.parametrize("side", ["left", "right"])
def test_what_fits_is_kept_from_the_end_that_is_asked_for(side: str) -> None:
    texts = PairTexts(make_wordpiece(side=side), 64)
    start, end = texts.fit(("Was it so?", LONG), 1)
    kept = LONG[start:end]
    assert kept.startswith("Patients")
    assert kept.endswith("aspirin.")
    assert length(texts, "Was it so?", kept) <= 64
    count = kept.count(".")
    if side == "left":
        assert end == len(LONG)
        more = " ".join(SENTENCES[-count - 1 :])
    else:
        assert start == 0
        more = " ".join(SENTENCES[: count + 1])
    assert length(texts, "Was it so?", more) > 64
    mirrored = texts.fit((LONG, "Was it so?"), 0)
    assert LONG[slice(*mirrored)] == kept


@pytest.mark.parametrize("side", ["left", "right"])
def test_of_a_sentence_that_does_not_fit_the_words_that_do_are_kept(side: str) -> None:
    texts = PairTexts(make_wordpiece(side=side), 64)
    words = " ".join(f"aspirin{'no' * (n % 3)}" for n in range(80))
    start, end = texts.fit(("Is it so?", words), 1)
    kept = words[start:end]
    assert kept.split() == (
        words.split()[-len(kept.split()) :] if side == "left" else words.split()[: len(kept.split())]
    )
    assert 50 < length(texts, "Is it so?", kept) <= 64


@pytest.mark.parametrize(("side", "which"), [(0, "second"), (1, "first")])
def test_where_the_other_text_leaves_no_room(texts: PairTexts, side, which: str) -> None:
    pair = ("yes", "no " * 80) if side == 0 else ("no " * 80, "yes")
    with pytest.raises(UserError, match=f"its {which} text takes 83 of the 64 tokens"):
        texts.fit(pair, side)
    if side == 0:
        with pytest.raises(UserError, match="leaves no room"):
            texts.parts(pair)
