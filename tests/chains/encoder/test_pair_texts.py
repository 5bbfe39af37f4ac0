import pytest
from classifiers import make_wordpiece

from chains.encoder.pair_texts import PairTexts
from chains.models.fitting import split_to_fit
from common.errors import UserError

SENTENCES = [f"Patients number {n} were randomised to aspirin." for n in range(9)]
LONG_TEXT = " ".join(SENTENCES)
WINDOW = 64  # tokens


@pytest.fixture(scope="module")
def texts() -> PairTexts:
    return PairTexts(make_wordpiece(), WINDOW)


def length(texts: PairTexts, first: str, second: str) -> int:
    return len(texts.encode([(first, second)])[0]["input_ids"])


def test_encode_gives_token_types_and_does_not_truncate(texts: PairTexts) -> None:
    short, long = texts.encode([("yes", "no"), (LONG_TEXT, "no")])
    assert set(short) == {"input_ids", "token_type_ids", "attention_mask"}
    assert short["token_type_ids"] == [0, 0, 0, 1, 1]
    assert texts.fits(short)
    assert len(long["input_ids"]) > WINDOW
    assert not texts.fits(long)
    assert texts.encode([]) == []


def test_parts_are_whole_sentences_of_maximum_length(texts: PairTexts) -> None:
    parts = texts.parts((LONG_TEXT, "It did."))
    assert len(parts) > 1
    assert " ".join(first for first, _ in parts) == LONG_TEXT
    for number, (first, second) in enumerate(parts):
        assert second == "It did."
        assert length(texts, first, second) <= WINDOW
        if number + 1 < len(parts):
            following = parts[number + 1][0].split(". ")[0] + "."
            assert length(texts, f"{first} {following}", second) > WINDOW


def test_sentence_longer_than_the_window_is_split_between_words(texts: PairTexts) -> None:
    long_sentence = "aspirin stroke " * 60
    parts = texts.parts((f"It did. {long_sentence}. It did not.", "yes"))
    assert " ".join(first for first, _ in parts).split() == f"It did. {long_sentence}. It did not.".split()
    assert all(length(texts, *part) <= WINDOW for part in parts)
    assert len(parts) < 2 + 120 // 15  # the other two sentences, and 120 words in parts of more than 15 words


def test_split_of_a_long_text_tries_no_part_much_longer_than_the_window() -> None:
    lengths: list[int] = []

    def fits(text: str) -> bool:
        lengths.append(len(text))
        return len(text) <= 100

    assert split_to_fit(" ".join(SENTENCES * 50), fits) is not None
    assert max(lengths) < 2 * 100


@pytest.mark.parametrize("side", ["left", "right"])
def test_fit_keeps_whole_sentences_at_the_side_of_the_tokenizer(side: str) -> None:
    texts = PairTexts(make_wordpiece(side=side), WINDOW)
    start, end = texts.fit(("Was it so?", LONG_TEXT), 1)
    part = LONG_TEXT[start:end]
    assert part.startswith("Patients")
    assert part.endswith("aspirin.")
    assert length(texts, "Was it so?", part) <= WINDOW
    sentences = part.count(".")
    if side == "left":
        assert end == len(LONG_TEXT)
        longer = " ".join(SENTENCES[-sentences - 1 :])
    else:
        assert start == 0
        longer = " ".join(SENTENCES[: sentences + 1])
    assert length(texts, "Was it so?", longer) > WINDOW
    first_span = texts.fit((LONG_TEXT, "Was it so?"), 0)
    assert LONG_TEXT[slice(*first_span)] == part


@pytest.mark.parametrize("side", ["left", "right"])
def test_fit_keeps_words_of_a_sentence_longer_than_the_window(side: str) -> None:
    texts = PairTexts(make_wordpiece(side=side), WINDOW)
    words = " ".join(f"aspirin{'no' * (n % 3)}" for n in range(80))
    start, end = texts.fit(("Is it so?", words), 1)
    part = words[start:end]
    count = len(part.split())
    assert part.split() == (words.split()[-count:] if side == "left" else words.split()[:count])
    assert 50 < length(texts, "Is it so?", part) <= WINDOW


@pytest.mark.parametrize(("side", "other"), [(0, "second"), (1, "first")])
def test_other_text_that_leaves_no_room_raises_user_error(texts: PairTexts, side, other: str) -> None:
    pair = ("yes", "no " * 80) if side == 0 else ("no " * 80, "yes")
    with pytest.raises(UserError, match=f"its {other} text takes 83 of the 64 tokens"):  # 80 words and 3 special tokens
        texts.fit(pair, side)
    if side == 0:
        with pytest.raises(UserError, match="leaves no room"):
            texts.parts(pair)
