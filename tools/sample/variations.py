"""More ways to say a finding or to ask for it: patterns put together from parts, for training text only.

The families of :mod:`tools.sample.patterns` are few, and a model learns each of them by heart. Put together from parts
there are some ten thousand patterns a kind, so that what is read must be the words and not the frame. No pattern that
holds a held-out family, or is held in one, is ever drawn.
"""

import random
import re
from functools import cache

from tools.sample.patterns import FAMILIES, HELD_OUT

_P_VALUE = re.compile(r" \(p [=<] \{[pq]\}\)|[.?]$")
_ADVERBS = ("", "", " significantly", " clearly", " markedly", " consistently", " substantially")
_SIZES = ("", "", "significant ", "marked ", "clear ", "{n}% ", "sizeable ", "lasting ", "modest but significant ")
_TIMES = (
    "",
    "",
    "",
    " at {k} weeks",
    " within {k} weeks",
    " over {k} weeks",
    " during follow-up",
    " by the last visit",
)
_AGAINST = ("", "", "", " compared with {C}", " relative to {C}", ", unlike {C}", ", whereas {C} did not")
_SIGNIFICANT = ("", "", " (P = {p})", " (P < {p})", ", a significant result", ", beyond chance")
_NOT_SIGNIFICANT = ("", "", " (P = {q})", ", and chance explains the rest", ", in any analysis")
_LEADS = (
    "",
    "",
    "",
    "In this trial, ",
    "By the end, ",
    "On analysis, ",
    "In our patients, ",
    "As hypothesised, ",
    "According to the primary analysis, ",
    "We found that ",
    "We noted that ",
    "We can report that ",
    "The results show that ",
    "It was shown that ",
    "The main finding was that ",
    "Analysis confirmed that ",
    "Our conclusion is that ",
)
_USERS = (
    "patients on {D}",
    "those given {D}",
    "participants assigned to {D}",
    "subjects treated with {D}",
    "recipients of {D}",
    "people taking {D}",
    "the {D} group",
    "the arm that received {D}",
    "individuals under {D}",
    "users of {D}",
    "all who had been allotted {D}",
)
_WITH = (
    "with {D}",
    "under {D}",
    "after {D}",
    "during treatment with {D}",
    "following {D}",
    "in response to {D}",
    "once {D} was given",
    "in those given {D}",
    "in patients on {D}",
    "in the group given {D}",
    "in the {D} group",
    "through the use of {D}",
)
_THAN = (
    "with {D} than with {C}",
    "under {D} than under {C}",
    "in the {D} group than in the {C} group",
    "in patients on {D} than in patients on {C}",
    "for {D} than for {C}",
    "after {D} than before",
    "in those who took {D}",
    "when {D} was added",
    "among recipients of {D}",
)
_CAUSED = (
    "produced",
    "brought",
    "yielded",
    "induced",
    "achieved",
    "resulted in",
    "led to",
    "was linked to",
    "was associated with",
    "was accompanied by",
    "accounted for",
    "went along with",
    "was responsible for",
)
_CAUSE = ("produce", "bring", "yield", "induce", "lead to", "result in", "give", "mean", "achieve")
_ABLE = (
    "was seen to",
    "was shown to",
    "was able to",
    "was observed to",
    "turned out to",
    "managed to",
    "helped to",
    "was noted to",
    "was confirmed to",
)
_NOT_ABLE = (
    "did not",
    "did not significantly",
    "failed to",
    "was unable to",
    "was not able to",
    "was not seen to",
    "was not shown to",
    "did nothing to",
    "never managed to",
    "could not be shown to",
)
_NOT_CAUSED = (
    "did not produce",
    "did not bring",
    "did not lead to",
    "did not result in",
    "was not linked to",
    "was not accompanied by",
    "never led to",
    "was not responsible for",
)
_HAD = ("had", "showed", "ended with", "reached", "came to have", "were found to have", "experienced", "recorded")
_SAW = ("there was", "we saw", "we noted", "the data showed", "the analysis revealed", "we measured", "the trial found")
_OCCURRED = ("occurred", "was recorded", "was noted", "was evident", "was documented", "took place", "was observed")
_STEADY = (
    "was {same}",
    "remained {same}",
    "did not change",
    "did not move",
    "held steady",
    "was unaltered",
    "showed no change",
    "did not {vib}",
    "was not {part}",
    "was no different",
    "failed to {vib}",
    "was not {comp}",
    "showed no {noun}",
)
_BOTH = (
    "in both groups, {D} and {C}",
    "with {D} and with {C}",
    "under {D} and {C} alike",
    "whether {D} or {C} was given",
    "on either {D} or {C}",
    "in users of {D} and of {C}",
)
_UNKNOWN = (
    "it is not known whether",
    "it could not be decided whether",
    "we cannot say whether",
    "the data do not tell whether",
    "it is impossible to say from this study whether",
    "it was not possible to judge whether",
    "we were unable to find out whether",
    "it is {unc} whether",
    "further studies must show whether",
    "the analyses disagreed on whether",
)
_CLAUSES = (
    "{D} {vt} {Y}",
    "{Y} {vi} with {D}",
    "{D} led to {comp} {Y}",
    "a {noun} in {Y} occurred with {D}",
    "{Y} was {comp} on {D} than on {C}",
    "{Y} was {part} under {D}",
)
_INFLUENCE = ("effect", "influence", "impact", "action", "bearing")
_OPEN = (
    "is {unc}",
    "was {unc}",
    "could not be estimated",
    "could not be judged",
    "was not settled",
    "cannot be told from these data",
    "is not known",
    "was too variable to interpret",
    "needs further study",
    "has yet to be determined",
)
_REASONS = (
    "as the sample was small, ",
    "since many dropped out, ",
    "with so few events, ",
    "owing to an early stop, ",
    "given the wide interval, ",
    "as the centres disagreed, ",
    "with most records incomplete, ",
)
_DOUBTS = (
    "but the result is {unc}",
    "but this was not confirmed",
    "but the interval was wide",
    "but numbers were too small to be sure",
    "but chance cannot be excluded",
    "but the analyses disagreed",
    "yet the finding remains {unc}",
)
_AUXILIARIES = ("does", "can", "will", "would", "did", "may")
_IN = ("in {P}", "among {P}", "for {P}", "in a group of {P}", "when the patients are {P}")
_TAKING = ("on", "given", "taking", "treated with", "who take", "receiving", "assigned to")
_TREATMENT = ("treatment with {D}", "therapy with {D}", "taking {D}", "the use of {D}", "a course of {D}", "{D}", "{D}")


def varied(kind: str, rng: random.Random) -> str:
    """A pattern of ``kind`` (effect, null, unclear or question) that no family of the sample has to have."""
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
    tail = pick(_TIMES) + pick(_AGAINST)
    core = pick(
        (
            f"{{D}}{pick(_ADVERBS)} {{vt}} {{Y}}{amount}{tail}",
            f"{{D}} {pick(_ABLE)} {{vtb}} {{Y}}{amount}{tail}",
            f"{{D}} {pick(_CAUSED)} a {pick(_SIZES)}{{noun}} in {{Y}}{tail}",
            f"{{D}} {pick(_CAUSED)}{pick(_ADVERBS)} {{comp}} {{Y}}{tail}",
            f"{{Y}}{pick(_ADVERBS)} {{vi}}{amount} {pick(_WITH)}{tail}",
            f"{pick(_WITH)}, {{Y}}{pick(_ADVERBS)} {{vi}}{amount}{tail}",
            f"{pick(_USERS)} {pick(_HAD)}{pick(_ADVERBS)} {{comp}} {{Y}}{tail}",
            f"{pick(_USERS)} {pick(_HAD)} a {pick(_SIZES)}{{noun}} in {{Y}}{tail}",
            f"{{Y}} was{pick(_ADVERBS)} {{comp}} {pick(_THAN)}",
            f"{{Y}} was{pick(_ADVERBS)} {{part}} {pick(('by {D}', *_WITH))}{tail}",
            f"{pick(_SAW)} a {pick(_SIZES)}{{noun}} in {{Y}} {pick(_WITH)}{tail}",
            f"a {pick(_SIZES)}{{noun}} in {{Y}} {pick(_OCCURRED)} {pick(_WITH)}{tail}",
        )
    )
    return f"{pick(_LEADS)}{core}{pick(_SIGNIFICANT)}."


def _null(rng: random.Random) -> str:
    pick = rng.choice
    tail = pick(_TIMES) + pick(("", "", "", " compared with {C}", " relative to {C}", ", nor did {C}"))
    core = pick(
        (
            f"{{D}} {pick(_NOT_ABLE)} {{vtb}} {{Y}}{tail}",
            f"{{D}} {pick(_NOT_CAUSED)} a {{noun}} in {{Y}}{tail}",
            f"{{D}} {pick(_NOT_CAUSED)} {{comp}} {{Y}}{tail}",
            f"{{Y}} {pick(_STEADY)} {pick(_WITH)}{tail}",
            f"{pick(_WITH)}, {{Y}} {pick(_STEADY)}{tail}",
            f"{{Y}} was {{same}} {pick(_BOTH)}{pick(_TIMES)}",
            f"{pick(_USERS)} had no {{comp}} {{Y}} than others{pick(_TIMES)}",
            f"{pick(_USERS)} had {{same}} {{Y}} as the others{pick(_TIMES)}",
            f"{pick(_SAW)} no {{noun}} in {{Y}} {pick(_WITH)}{tail}",
            f"{pick(_SAW)} {{noeff}} of {{D}} on {{Y}}{tail}",
            f"no {{noun}} in {{Y}} {pick(_OCCURRED)} {pick(_WITH)}{tail}",
            f"{{D}} {pick(('had', 'showed', 'exerted', 'turned out to have'))} {{noeff}} on {{Y}}{tail}",
            f"the difference in {{Y}} between {{D}} and {{C}} {pick(('was nil', 'was chance', 'was not real'))}",
        )
    )
    return f"{pick(_LEADS)}{core}{pick(_NOT_SIGNIFICANT)}."


def _unclear(rng: random.Random) -> str:
    pick = rng.choice
    effect = f"the {pick(_INFLUENCE)} of {{D}} on {{Y}} {pick(_OPEN)}"
    core = pick(
        (
            f"{pick(_UNKNOWN)} {pick(_CLAUSES)}",
            f"whether {pick(_CLAUSES)} {pick(_OPEN)}",
            effect,
            f"{pick(_REASONS)}{effect}",
            f"{pick(_REASONS)}{pick(_UNKNOWN)} {pick(_CLAUSES)}",
            f"{{D}} {pick(('may have', 'could have', 'has possibly'))} {{part}} {{Y}}, {pick(_DOUBTS)}",
            f"{{Y}} seemed {{comp}} {pick(_WITH)}, {pick(_DOUBTS)}",
            f"there was a trend towards {{comp}} {{Y}} {pick(_WITH)}, {pick(_DOUBTS)}",
            f"{{Y}} perhaps {{vi}} {pick(_WITH)}, {pick(_DOUBTS)}",
            f"the {{noun}} in {{Y}} {pick(_WITH)} {pick(_OPEN)}",
        )
    )
    return f"{pick(_LEADS[:9])}{core}."


def _question(rng: random.Random) -> str:
    pick = rng.choice
    where = pick(_IN)
    core = pick(
        (
            f"{pick(_AUXILIARIES)} {pick(_TREATMENT)} {{vtb}} {{Y}}",
            f"{pick(_AUXILIARIES)} {pick(_TREATMENT)} {pick(_CAUSE)} {{comp}} {{Y}}",
            f"{pick(_AUXILIARIES)} {pick(_TREATMENT)} {pick(_CAUSE)} a {{noun}} in {{Y}}",
            f"{pick(_AUXILIARIES)} {{Y}} {{vib}} {pick(_WITH)}",
            f"is {pick(_TREATMENT)} {pick(('associated with', 'linked to', 'followed by'))} {{comp}} {{Y}}",
            f"is {pick(_TREATMENT)} {pick(('linked to', 'followed by', 'the cause of'))} a {{noun}} in {{Y}}",
            f"is a {{noun}} in {{Y}} {pick(('seen', 'found', 'noted', 'to be expected', 'known'))} {pick(_WITH)}",
            f"is {{Y}} {{comp}} {pick(_WITH)}",
            f"is {{Y}} {{part}} {pick(_WITH)}",
            f"is there a {{noun}} in {{Y}} {pick(_WITH)}",
            f"is it {pick(('true', 'known', 'certain', 'the case'))} that {{D}} {{vt}} {{Y}}",
            f"has it been shown that {{Y}} {{vi}} {pick(_WITH)}",
        )
    )
    if rng.random() < 0.15:
        taking = f"{{P}} {pick(_TAKING)} {{D}}"
        return pick((f"Do {taking} have {{comp}} {{Y}}?", f"Do {taking} have a {{noun}} in {{Y}}?"))
    if rng.random() < 0.25:
        return f"{where}, {core}?"
    return f"{core} {where}?"
