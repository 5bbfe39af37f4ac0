"""Patterns of findings and questions composed from parts, for training text only.

The families of :mod:`tools.sample.patterns` are few, and a model memorises them. Composition gives about ten thousand
patterns of each kind. A pattern that contains a held-out family, or is contained in one, is never drawn.
"""

import random
import re
from functools import cache
from types import SimpleNamespace

from tools.sample.lexicon import read_data
from tools.sample.patterns import FAMILIES, HELD_OUT

_P_VALUE = re.compile(r" \(p [=<] \{[pq]\}\)|[.?]$")
part = SimpleNamespace(**read_data("variations.yaml"))


def varied(kind: str, rng: random.Random) -> str:
    """A composed pattern of ``kind``: effect, null, unclear or question."""
    build = {"effect": _effect, "null": _null, "unclear": _unclear, "question": _question}[kind]
    while True:
        pattern = build(rng)
        plain = _plain(pattern)
        if not any(held in plain or plain in held for held in _held_out(kind)):
            return pattern[0].upper() + pattern[1:] if pattern[0] != "{" else pattern


def _plain(pattern: str) -> str:
    return _P_VALUE.sub("", pattern.lower())


@cache
def _held_out(kind: str) -> tuple[str, ...]:
    return tuple(_plain(pattern) for pattern in FAMILIES[kind] if pattern in HELD_OUT[kind])


def _effect(rng: random.Random) -> str:
    pick = rng.choice
    amount = pick(("", "", " by {n}%", " by about {n}%"))
    tail = pick(part.times) + pick(part.against)
    core = pick(
        (
            f"{{D}}{pick(part.adverbs)} {{vt}} {{Y}}{amount}{tail}",
            f"{{D}} {pick(part.able)} {{vtb}} {{Y}}{amount}{tail}",
            f"{{D}} {pick(part.caused)} a {pick(part.sizes)}{{noun}} in {{Y}}{tail}",
            f"{{D}} {pick(part.caused)}{pick(part.adverbs)} {{comp}} {{Y}}{tail}",
            f"{{Y}}{pick(part.adverbs)} {{vi}}{amount} {pick(part.with_drug)}{tail}",
            f"{pick(part.with_drug)}, {{Y}}{pick(part.adverbs)} {{vi}}{amount}{tail}",
            f"{pick(part.users)} {pick(part.had)}{pick(part.adverbs)} {{comp}} {{Y}}{tail}",
            f"{pick(part.users)} {pick(part.had)} a {pick(part.sizes)}{{noun}} in {{Y}}{tail}",
            f"{{Y}} was{pick(part.adverbs)} {{comp}} {pick(part.than)}",
            f"{{Y}} was{pick(part.adverbs)} {{part}} {pick(('by {D}', *part.with_drug))}{tail}",
            f"{pick(part.saw)} a {pick(part.sizes)}{{noun}} in {{Y}} {pick(part.with_drug)}{tail}",
            f"a {pick(part.sizes)}{{noun}} in {{Y}} {pick(part.occurred)} {pick(part.with_drug)}{tail}",
        )
    )
    return f"{pick(part.leads)}{core}{pick(part.significant)}."


def _null(rng: random.Random) -> str:
    pick = rng.choice
    tail = pick(part.times) + pick(("", "", "", " compared with {C}", " relative to {C}", ", nor did {C}"))
    core = pick(
        (
            f"{{D}} {pick(part.not_able)} {{vtb}} {{Y}}{tail}",
            f"{{D}} {pick(part.not_caused)} a {{noun}} in {{Y}}{tail}",
            f"{{D}} {pick(part.not_caused)} {{comp}} {{Y}}{tail}",
            f"{{Y}} {pick(part.steady)} {pick(part.with_drug)}{tail}",
            f"{pick(part.with_drug)}, {{Y}} {pick(part.steady)}{tail}",
            f"{{Y}} was {{same}} {pick(part.both)}{pick(part.times)}",
            f"{pick(part.users)} had no {{comp}} {{Y}} than others{pick(part.times)}",
            f"{pick(part.users)} had {{same}} {{Y}} as the others{pick(part.times)}",
            f"{pick(part.saw)} no {{noun}} in {{Y}} {pick(part.with_drug)}{tail}",
            f"{pick(part.saw)} {{noeff}} of {{D}} on {{Y}}{tail}",
            f"no {{noun}} in {{Y}} {pick(part.occurred)} {pick(part.with_drug)}{tail}",
            f"{{D}} {pick(('had', 'showed', 'exerted', 'turned out to have'))} {{noeff}} on {{Y}}{tail}",
            f"the difference in {{Y}} between {{D}} and {{C}} {pick(('was nil', 'was chance', 'was not real'))}",
        )
    )
    return f"{pick(part.leads)}{core}{pick(part.not_significant)}."


def _unclear(rng: random.Random) -> str:
    pick = rng.choice
    effect = f"the {pick(part.influence)} of {{D}} on {{Y}} {pick(part.open)}"
    core = pick(
        (
            f"{pick(part.unknown)} {pick(part.clauses)}",
            f"whether {pick(part.clauses)} {pick(part.open)}",
            effect,
            f"{pick(part.reasons)}{effect}",
            f"{pick(part.reasons)}{pick(part.unknown)} {pick(part.clauses)}",
            f"{{D}} {pick(('may have', 'could have', 'has possibly'))} {{part}} {{Y}}, {pick(part.doubts)}",
            f"{{Y}} seemed {{comp}} {pick(part.with_drug)}, {pick(part.doubts)}",
            f"there was a trend towards {{comp}} {{Y}} {pick(part.with_drug)}, {pick(part.doubts)}",
            f"{{Y}} perhaps {{vi}} {pick(part.with_drug)}, {pick(part.doubts)}",
            f"the {{noun}} in {{Y}} {pick(part.with_drug)} {pick(part.open)}",
        )
    )
    return f"{pick(part.leads[:9])}{core}."


def _question(rng: random.Random) -> str:
    pick = rng.choice
    where = pick(part.in_population)
    core = pick(
        (
            f"{pick(part.auxiliaries)} {pick(part.treatment)} {{vtb}} {{Y}}",
            f"{pick(part.auxiliaries)} {pick(part.treatment)} {pick(part.cause)} {{comp}} {{Y}}",
            f"{pick(part.auxiliaries)} {pick(part.treatment)} {pick(part.cause)} a {{noun}} in {{Y}}",
            f"{pick(part.auxiliaries)} {{Y}} {{vib}} {pick(part.with_drug)}",
            f"is {pick(part.treatment)} {pick(('associated with', 'linked to', 'followed by'))} {{comp}} {{Y}}",
            f"is {pick(part.treatment)} {pick(('linked to', 'followed by', 'the cause of'))} a {{noun}} in {{Y}}",
            f"is a {{noun}} in {{Y}} {pick(part.expected)} {pick(part.with_drug)}",
            f"is {{Y}} {{comp}} {pick(part.with_drug)}",
            f"is {{Y}} {{part}} {pick(part.with_drug)}",
            f"is there a {{noun}} in {{Y}} {pick(part.with_drug)}",
            f"is it {pick(('true', 'known', 'certain', 'the case'))} that {{D}} {{vt}} {{Y}}",
            f"has it been shown that {{Y}} {{vi}} {pick(part.with_drug)}",
        )
    )
    if rng.random() < 0.15:
        taking = f"{{P}} {pick(part.taking)} {{D}}"
        return pick((f"Do {taking} have {{comp}} {{Y}}?", f"Do {taking} have a {{noun}} in {{Y}}?"))
    if rng.random() < 0.25:
        return f"{where}, {core}?"
    return f"{core} {where}?"
