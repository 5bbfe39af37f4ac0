"""Studies, and the abstracts, questions and statements written about them.

A :class:`Study` is the meaning: an intervention, a population, and a finding for each outcome. The texts about it are
drawn from the pattern families, so that meaning and wording are independent.
"""

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from corpus.records import Label
from tools.sample import lexicon
from tools.sample.lexicon import CHANGE, Direction
from tools.sample.patterns import Style, patterns
from tools.sample.variations import varied

FindingKind = Literal["effect", "null", "unclear"]
VARIED_SHARE = 0.65  # of the sentences in the style ``varied`` that are composed by ``tools.sample.variations``
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
    """What a study found for one outcome; ``direction`` is that of the change that is reported, suspected or denied."""

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
    """The other direction."""
    return "up" if direction == "down" else "down"


def finding_sentence(study: Study, finding: Finding, rng: random.Random, style: Style) -> str:
    """The sentence that reports ``finding``, sometimes after a lead-in."""
    text = _fill(_pattern(finding.kind, rng, style), study, rng, finding.outcome, finding.direction, style)
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
        topic: the outcome that background and methods mention; by default the first finding's.
        style: the style of the sentences.
        asides: number of sentences beside the findings; by default 1 to 3.
    """
    main = study.findings[0]
    topic = topic or main.outcome

    def sentence(kind: str) -> str:
        return _fill(rng.choice(patterns(kind, style)), study, rng, topic, main.direction, style)

    results = [finding_sentence(study, finding, rng, style) for finding in study.findings]
    if rng.random() < 0.5:
        rng.shuffle(results)
    count = rng.randint(1, 3) if asides is None else asides
    for pattern in rng.sample(patterns("aside", style), count):
        results.insert(rng.randint(0, len(results)), _fill(pattern, study, rng, main.outcome, main.direction, style))
    return {"BACKGROUND": sentence("background"), "METHODS": sentence("methods"), "RESULTS": " ".join(results)}


def question(study: Study, outcome: str, direction: Direction, rng: random.Random, style: Style = "common") -> str:
    """The question whether the study's intervention changes ``outcome`` in ``direction`` in its population."""
    return _fill(_pattern("question", rng, style), study, rng, outcome, direction, style)


def conclusion(study: Study, outcome: str, direction: Direction, rng: random.Random, style: Style = "common") -> str:
    """The abstract's conclusion on the question whether ``outcome`` changed in ``direction``."""
    kind = f"conclusion_{study.answer(outcome, direction)}"
    return _fill(rng.choice(patterns(kind, style)), study, rng, outcome, direction, style)


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


def statement(study: Study, wanted: Label, rng: random.Random, style: Style = "common") -> str | None:
    """A statement that the study entails (``yes``), contradicts (``no``) or leaves open (``maybe``), in lower case.

    None if the drawn finding allows no such statement: an unclear finding entails and contradicts nothing.
    """
    finding = rng.choice(study.findings)
    direction = finding.direction
    if wanted == "maybe":
        if finding.kind == "unclear" and rng.random() < 0.5:
            outcome = finding.outcome
        else:
            reported = {known.outcome for known in study.findings}
            outcome = rng.choice([other for other in lexicon.OUTCOMES if other not in reported])
        kind = rng.choice(("effect", "null"))
    elif finding.kind == "unclear":
        return None
    else:
        outcome = finding.outcome
        if wanted == "yes":
            kind = finding.kind
        elif finding.kind == "null":
            kind = "effect"
        else:
            kind = rng.choice(("effect", "null"))
            direction = opposite(direction)
    text = _fill(rng.choice(STATEMENTS[kind]), study, rng, outcome, direction, style)
    return text[0].lower() + text[1:]


def draw_finding(rng: random.Random, outcome: str, weights: tuple[float, float, float]) -> Finding:
    """A finding for ``outcome``; ``weights`` are those of effect, null and unclear."""
    kind: FindingKind = rng.choices(("effect", "null", "unclear"), weights)[0]
    return Finding(outcome, kind, rng.choice(("down", "up")))


def draw_study(rng: random.Random, drug: str, findings: Iterable[Finding]) -> Study:
    """A study of an intervention with these findings, with a random comparator and population."""
    comparator, group = rng.choice(lexicon.COMPARATORS), rng.choice(lexicon.GROUPS)
    return Study(drug, comparator, group, rng.choice(lexicon.CONDITIONS), tuple(findings))


def _pattern(kind: str, rng: random.Random, style: Style) -> str:
    if style == "varied" and rng.random() < VARIED_SHARE:
        return varied(kind, rng)
    return rng.choice(patterns(kind, style))


def _fill(
    pattern: str, study: Study, rng: random.Random, outcome: str, direction: Direction, style: Style = "common"
) -> str:
    """One sentence: ``pattern`` with every slot filled, its article and first letter corrected.

    In the style ``plain`` only the first two words for each form of a change are used.
    """
    few = 2 if style == "plain" else None
    words, other = CHANGE[direction], CHANGE[opposite(direction)]
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
        vi=rng.choice(words.intransitive[:few]),
        vi_=rng.choice(other.intransitive[:few]),
        vib=rng.choice(words.intransitive_base[:few]),
        vt=rng.choice(words.transitive[:few]),
        vtb=rng.choice(words.transitive_base[:few]),
        noun=rng.choice(words.noun[:few]),
        comp=rng.choice(words.comparative[:few]),
        comp_=rng.choice(other.comparative[:few]),
        part=rng.choice(words.participle[:few]),
        same=rng.choice(lexicon.SAME),
        noeff=rng.choice(lexicon.NO_EFFECT),
        unc=rng.choice(lexicon.UNCERTAIN),
    )
    text = re.sub(r"\b([Aa]) (?=increase|elevation|8%|11%|18%)", r"\1n ", text)
    return text[0].upper() + text[1:]
