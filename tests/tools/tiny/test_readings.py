"""tools/tiny/readings.py: the training text of medground-tiny, and the content that it must not have."""

import re
from collections import defaultdict

import pytest

from chains.prompts import qa_prompt
from tools.sample.build import draw_sample, reserved
from tools.sample.patterns import PATTERNS, select_patterns
from tools.tiny.mixtures import KINDS, MIXTURES
from tools.tiny.readings import Readings
from tools.tiny.wording import ASSISTANT, BEGIN, END, USER, Reading

COUNT = 1200  # readings of the first stage; the second and third stage have as many together


@pytest.fixture(scope="module")
def readings() -> list[Reading]:
    first, second, third = Readings(7), Readings(7, "second"), Readings(7, "third")
    later = [stream.draw() for stream in (second, third) for _ in range(COUNT // 2)]
    return [first.draw(easiness=0.2) for _ in range(COUNT)] + later


@pytest.fixture(scope="module")
def texts(readings: list[Reading]) -> list[str]:
    return [text for reading in readings for text in reading.texts()]


def test_the_seed_determines_the_readings(readings: list[Reading]) -> None:
    same_seed, other_seed = ([stream.draw(easiness=0.2) for _ in range(50)] for stream in (Readings(7), Readings(8)))
    assert same_seed == readings[:50] != other_seed


def test_no_text_has_drug_condition_and_outcome_of_a_test_record_or_a_new_drug_name(texts: list[str]) -> None:
    names = reserved().names
    by_drug = defaultdict(list)
    for drug, condition, outcome in reserved().triples:
        by_drug[drug].append((condition.lower(), outcome.lower()))
    words_and_phrases = re.compile(r"[a-z]{6,}|[a-z]+(?:[- ][a-z]+)+")  # some therapies have several words
    for text in map(str.lower, texts):
        words = set(words_and_phrases.findall(text)) | set(re.findall(r"[a-z]+", text))
        assert not words & names
        for drug in words & by_drug.keys():
            assert not any(condition in text and outcome in text for condition, outcome in by_drug[drug]), text


def test_no_text_has_a_test_question(texts: list[str]) -> None:
    sample = draw_sample()
    all_texts = "\n".join(texts)
    for record in (*sample.test, *sample.new_names, *sample.new_phrases):
        assert str(record.row["QUESTION"]) not in all_texts


def test_no_sentence_has_a_held_out_pattern(texts: list[str]) -> None:
    """Only those held-out patterns are checked that have a phrase of over 8 characters which no common pattern has."""
    regexes = {}
    for kind in PATTERNS:
        common_patterns = " ".join(select_patterns(kind))
        for pattern in select_patterns(kind, "held_out"):
            phrases = [phrase for phrase in re.split(r"\{\w+\}", pattern) if phrase]
            if any(phrase not in common_patterns for phrase in phrases if len(phrase) > 8):
                escaped = [re.sub(r"\ba\\ $", r"an?\\ ", re.escape(phrase)) for phrase in phrases]
                regexes[pattern] = re.compile(".+".join(escaped))
    assert len(regexes) > 15  # enough of the held-out patterns are checked
    sentences = {sentence for text in texts for sentence in re.split(r"(?<=[.?]) |\n|<\|", text)}
    for pattern, regex in regexes.items():
        assert not [sentence for sentence in sentences if regex.fullmatch(sentence)], pattern
    common_pattern = re.compile(r" produced a \d+% .+ in .+; .+ produced none\.")
    assert any(common_pattern.search(sentence) for sentence in sentences), "no regex of a pattern matches any sentence"


def test_no_text_has_an_nli_premise_or_an_nli_prompt(texts: list[str]) -> None:
    all_texts = "\n".join(texts).lower()
    assert not re.search(r"\b(premise|hypothesis)\b", all_texts)
    contexts = {text.split("Text:\n")[1].split("\n\nQuestion:")[0] for text in texts if "Text:\n" in text}
    assert not contexts & reserved().premises
    for label in ("entailment", "neutral", "contradiction"):
        assert label in all_texts
        assert f"{ASSISTANT}{label}" not in all_texts


def test_over_40_percent_of_stems_begin_with_the_prompt_of_the_chains(readings: list[Reading]) -> None:
    prompt = qa_prompt("generic", "Q?", "T.")[0]["content"].split("T.")[0]
    share = sum(reading.stem.startswith(f"{BEGIN}{USER}{prompt}") for reading in readings) / len(readings)
    assert share > 0.4


def test_every_label_is_a_frequent_answer_and_ends_the_turn(readings: list[Reading]) -> None:
    answers = [answer for reading in readings for _, answer in reading.branches]
    for label in ("yes", "no", "maybe"):
        assert answers.count(label) / len(answers) > 0.15
    reading = next(reading for reading in readings if reading.branches)
    assert next(reading.texts()).endswith(f"{reading.branches[0][1]}{END}")


def test_every_kind_of_reading_has_a_share_and_a_method() -> None:
    for mixture in MIXTURES.values():
        assert len(mixture.shares) == len(mixture.early_shares or KINDS) == len(KINDS)
    for kind in KINDS:
        assert isinstance(getattr(Readings(3, "third"), f"_{kind}")(False), Reading)


def test_compared_readings_ask_about_both_directions() -> None:
    stream = Readings(4, "third")
    for _ in range(50):
        answers = [answer for _, answer in stream._compared(False).branches]
        assert answers.count("yes") == answers.count("no") == 4
