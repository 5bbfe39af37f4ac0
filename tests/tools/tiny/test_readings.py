"""What medground-tiny is trained on, and what it must never see."""

import re

import pytest

from chains.prompts import qa_prompt
from tools.sample.build import draw_sample, reserved
from tools.sample.patterns import FAMILIES, patterns
from tools.tiny.mixtures import KINDS, MIXTURES
from tools.tiny.readings import Readings
from tools.tiny.wording import ASSISTANT, BEGIN, END, USER, Reading

DRAWN = 1200


@pytest.fixture(scope="module")
def readings() -> list[Reading]:
    first, second, third = Readings(7), Readings(7, "second"), Readings(7, "third")
    later = [stream.draw() for stream in (second, third) for _ in range(DRAWN // 2)]
    return [first.draw(easiness=0.2) for _ in range(DRAWN)] + later


@pytest.fixture(scope="module")
def texts(readings: list[Reading]) -> list[str]:
    return [text for reading in readings for text in reading.turns()]


def test_the_stream_is_seeded(readings: list[Reading]) -> None:
    again = Readings(7)
    assert [again.draw(easiness=0.2) for _ in range(50)] == readings[:50]
    other = Readings(8)
    assert [other.draw(easiness=0.2) for _ in range(50)] != readings[:50]


def test_no_test_triple_and_no_new_name_is_ever_told(texts: list[str]) -> None:
    names = reserved().names
    triples = reserved().triples
    by_drug = {drug: [triple for triple in triples if triple[0] == drug] for drug in {triple[0] for triple in triples}}
    drugs = re.compile(r"[a-z]{6,}|[a-z]+(?:[- ][a-z]+)+", re.IGNORECASE)
    for text in texts:
        lowered = text.lower()
        words = set(drugs.findall(lowered)) | set(re.findall(r"[a-z]+", lowered))
        assert not words & names
        for drug in words & by_drug.keys():
            assert not [t for t in by_drug[drug] if t[1].lower() in lowered and t[2].lower() in lowered], text


def test_no_test_question_or_abstract_appears(texts: list[str]) -> None:
    sample = draw_sample()
    whole = "\n".join(texts)
    for record in (*sample.test, *sample.new_names, *sample.new_phrases):
        assert str(record.row["QUESTION"]) not in whole


def test_no_held_out_pattern_is_used(texts: list[str]) -> None:
    """No sentence has the fixed words of a held-out family in their order, where those words tell the family."""
    telling = {}
    for kind in FAMILIES:
        others = " ".join(patterns(kind))
        for pattern in patterns(kind, "held_out"):
            fixed = [part for part in re.split(r"\{\w+\}", pattern) if part]
            if any(part not in others for part in fixed if len(part) > 8):
                escaped = [re.sub(r"\ba\\ $", r"an?\\ ", re.escape(part)) for part in fixed]
                telling[pattern] = re.compile(".+".join(escaped))
    assert len(telling) > 15
    sentences = {sentence for text in texts for sentence in re.split(r"(?<=[.?]) |\n|<\|", text)}
    for pattern, regex in telling.items():
        assert not [sentence for sentence in sentences if regex.fullmatch(sentence)], pattern
    seen = re.compile(re.escape(" produced a ") + r"\d+% .+ in .+; .+ produced none\.")
    assert any(seen.search(sentence) for sentence in sentences), "the check would find a pattern that is used"


def test_no_nli_premise_and_no_nli_instruction_is_written(texts: list[str]) -> None:
    whole = "\n".join(texts).lower()
    assert not re.search(r"\b(premise|hypothesis)\b", whole)
    stems = {text.split("Text:\n")[1].split("\n\nQuestion:")[0] for text in texts if "Text:\n" in text}
    assert not stems & reserved().premises
    for label in ("entailment", "neutral", "contradiction"):
        assert label in whole
        assert f"{ASSISTANT}{label}" not in whole


def test_the_prompt_is_the_one_of_the_chains(readings: list[Reading]) -> None:
    asked = qa_prompt("generic", "Q?", "T.")[0]["content"].split("T.")[0]
    share = sum(reading.stem.startswith(f"{BEGIN}{USER}{asked}") for reading in readings) / len(readings)
    assert share > 0.4


def test_every_label_is_asked_for_and_branches_end_the_turn(readings: list[Reading]) -> None:
    answers = [answer for reading in readings for _, answer in reading.branches]
    for label in ("yes", "no", "maybe"):
        assert answers.count(label) / len(answers) > 0.15
    reading = next(reading for reading in readings if reading.branches)
    assert next(reading.turns()).endswith(f"{reading.branches[0][1]}{END}")


def test_every_kind_of_reading_has_its_share_and_its_writer() -> None:
    for mixture in MIXTURES.values():
        assert len(mixture.shares) == len(mixture.early or KINDS) == len(KINDS)
    for kind in KINDS:
        assert isinstance(getattr(Readings(3, "third"), f"_{kind}")(False), Reading)


def test_a_single_finding_is_asked_about_in_both_directions() -> None:
    stream = Readings(4, "third")
    for _ in range(50):
        answers = [answer for _, answer in stream._compared(False).branches]
        assert answers.count("yes") == answers.count("no") == 4
