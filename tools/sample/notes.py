"""Short clinical notes, and statements that a note entails, contradicts or is neutral to.

A note reports a few facts: the states of different things. The labels ``yes``, ``no`` and ``maybe`` stand for MedNLI's
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
"""The names of each thing: that in notes first, then further names in statements."""
NOTE: dict[Topic, dict[State, tuple[str, ...]]] = _DATA["note"]
STATEMENT: dict[Topic, dict[State, tuple[str, ...]]] = _DATA["statement"]
"""``NOTE`` and ``STATEMENT`` have the sentence patterns by topic and state."""


@dataclass(frozen=True, slots=True)
class Fact:
    """The state of a thing in a note; ``names`` are an entry of ``THINGS``."""

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
    """A note of ``facts`` facts about different things; ``plain`` limits it to the first two patterns of each state."""
    limit = 2 if plain else None
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

    sentences = [fill(rng.choice(NOTE[fact.topic][fact.state][:limit]), fact.names[0]) for fact in drawn]
    if rng.random() < 0.4:
        sentences.insert(0, fill(rng.choice(_DATA["openings"])))
    if rng.random() < 0.3:
        sentences.append(fill(rng.choice(_DATA["closings"])))
    return Note(" ".join(sentences), tuple(drawn), pronoun)


def draw_statement(note: Note, label: Label, rng: random.Random, *, plain: bool = False) -> tuple[str, Fact]:
    """A statement that the note entails (``yes``), contradicts (``no``) or is neutral to (``maybe``), and its fact.

    The note has the fact unless ``label`` is maybe. ``plain`` limits the statement to the first pattern and name.
    """
    fact = rng.choice(note.facts)
    if label == "maybe":
        topic = fact.topic if rng.random() < 0.7 else rng.choice(tuple(THINGS))
        in_note = {note_fact.names for note_fact in note.facts}
        names = rng.choice([names for names in THINGS[topic] if names not in in_note])
        fact = Fact(topic, names, rng.choice(tuple(NOTE[topic])))
        state = fact.state
    elif label == "yes":
        state = fact.state
    else:
        state = rng.choice([other for other in NOTE[fact.topic] if other != fact.state])
    subject = "she" if note.pronoun == "She" else "he"
    limit = 1 if plain else None
    pattern = rng.choice(STATEMENT[fact.topic][state][:limit])
    return pattern.format(x=rng.choice(fact.names[:limit]), s=subject), fact
