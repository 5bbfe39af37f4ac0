"""Patterns of findings and questions composed from phrases, for training text only.

The patterns of :mod:`tools.sample.patterns` are so few that a model memorises them. Composition gives about ten
thousand patterns of each kind. A pattern that contains a held-out pattern, or is contained in one, is never drawn.
"""

import random
import re
from functools import cache
from types import SimpleNamespace

from tools.sample.lexicon import read_data
from tools.sample.patterns import HELD_OUT

_P_VALUE_OR_END_MARK = re.compile(r" \(p [=<] \{[pq]\}\)|[.?]$")
phrases = SimpleNamespace(**read_data("variations.yaml"))


def compose(kind: str, rng: random.Random) -> str:
    """A random pattern of ``kind``: effect, null, unclear or question."""
    compose_kind = {"effect": _effect, "null": _null, "unclear": _unclear, "question": _question}[kind]
    while True:
        pattern = compose_kind(rng)
        normalized = _normalize(pattern)
        if not any(held_out in normalized or normalized in held_out for held_out in _held_out(kind)):
            return pattern[0].upper() + pattern[1:] if pattern[0] != "{" else pattern


def _normalize(pattern: str) -> str:
    return _P_VALUE_OR_END_MARK.sub("", pattern.lower())


@cache
def _held_out(kind: str) -> tuple[str, ...]:
    return tuple(_normalize(pattern) for pattern in HELD_OUT[kind])


def _effect(rng: random.Random) -> str:
    pick = rng.choice
    amount = pick(("", "", " by {n}%", " by about {n}%"))
    tail = pick(phrases.times) + pick(phrases.against)
    core = pick(
        (
            f"{{D}}{pick(phrases.adverbs)} {{vt}} {{Y}}{amount}{tail}",
            f"{{D}} {pick(phrases.able)} {{vtb}} {{Y}}{amount}{tail}",
            f"{{D}} {pick(phrases.caused)} a {pick(phrases.sizes)}{{noun}} in {{Y}}{tail}",
            f"{{D}} {pick(phrases.caused)}{pick(phrases.adverbs)} {{comp}} {{Y}}{tail}",
            f"{{Y}}{pick(phrases.adverbs)} {{vi}}{amount} {pick(phrases.with_drug)}{tail}",
            f"{pick(phrases.with_drug)}, {{Y}}{pick(phrases.adverbs)} {{vi}}{amount}{tail}",
            f"{pick(phrases.users)} {pick(phrases.had)}{pick(phrases.adverbs)} {{comp}} {{Y}}{tail}",
            f"{pick(phrases.users)} {pick(phrases.had)} a {pick(phrases.sizes)}{{noun}} in {{Y}}{tail}",
            f"{{Y}} was{pick(phrases.adverbs)} {{comp}} {pick(phrases.than)}",
            f"{{Y}} was{pick(phrases.adverbs)} {{part}} {pick(('by {D}', *phrases.with_drug))}{tail}",
            f"{pick(phrases.saw)} a {pick(phrases.sizes)}{{noun}} in {{Y}} {pick(phrases.with_drug)}{tail}",
            f"a {pick(phrases.sizes)}{{noun}} in {{Y}} {pick(phrases.occurred)} {pick(phrases.with_drug)}{tail}",
        )
    )
    return f"{pick(phrases.leads)}{core}{pick(phrases.significant)}."


def _null(rng: random.Random) -> str:
    pick = rng.choice
    tail = pick(phrases.times) + pick(("", "", "", " compared with {C}", " relative to {C}", ", nor did {C}"))
    core = pick(
        (
            f"{{D}} {pick(phrases.not_able)} {{vtb}} {{Y}}{tail}",
            f"{{D}} {pick(phrases.not_caused)} a {{noun}} in {{Y}}{tail}",
            f"{{D}} {pick(phrases.not_caused)} {{comp}} {{Y}}{tail}",
            f"{{Y}} {pick(phrases.steady)} {pick(phrases.with_drug)}{tail}",
            f"{pick(phrases.with_drug)}, {{Y}} {pick(phrases.steady)}{tail}",
            f"{{Y}} was {{same}} {pick(phrases.both)}{pick(phrases.times)}",
            f"{pick(phrases.users)} had no {{comp}} {{Y}} than others{pick(phrases.times)}",
            f"{pick(phrases.users)} had {{same}} {{Y}} as the others{pick(phrases.times)}",
            f"{pick(phrases.saw)} no {{noun}} in {{Y}} {pick(phrases.with_drug)}{tail}",
            f"{pick(phrases.saw)} {{noeff}} of {{D}} on {{Y}}{tail}",
            f"no {{noun}} in {{Y}} {pick(phrases.occurred)} {pick(phrases.with_drug)}{tail}",
            f"{{D}} {pick(('had', 'showed', 'exerted', 'turned out to have'))} {{noeff}} on {{Y}}{tail}",
            f"the difference in {{Y}} between {{D}} and {{C}} {pick(('was nil', 'was chance', 'was not real'))}",
        )
    )
    return f"{pick(phrases.leads)}{core}{pick(phrases.not_significant)}."


def _unclear(rng: random.Random) -> str:
    pick = rng.choice
    effect = f"the {pick(phrases.influence)} of {{D}} on {{Y}} {pick(phrases.open)}"
    core = pick(
        (
            f"{pick(phrases.unknown)} {pick(phrases.clauses)}",
            f"whether {pick(phrases.clauses)} {pick(phrases.open)}",
            effect,
            f"{pick(phrases.reasons)}{effect}",
            f"{pick(phrases.reasons)}{pick(phrases.unknown)} {pick(phrases.clauses)}",
            f"{{D}} {pick(('may have', 'could have', 'has possibly'))} {{part}} {{Y}}, {pick(phrases.doubts)}",
            f"{{Y}} seemed {{comp}} {pick(phrases.with_drug)}, {pick(phrases.doubts)}",
            f"there was a trend towards {{comp}} {{Y}} {pick(phrases.with_drug)}, {pick(phrases.doubts)}",
            f"{{Y}} perhaps {{vi}} {pick(phrases.with_drug)}, {pick(phrases.doubts)}",
            f"the {{noun}} in {{Y}} {pick(phrases.with_drug)} {pick(phrases.open)}",
        )
    )
    return f"{pick(phrases.leads[:9])}{core}."  # without ``We found that`` and the like


def _question(rng: random.Random) -> str:
    pick = rng.choice
    where = pick(phrases.in_population)
    core = pick(
        (
            f"{pick(phrases.auxiliaries)} {pick(phrases.treatment)} {{vtb}} {{Y}}",
            f"{pick(phrases.auxiliaries)} {pick(phrases.treatment)} {pick(phrases.cause)} {{comp}} {{Y}}",
            f"{pick(phrases.auxiliaries)} {pick(phrases.treatment)} {pick(phrases.cause)} a {{noun}} in {{Y}}",
            f"{pick(phrases.auxiliaries)} {{Y}} {{vib}} {pick(phrases.with_drug)}",
            f"is {pick(phrases.treatment)} {pick(('associated with', 'linked to', 'followed by'))} {{comp}} {{Y}}",
            f"is {pick(phrases.treatment)} {pick(('linked to', 'followed by', 'the cause of'))} a {{noun}} in {{Y}}",
            f"is a {{noun}} in {{Y}} {pick(phrases.expected)} {pick(phrases.with_drug)}",
            f"is {{Y}} {{comp}} {pick(phrases.with_drug)}",
            f"is {{Y}} {{part}} {pick(phrases.with_drug)}",
            f"is there a {{noun}} in {{Y}} {pick(phrases.with_drug)}",
            f"is it {pick(('true', 'known', 'certain', 'the case'))} that {{D}} {{vt}} {{Y}}",
            f"has it been shown that {{Y}} {{vi}} {pick(phrases.with_drug)}",
        )
    )
    if rng.random() < 0.15:
        taking = f"{{P}} {pick(phrases.taking)} {{D}}"
        return pick((f"Do {taking} have {{comp}} {{Y}}?", f"Do {taking} have a {{noun}} in {{Y}}?"))
    if rng.random() < 0.25:
        return f"{where}, {core}?"
    return f"{core} {where}?"
