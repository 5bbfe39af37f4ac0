"""Patterns put together from parts."""

import random
import re

import pytest

from tools.sample.abstracts import Finding, draw_study, finding_sentence, question
from tools.sample.lexicon import CHANGE, NO_EFFECT, SAME, UNCERTAIN
from tools.sample.patterns import FAMILIES, HELD_OUT
from tools.sample.variations import varied

KINDS = ("effect", "null", "unclear", "question")


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[str]]:
    rng = random.Random(5)
    return {kind: [varied(kind, rng) for _ in range(4000)] for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_there_are_many_more_than_the_families(drawn: dict[str, list[str]], kind: str) -> None:
    assert len(set(drawn[kind])) > 20 * len(FAMILIES[kind])


def held_out_in(kind: str, patterns: list[str]) -> list[str]:
    """The patterns that hold the words of a held-out family, or lie in one."""
    held = [_words(family) for family in HELD_OUT[kind]]
    return [pattern for pattern in patterns if any(one in _words(pattern) or _words(pattern) in one for one in held)]


def _words(pattern: str) -> str:
    return re.sub(r" \(P.*?\)|[.?]$", "", pattern).lower()


@pytest.mark.parametrize("kind", KINDS)
def test_none_holds_a_held_out_family_or_lies_in_one(drawn: dict[str, list[str]], kind: str) -> None:
    assert held_out_in(kind, drawn[kind]) == []


@pytest.mark.parametrize("kind", ["effect", "null", "unclear"])  # no held-out question is made of the parts
def test_a_family_that_is_held_out_would_be_drawn_otherwise(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts do make held-out families: it is by refusing them that none is drawn."""
    seed, draws = 5, 4000
    rng = random.Random(seed)
    assert held_out_in(kind, [varied(kind, rng) for _ in range(draws)]) == []
    monkeypatch.setattr("tools.sample.variations._held_out", lambda _: ())
    rng = random.Random(seed)
    assert held_out_in(kind, [varied(kind, rng) for _ in range(draws)]) != []


@pytest.mark.parametrize("direction", ["down", "up"])
def test_a_sentence_says_what_was_found(direction: str) -> None:
    """Whichever way an effect is said, its words point one way; a null or open finding is marked as such."""
    rng = random.Random(6)
    ways = {way: {word for form in vars_of(way) for word in form} for way in CHANGE}
    both = ways["down"] & ways["up"]
    for _ in range(500):
        finding = Finding("grip strength", "effect", direction)
        study = draw_study(rng, "lorafenib", (finding,))
        text = finding_sentence(study, finding, rng, "varied").lower()
        mine, other = (
            (ways[way] - both for way in ("down", "up"))
            if direction == "down"
            else (ways[way] - both for way in ("up", "down"))
        )
        assert any(re.search(rf"\b{word}\b", text) for word in mine), text
        assert "grip strength" in text
        assert "lorafenib" in text
        told = re.sub(r"grip strength|fall risk", "", text)
        assert not [word for word in other if re.search(rf"\b{word}\b", told)], text


def vars_of(way: str) -> list[tuple[str, ...]]:
    words = CHANGE[way]
    return [getattr(words, name) for name in words.__slots__]


MARKS = {
    "null": "not no neither failed never unable nothing nil chance real unaltered steady without",
    "unclear": "not no cannot impossible unable whether but yet could further chance too mixed others another "
    "inconsistent disagreed",
}


@pytest.mark.parametrize(("kind", "words"), [("null", (*SAME, *NO_EFFECT)), ("unclear", UNCERTAIN)])
def test_null_and_open_findings_are_marked(kind: str, words: tuple[str, ...]) -> None:
    rng = random.Random(7)
    mark = re.compile(rf"\b({'|'.join((*words, *MARKS[kind].split()))})\b")
    for _ in range(500):
        finding = Finding("grip strength", kind, "up")
        study = draw_study(rng, "lorafenib", (finding,))
        assert mark.search(finding_sentence(study, finding, rng, "varied").lower())


def test_questions_name_what_they_ask() -> None:
    rng = random.Random(8)
    for _ in range(500):
        study = draw_study(rng, "lorafenib", (Finding("grip strength", "effect", "up"),))
        text = question(study, "grip strength", "up", rng, "varied")
        assert text.endswith("?")
        for part in ("grip strength", "lorafenib", study.population):
            assert part.lower() in text.lower(), text
