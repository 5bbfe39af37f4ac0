"""Studies, and the abstracts, questions and statements written about them.

A :class:`Study` has the facts: an intervention, a population, and a finding for each outcome. The texts about it are
drawn from the sentence patterns, so that facts and wording are independent.
"""

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from corpus.records import Label
from tools.sample import lexicon
from tools.sample.lexicon import CHANGE, Direction
from tools.sample.patterns import Style, select_patterns
from tools.sample.variations import compose

FindingKind = Literal["effect", "null", "unclear"]
VARIED_SHARE = 0.65  # share of the patterns in the style ``varied`` that ``tools.sample.variations`` composes
LEAD_INS = (
    "Overall, ",
    "In the adjusted model, ",
    "At the final visit, ",
    "In summary, ",
    "Of note, ",
    "As planned, ",
    "In this cohort, ",
    "At both sites, ",
    "In the whole sample, ",
    "After adjustment for age, ",
    "During follow-up, ",
    "Taken together, ",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A study's finding for one outcome: a change in ``direction`` (effect), no such change (null), or unclear."""

    outcome: str
    kind: FindingKind
    direction: Direction


@dataclass(frozen=True, slots=True)
class Study:
    """One study: intervention, comparator, population, and the findings in the order in which they are reported."""

    drug: str
    comparator: str
    group: str
    condition: str
    findings: tuple[Finding, ...]

    @property
    def population(self) -> str:
        """The population in words, such as ``adults with asthma``."""
        return f"{self.group} with {self.condition}"

    def triples(self) -> set[tuple[str, str, str]]:
        """The (intervention, condition, outcome) triples that the abstract reports."""
        return {(self.drug, self.condition, finding.outcome) for finding in self.findings}

    def answer(self, outcome: str, direction: Direction) -> Label:
        """The study's answer to the question whether the intervention changes ``outcome`` in ``direction``."""
        for finding in self.findings:
            if finding.outcome == outcome:
                if finding.kind == "unclear":
                    return "maybe"
                return "yes" if finding.kind == "effect" and finding.direction == direction else "no"
        return "maybe"


def opposite(direction: Direction) -> Direction:
    """The opposite of ``direction``."""
    return "up" if direction == "down" else "down"


def finding_sentence(study: Study, finding: Finding, rng: random.Random, style: Style) -> str:
    """The sentence that reports ``finding``, sometimes after a lead-in."""
    text = _fill(_draw_pattern(finding.kind, rng, style), study, rng, finding.outcome, finding.direction, style)
    if rng.random() < 0.3:
        text = rng.choice(LEAD_INS) + text[0].lower() + text[1:]
    return text


def abstract(
    study: Study, rng: random.Random, *, topic: str | None = None, style: Style = "common", asides: int | None = None
) -> dict[str, str]:
    """The abstract's sections by heading: background, methods and results.

    Args:
        study: the study.
        rng: the random generator.
        topic: the outcome in background and methods; by default that of the first finding.
        style: the style of the sentences.
        asides: number of sentences in the results that report no finding; by default 1 to 3.
    """
    first = study.findings[0]
    topic = topic or first.outcome

    def sentence(kind: str) -> str:
        return _fill(rng.choice(select_patterns(kind, style)), study, rng, topic, first.direction, style)

    results = [finding_sentence(study, finding, rng, style) for finding in study.findings]
    if rng.random() < 0.5:
        rng.shuffle(results)
    count = rng.randint(1, 3) if asides is None else asides
    for pattern in rng.sample(select_patterns("aside", style), count):
        results.insert(rng.randint(0, len(results)), _fill(pattern, study, rng, first.outcome, first.direction, style))
    return {"BACKGROUND": sentence("background"), "METHODS": sentence("methods"), "RESULTS": " ".join(results)}


def question(study: Study, outcome: str, direction: Direction, rng: random.Random, style: Style = "common") -> str:
    """The question whether the study's intervention changes ``outcome`` in ``direction`` in its population."""
    return _fill(_draw_pattern("question", rng, style), study, rng, outcome, direction, style)


def conclusion(study: Study, outcome: str, direction: Direction, rng: random.Random, style: Style = "common") -> str:
    """The abstract's conclusion on the question whether ``outcome`` changed in ``direction``."""
    kind = f"conclusion_{study.answer(outcome, direction)}"
    return _fill(rng.choice(select_patterns(kind, style)), study, rng, outcome, direction, style)


STATEMENTS: dict[str, tuple[str, ...]] = {
    "effect": (
        "{D} {vt} {Y}",
        "{Y} {vi} with {D}",
        "{D} was followed by {comp} {Y}",
        "there was a {noun} in {Y} with {D}",
    ),
    "null": (
        "{D} had {noeff} on {Y}",
        "{D} did not change {Y}",
        "{Y} was {same} with {D} and {C}",
        "{D} left {Y} unchanged",
    ),
}


def statement(study: Study, label: Label, rng: random.Random, style: Style = "common") -> str | None:
    """A statement that the study entails (``yes``), contradicts (``no``) or is neutral to (``maybe``), in lower case.

    None if the drawn finding is unclear and ``label`` is not ``maybe``: an unclear finding entails and contradicts
    nothing.
    """
    finding = rng.choice(study.findings)
    direction = finding.direction
    if label == "maybe":
        if finding.kind == "unclear" and rng.random() < 0.5:
            outcome = finding.outcome
        else:
            reported = {reported_finding.outcome for reported_finding in study.findings}
            outcome = rng.choice([name for name in lexicon.OUTCOMES if name not in reported])
        kind = rng.choice(("effect", "null"))
    elif finding.kind == "unclear":
        return None
    else:
        outcome = finding.outcome
        if label == "yes":
            kind = finding.kind
        elif finding.kind == "null":
            kind = "effect"
        else:
            kind = rng.choice(("effect", "null"))
            direction = opposite(direction)
    text = _fill(rng.choice(STATEMENTS[kind]), study, rng, outcome, direction, style)
    return text[0].lower() + text[1:]


def draw_finding(rng: random.Random, outcome: str, weights: tuple[float, float, float]) -> Finding:
    """A finding for ``outcome``; ``weights`` are the relative frequencies of effect, null and unclear."""
    kind: FindingKind = rng.choices(("effect", "null", "unclear"), weights)[0]
    return Finding(outcome, kind, rng.choice(("down", "up")))


def draw_study(rng: random.Random, drug: str, findings: Iterable[Finding]) -> Study:
    """A study of an intervention with these findings, with a random comparator and population."""
    comparator, group = rng.choice(lexicon.COMPARATORS), rng.choice(lexicon.GROUPS)
    return Study(drug, comparator, group, rng.choice(lexicon.CONDITIONS), tuple(findings))


def _draw_pattern(kind: str, rng: random.Random, style: Style) -> str:
    if style == "varied" and rng.random() < VARIED_SHARE:
        return compose(kind, rng)
    return rng.choice(select_patterns(kind, style))


def _fill(
    pattern: str, study: Study, rng: random.Random, outcome: str, direction: Direction, style: Style = "common"
) -> str:
    """The sentence of ``pattern`` with every slot filled, and its articles and first letter corrected.

    The style ``plain`` uses only the first two words of each grammatical form of a change.
    """
    limit = 2 if style == "plain" else None
    words, opposite_words = CHANGE[direction], CHANGE[opposite(direction)]
    population = study.population
    side_effect = rng.choice(lexicon.ADVERSE)
    text = pattern.format(
        D=study.drug,
        C=study.comparator,
        Y=outcome,
        P=population,
        P_cap=population[0].upper() + population[1:],
        cond=study.condition,
        n=rng.randint(4, 48),
        big=rng.randint(81, 99),
        k=rng.choice((4, 6, 8, 12, 16, 24, 26, 36, 48, 52)),
        N=rng.randint(24, 980),
        age=rng.randint(19, 79),
        few=rng.choice(("Two", "Three", "Four", "Five", "Six", "Nine")),
        p=f"0.0{rng.randint(1, 4)}" if rng.random() < 0.5 else f"0.00{rng.randint(1, 9)}",
        q=f"0.{rng.randint(11, 97)}",
        E=side_effect,
        E_cap=side_effect[0].upper() + side_effect[1:],
        vi=rng.choice(words.intransitive[:limit]),
        vi_=rng.choice(opposite_words.intransitive[:limit]),
        vib=rng.choice(words.intransitive_base[:limit]),
        vt=rng.choice(words.transitive[:limit]),
        vtb=rng.choice(words.transitive_base[:limit]),
        noun=rng.choice(words.noun[:limit]),
        comp=rng.choice(words.comparative[:limit]),
        comp_=rng.choice(opposite_words.comparative[:limit]),
        part=rng.choice(words.participle[:limit]),
        same=rng.choice(lexicon.SAME),
        noeff=rng.choice(lexicon.NO_EFFECT),
        unc=rng.choice(lexicon.UNCERTAIN),
    )
    text = re.sub(r"\b([Aa]) (?=increase|elevation|8%|11%|18%)", r"\1n ", text)
    return text[0].upper() + text[1:]
