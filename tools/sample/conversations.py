"""Conversations about the sample's abstracts, with follow-up questions that need the messages before them.

Each message comes with the abstract that answers it. Follow-ups have pronouns for the treatment, the outcome or the
patients, or name only what changes. A drug has one abstract, which also counts as the answer for other groups and
outcomes; a therapy has several.
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
_NEW_TOPIC_SHARE = 0.12  # share of the messages after the first that are full questions on another abstract

_OUTCOME_PATTERNS = (
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
_TREATMENT_PATTERNS = (  # condition and outcome stay
    "What about {D}?",
    "And {D}?",
    "How about {D} instead?",
    "Does {D} do the same?",
    "Does {D} {vtb} it too?",
    "Is it {part} by {D} as well?",
    "And with {D}?",
    "What if they take {D} instead?",
)
_TREATMENT_AND_POPULATION_PATTERNS = (  # the outcome stays
    "And {D} in {G} with {cond}?",
    "What about {D} in {G} with {cond}?",
    "Does {D} {vtb} it in {G} with {cond}?",
    "Is it also {part} by {D} in {G} with {cond}?",
    "Does {D} do so in {G} with {cond}?",
    "Among {G} with {cond}, is it {comp} after {D}?",
)
_TREATMENT_AND_OUTCOME_PATTERNS = (  # the population stays
    "Does {D} {vtb} {Y} in them?",
    "What about {D} and {Y}?",
    "Can {D} {vtb} {Y} in these patients?",
    "Do they have {comp} {Y} on {D}?",
    "Is {Y} {part} by {D} in this group?",
    "And what does {D} do to {Y} in them?",
)
_GROUP_PATTERNS = ("And in {G}?", "What about {G}?", "Is it the same in {G}?", "Does it work in {G}?", "And for {G}?")
_POPULATION_PATTERNS = (
    "And in {G} with {cond}?",
    "What about {G} with {cond}?",
    "Does it do so in {G} with {cond}?",
    "How about {G} with {cond}?",
)
_STUDY_PATTERNS = (
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
    """A message, the id of the abstract that answers it, and the kind of change in the topic."""

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
    topic = _draw_topic(records, rng)
    yield _full_question(topic, rng)
    for _ in range(turns - 1):
        if rng.random() < _NEW_TOPIC_SHARE:
            topic = _draw_topic(records, rng)
            yield _full_question(topic, rng)
            continue
        follow_ups = [draw(topic, rng, records) for draw in _FOLLOW_UPS]
        topic, message = rng.choice([follow_up for follow_up in follow_ups if follow_up is not None])
        yield message


def _draw_topic(records: Sequence[SampleRecord], rng: random.Random) -> _Topic:
    record = rng.choice(records)
    return _Topic(record, record.study.findings[0].outcome, _draw_direction(rng), record.study.group)


def _full_question(topic: _Topic, rng: random.Random) -> Message:
    study = topic.record.study
    return Message(question(study, topic.outcome, topic.direction, rng), topic.record.id, "question")


_FollowUp = tuple[_Topic, Message]  # the new topic, and the question about it


def _other_outcome(topic: _Topic, rng: random.Random, _: Sequence[SampleRecord]) -> _FollowUp | None:
    """Another outcome that the abstract reports; any outcome if the drug has one abstract."""
    outcomes = [finding.outcome for finding in topic.record.study.findings if finding.outcome != topic.outcome]
    if not outcomes and topic.record.study.drug not in THERAPIES:
        outcomes = [outcome for outcome in lexicon.OUTCOMES if outcome != topic.outcome]
    if not outcomes:
        return None
    new_topic = replace(topic, outcome=rng.choice(outcomes), direction=_draw_direction(rng))
    return _follow_up(new_topic, _OUTCOME_PATTERNS, "outcome", rng)


def _other_treatment(topic: _Topic, rng: random.Random, records: Sequence[SampleRecord]) -> _FollowUp | None:
    """A drug with an abstract on the same condition and outcome, or if there is none on one of the two."""
    study, related = topic.record.study, []
    for record in records:
        same_condition = record.study.condition == study.condition
        same_outcome = topic.outcome in {finding.outcome for finding in record.study.findings}
        if (same_condition or same_outcome) and record.study.drug not in (study.drug, *THERAPIES):
            related.append((record, same_condition, same_outcome))
    if not related:
        return None
    on_both = [(record, condition, outcome) for record, condition, outcome in related if condition and outcome]
    record, same_condition, same_outcome = rng.choice(on_both or related)
    if same_condition and same_outcome:
        return _follow_up(replace(topic, record=record), _TREATMENT_PATTERNS, "treatment", rng)
    if same_outcome:
        new_topic = replace(topic, record=record, group=record.study.group, direction=_draw_direction(rng))
        return _follow_up(new_topic, _TREATMENT_AND_POPULATION_PATTERNS, "treatment", rng)
    outcome = record.study.findings[0].outcome
    new_topic = replace(topic, record=record, outcome=outcome, direction=_draw_direction(rng))
    return _follow_up(new_topic, _TREATMENT_AND_OUTCOME_PATTERNS, "treatment", rng)


def _other_group(topic: _Topic, rng: random.Random, _: Sequence[SampleRecord]) -> _FollowUp | None:
    """Another group with the same condition; the abstract of the drug stays."""
    if topic.record.study.drug in THERAPIES:
        return None
    group = rng.choice([group for group in lexicon.GROUPS if group != topic.group])
    return _follow_up(replace(topic, group=group), _GROUP_PATTERNS, "group", rng)


def _other_population(topic: _Topic, rng: random.Random, records: Sequence[SampleRecord]) -> _FollowUp | None:
    """The population of another abstract on the same therapy."""
    drug = topic.record.study.drug
    other_records = [record for record in records if record.study.drug == drug and record is not topic.record]
    if not other_records:
        return None
    record = rng.choice(other_records)
    return _follow_up(replace(topic, record=record, group=record.study.group), _POPULATION_PATTERNS, "population", rng)


def _study_details(topic: _Topic, rng: random.Random, _: Sequence[SampleRecord]) -> _FollowUp:
    return _follow_up(topic, _STUDY_PATTERNS, "study", rng)


_FOLLOW_UPS = (_other_outcome, _other_treatment, _other_treatment, _other_group, _other_population, _study_details)


def _follow_up(topic: _Topic, patterns: Sequence[str], kind: MessageKind, rng: random.Random) -> _FollowUp:
    return topic, Message(topic.fill(rng.choice(patterns), rng), topic.record.id, kind)


def _draw_direction(rng: random.Random) -> Direction:
    return rng.choice(("down", "up"))
