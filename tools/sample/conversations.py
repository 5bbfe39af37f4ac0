"""Conversations about the sample's abstracts, with follow-up questions that depend on the messages before them.

Each message has the abstract that answers it. Pronouns stand for the treatment, the outcome or the patients, and
fragments name only what changes. A drug has a single abstract, which also counts for other patients and outcomes.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tools.sample import lexicon
from tools.sample.abstracts import question
from tools.sample.build import SampleRecord, draw_sample
from tools.sample.lexicon import CHANGE, THERAPIES, Direction

MessageKind = Literal["question", "outcome", "treatment", "group", "population", "study"]
SEED = 606
_NEW_TOPIC = 0.12  # share of the messages after the first that are whole questions on another abstract

_OUTCOME = (
    "What about {Y}?",
    "And {Y}?",
    "How about {Y}?",
    "Does it also {vtb} {Y}?",
    "Does it {vtb} {Y} too?",
    "Can this drug {vtb} {Y}?",
    "Is there any {noun} in {Y} with it?",
    "Is {Y} {part} by it as well?",
    "Do they also have {comp} {Y}?",
    "And what does it do to {Y}?",
)
_TREATMENT = (  # condition and outcome stay
    "What about {D}?",
    "And {D}?",
    "How about {D} instead?",
    "Does {D} do the same?",
    "Does {D} {vtb} it too?",
    "Is it {part} by {D} as well?",
    "And with {D}?",
    "What if they take {D} instead?",
)
_TREATMENT_OF_OTHERS = (  # the outcome stays
    "And {D} in {G} with {cond}?",
    "What about {D} in {G} with {cond}?",
    "Does {D} {vtb} it in {G} with {cond}?",
    "Is it also {part} by {D} in {G} with {cond}?",
    "Does {D} do so in {G} with {cond}?",
    "Among {G} with {cond}, is it {comp} after {D}?",
)
_TREATMENT_FOR_OTHER = (  # the patients stay
    "Does {D} {vtb} {Y} in them?",
    "What about {D} and {Y}?",
    "Can {D} {vtb} {Y} in these patients?",
    "Do they have {comp} {Y} on {D}?",
    "Is {Y} {part} by {D} in this group?",
    "And what does {D} do to {Y} in them?",
)
_GROUP = ("And in {G}?", "What about {G}?", "Is it the same in {G}?", "Does it work in {G}?", "And for {G}?")
_POPULATION = (
    "And in {G} with {cond}?",
    "What about {G} with {cond}?",
    "Does it do so in {G} with {cond}?",
    "How about {G} with {cond}?",
)
_STUDY = (
    "How many took part?",
    "How many people were studied?",
    "How long did they take it?",
    "What was it compared with?",
    "How long was the follow-up?",
    "Was it a randomised trial?",
    "Were there any side effects?",
    "How was that measured?",
)


@dataclass(frozen=True, slots=True)
class Message:
    """A message, the id of the abstract that answers it, and what it changes in the topic."""

    text: str
    abstract: str
    kind: MessageKind


@dataclass(frozen=True, slots=True)
class _Topic:
    """The current abstract, and the outcome, direction and group of the last question."""

    record: SampleRecord
    outcome: str
    direction: Direction
    group: str

    def fill(self, pattern: str, rng: random.Random) -> str:
        words = CHANGE[self.direction]
        study = self.record.study
        return pattern.format(
            D=study.drug,
            Y=self.outcome,
            G=self.group,
            cond=study.condition,
            vtb=rng.choice(words.transitive_base),
            noun=rng.choice(words.noun),
            part=rng.choice(words.participle),
            comp=rng.choice(words.comparative),
        )


def draw_conversations(count: int = 20, turns: int = 10, seed: int = SEED) -> list[tuple[Message, ...]]:
    """``count`` conversations of ``turns`` messages; the same for the same arguments."""
    sample = draw_sample()
    rng = random.Random(seed)
    return [tuple(_conversation(rng, (*sample.train, *sample.test), turns)) for _ in range(count)]


def _conversation(rng: random.Random, records: Sequence[SampleRecord], turns: int) -> Iterator[Message]:
    topic = _opened(rng.choice(records), rng)
    yield _whole(topic, rng)
    for _ in range(turns - 1):
        if rng.random() < _NEW_TOPIC:
            topic = _opened(rng.choice(records), rng)
            yield _whole(topic, rng)
            continue
        steps = [step for step in (one(topic, rng, records) for one in _FOLLOWING) if step is not None]
        topic, message = rng.choice(steps)
        yield message


def _opened(record: SampleRecord, rng: random.Random) -> _Topic:
    return _Topic(record, record.study.findings[0].outcome, _direction(rng), record.study.group)


def _whole(topic: _Topic, rng: random.Random) -> Message:
    study = topic.record.study
    return Message(question(study, topic.outcome, topic.direction, rng), topic.record.id, "question")


_Step = tuple[_Topic, Message]


def _outcome(topic: _Topic, rng: random.Random, _: Sequence[SampleRecord]) -> _Step | None:
    """Another outcome that the abstract reports; any outcome if the drug has a single abstract."""
    others = [one.outcome for one in topic.record.study.findings if one.outcome != topic.outcome]
    if not others and topic.record.study.drug not in THERAPIES:
        others = [one for one in lexicon.OUTCOMES if one != topic.outcome]
    if not others:
        return None
    return _asked(replace(topic, outcome=rng.choice(others), direction=_direction(rng)), _OUTCOME, "outcome", rng)


def _treatment(topic: _Topic, rng: random.Random, records: Sequence[SampleRecord]) -> _Step | None:
    """A drug whose abstract is on the same condition, the same outcome, or both."""
    study, near = topic.record.study, []
    for one in records:
        same = (one.study.condition == study.condition, topic.outcome in {each.outcome for each in one.study.findings})
        if any(same) and one.study.drug not in (study.drug, *THERAPIES):
            near.append((one, *same))
    both = [each for each in near if all(each[1:])]
    if not near:
        return None
    record, same_condition, same_outcome = rng.choice(both or near)
    if same_condition and same_outcome:
        return _asked(replace(topic, record=record), _TREATMENT, "treatment", rng)
    if same_outcome:
        asked = replace(topic, record=record, group=record.study.group, direction=_direction(rng))
        return _asked(asked, _TREATMENT_OF_OTHERS, "treatment", rng)
    asked = replace(topic, record=record, outcome=record.study.findings[0].outcome, direction=_direction(rng))
    return _asked(asked, _TREATMENT_FOR_OTHER, "treatment", rng)


def _group(topic: _Topic, rng: random.Random, _: Sequence[SampleRecord]) -> _Step | None:
    """Another group with the same condition; the abstract of the drug stays."""
    if topic.record.study.drug in THERAPIES:
        return None
    group = rng.choice([one for one in lexicon.GROUPS if one != topic.group])
    return _asked(replace(topic, group=group), _GROUP, "group", rng)


def _population(topic: _Topic, rng: random.Random, records: Sequence[SampleRecord]) -> _Step | None:
    """Another population: a therapy has several abstracts, and the question is about the one on this population."""
    drug = topic.record.study.drug
    others = [one for one in records if one.study.drug == drug and one is not topic.record]
    if not others:
        return None
    other = rng.choice(others)
    return _asked(replace(topic, record=other, group=other.study.group), _POPULATION, "population", rng)


def _study(topic: _Topic, rng: random.Random, _: Sequence[SampleRecord]) -> _Step | None:
    return _asked(topic, _STUDY, "study", rng)


_FOLLOWING = (_outcome, _treatment, _treatment, _group, _population, _study)


def _asked(topic: _Topic, patterns: Sequence[str], kind: MessageKind, rng: random.Random) -> _Step:
    return topic, Message(topic.fill(rng.choice(patterns), rng), topic.record.id, kind)


def _direction(rng: random.Random) -> Direction:
    return rng.choice(("down", "up"))
