"""Short clinical notes, and statements that follow from a note, contradict it or are left open.

A note is a few facts; a statement is about one thing. The labels are ``yes``, ``no`` and ``maybe``, for MedNLI's
entailment, contradiction and neutral.
"""

import random
from dataclasses import dataclass
from typing import Literal

from corpus.records import Label
from tools.sample.lexicon import read_data

Topic = Literal["symptom", "drug", "history", "lab", "procedure"]
State = Literal["present", "absent", "high", "low", "normal"]

_DATA = read_data("notes.yaml")
THINGS: dict[Topic, tuple[tuple[str, ...], ...]] = _DATA["things"]
"""Of each thing the word of the note first, then others that a statement may use."""
NOTE: dict[Topic, dict[State, tuple[str, ...]]] = _DATA["note"]
STATEMENT: dict[Topic, dict[State, tuple[str, ...]]] = _DATA["statement"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing and its state; ``names`` are the words for it, that of the note first."""

    topic: Topic
    names: tuple[str, ...]
    state: State


@dataclass(frozen=True, slots=True)
class Note:
    """A note's text, its facts, and the patient's pronoun."""

    text: str
    facts: tuple[Fact, ...]
    pronoun: str


def draw_note(rng: random.Random, facts: int, *, plain: bool = False) -> Note:
    """A note of ``facts`` facts about different things; ``plain`` restricts it to few wordings."""
    few = 2 if plain else None
    pronoun, gender = rng.choice((("She", "woman"), ("He", "man")))
    drawn: list[Fact] = []
    while len(drawn) < facts:
        topic = rng.choice(tuple(THINGS))
        names = rng.choice(THINGS[topic])
        if all(names != fact.names for fact in drawn):
            drawn.append(Fact(topic, names, rng.choice(tuple(NOTE[topic]))))

    def fill(pattern: str, name: str = "") -> str:
        text = pattern.format(
            x=name, S=pronoun, g=gender, n=rng.randint(2, 40), a=rng.randint(19, 94), y=rng.randint(1998, 2024)
        )
        return text[0].upper() + text[1:]

    sentences = [fill(rng.choice(NOTE[fact.topic][fact.state][:few]), fact.names[0]) for fact in drawn]
    if rng.random() < 0.4:
        sentences.insert(0, fill(rng.choice(_DATA["openings"])))
    if rng.random() < 0.3:
        sentences.append(fill(rng.choice(_DATA["closings"])))
    return Note(" ".join(sentences), tuple(drawn), pronoun)


def draw_statement(note: Note, wanted: Label, rng: random.Random, *, plain: bool = False) -> tuple[str, Fact]:
    """A statement that the note entails (``yes``), contradicts (``no``) or leaves open (``maybe``), and its fact."""
    fact = rng.choice(note.facts)
    if wanted == "maybe":
        topic = fact.topic if rng.random() < 0.7 else rng.choice(tuple(THINGS))
        taken = {known.names for known in note.facts}
        names = rng.choice([things for things in THINGS[topic] if things not in taken])
        fact = Fact(topic, names, rng.choice(tuple(NOTE[topic])))
        state = fact.state
    elif wanted == "yes":
        state = fact.state
    else:
        state = rng.choice([other for other in NOTE[fact.topic] if other != fact.state])
    subject = "she" if note.pronoun == "She" else "he"
    few = 1 if plain else None
    return rng.choice(STATEMENT[fact.topic][state][:few]).format(x=rng.choice(fact.names[:few]), s=subject), fact
