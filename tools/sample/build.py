"""Writes the sample's files: ``make sample``, or ``python -m tools.sample [--check]``.

Only :data:`SEED`, the code and its YAML files determine the files. ``--check`` compares them byte for byte with the
shipped ones and writes nothing.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache

from corpus.records import LABELS, Label
from corpus.sample import DATA
from tools.sample import lexicon
from tools.sample.abstracts import (
    Finding,
    FindingKind,
    Study,
    abstract,
    conclusion,
    draw_finding,
    draw_study,
    opposite,
    question,
    statement,
)
from tools.sample.lexicon import Direction
from tools.sample.notes import Note, draw_note, draw_statement
from tools.sample.patterns import Style

SEED = 20261123
LABEL_SHARES = (0.55, 0.34, 0.11)  # of yes, no and maybe, as in PubMedQA's expert-labelled set (55.2, 33.8, 11.0 %)
NULL_SHARE = 0.8  # share of null findings among the records with answer no; the rest has the opposite effect
NLI_LABEL: dict[Label, str] = {"yes": "entailment", "no": "contradiction", "maybe": "neutral"}
FINDING_WEIGHTS = (6, 3, 1)  # of effect, null and unclear among findings that no question is about
NLI_PREMISE_COUNTS = {"train": 1000, "dev": 100, "test": 150}


@dataclass(frozen=True, slots=True)
class SampleRecord:
    """A question about a study's ``outcome``, and the record in PubMedQA's format."""

    id: str
    study: Study
    outcome: str
    row: dict[str, object]
    label: Label


@dataclass(slots=True)
class Reserved:
    """Content that no training text may have: test triples, new drug names, and premises of the NLI files."""

    triples: set[tuple[str, str, str]] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    premises: set[str] = field(default_factory=set)

    def allows(self, study: Study, outcomes: Iterable[str] = ()) -> bool:
        """Whether a training text may report ``study`` and ask about its outcomes and further ``outcomes``."""
        questions = {(study.drug, study.condition, outcome) for outcome in outcomes}
        return study.drug not in self.names and self.triples.isdisjoint(study.triples() | questions)


def _draw_record(rng: random.Random, id_: str, drug: str, style: Style) -> SampleRecord:
    """A record on ``drug``. If its label is maybe, the abstract may leave out the outcome of the question."""
    label: Label = rng.choices(LABELS, LABEL_SHARES)[0]
    asked_direction: Direction = rng.choice(("down", "up"))
    outcome, other = rng.sample(lexicon.OUTCOMES, 2)
    is_reported = True
    kind: FindingKind
    direction = asked_direction
    if label == "yes":
        kind = "effect"
    elif label == "no":
        kind = "null" if rng.random() < NULL_SHARE else "effect"
        direction = opposite(asked_direction) if kind == "effect" else asked_direction
    else:
        kind = "unclear"
        is_reported = rng.random() < 0.75
    findings = [Finding(outcome, kind, direction)] if is_reported else []
    if not is_reported or rng.random() < 0.25:
        findings.append(draw_finding(rng, other, FINDING_WEIGHTS))
    study = draw_study(rng, drug, findings)
    sections = abstract(study, rng, style=style)
    row: dict[str, object] = {
        "QUESTION": question(study, outcome, asked_direction, rng, style),
        "CONTEXTS": list(sections.values()),
        "LABELS": list(sections),
        "MESHES": [study.condition, outcome],
        "YEAR": str(rng.randint(1996, 2025)),
        "LONG_ANSWER": conclusion(study, outcome, asked_direction, rng, style),
        "final_decision": label,
    }
    answer = study.answer(outcome, asked_direction)
    if answer != label:
        raise RuntimeError(f"record {id_} has the label {label}, and its abstract {answer}")
    return SampleRecord(id_, study, outcome, row, label)


def _draw_interventions(rng: random.Random, count: int, used_names: set[str], *, therapies: bool) -> Iterator[str]:
    """``count`` new drug names, which are added to ``used_names``; with ``therapies`` a tenth are therapies instead."""
    for _ in range(count):
        if therapies and rng.random() < 0.1:
            yield rng.choice(lexicon.THERAPIES)
            continue
        name = lexicon.drug_name(rng)
        while name in used_names:
            name = lexicon.drug_name(rng)
        used_names.add(name)
        yield name


@dataclass(frozen=True, slots=True)
class Sample:
    """All records of the sample: 300 for training and 300 in each of three test sets.

    ``new_names`` are about drugs that no other text names; ``new_phrases`` have patterns that no training text has.
    """

    train: tuple[SampleRecord, ...]
    test: tuple[SampleRecord, ...]
    new_names: tuple[SampleRecord, ...]
    new_phrases: tuple[SampleRecord, ...]


@cache
def draw_sample() -> Sample:
    """The sample, the same at every call."""
    rng = random.Random(SEED)
    used_names: set[str] = set()
    triples: set[tuple[str, str, str]] = set()

    def records(prefix: str, count: int, style: Style, *, therapies: bool) -> tuple[SampleRecord, ...]:
        drawn = []
        for number, drug in enumerate(_draw_interventions(rng, count, used_names, therapies=therapies), 1):
            record = _draw_record(rng, f"{prefix}{number:04d}", drug, style)
            while not triples.isdisjoint(_triples(record)):
                record = _draw_record(rng, record.id, drug, style)
            triples.update(_triples(record))
            drawn.append(record)
        return tuple(drawn)

    main_records = records("mg", 600, "common", therapies=True)
    return Sample(
        train=main_records[:300],
        test=main_records[300:],
        new_names=records("nn", 300, "common", therapies=False),
        new_phrases=records("np", 300, "held_out", therapies=True),
    )


def _triples(record: SampleRecord) -> set[tuple[str, str, str]]:
    """The (intervention, condition, outcome) triples of abstract and question."""
    return record.study.triples() | {(record.study.drug, record.study.condition, record.outcome)}


@dataclass(frozen=True, slots=True)
class _Premise:
    text: str
    source: Note | Study

    def draw_hypothesis(self, label: Label, rng: random.Random) -> str:
        if isinstance(self.source, Note):
            return draw_statement(self.source, label, rng)[0]
        text = statement(self.source, label, rng)
        while text is None:
            text = statement(self.source, label, rng)
        return text


@cache
def draw_premises() -> dict[str, tuple[_Premise, ...]]:
    """The NLI premises by split, all different: 60 % are notes, 40 % the results of an abstract."""
    rng = random.Random(SEED + 1)
    seen: set[str] = set()
    splits: dict[str, tuple[_Premise, ...]] = {}
    for split, count in NLI_PREMISE_COUNTS.items():
        premises: list[_Premise] = []
        while len(premises) < count:
            source: Note | Study
            if rng.random() < 0.6:
                source = draw_note(rng, rng.randint(1, 4))
                text = source.text
            else:
                outcomes = rng.sample(lexicon.OUTCOMES, rng.randint(1, 2))
                first = draw_finding(rng, outcomes[0], (2, 1, 0))  # not unclear, so that statements can be entailed
                findings = (first, *(draw_finding(rng, outcome, FINDING_WEIGHTS) for outcome in outcomes[1:]))
                source = draw_study(rng, lexicon.drug_name(rng), findings)
                text = abstract(source, rng, asides=rng.randint(0, 1))["RESULTS"]
            if text not in seen:
                seen.add(text)
                premises.append(_Premise(text, source))
        splits[split] = tuple(premises)
    return splits


@cache
def reserved() -> Reserved:
    """The content of the sample that no training text may have."""
    sample = draw_sample()
    content = Reserved(names={record.study.drug for record in sample.new_names})
    for record in (*sample.test, *sample.new_names, *sample.new_phrases):
        content.triples |= _triples(record)
    for premises in draw_premises().values():
        for premise in premises:
            content.premises.add(premise.text)
            if isinstance(premise.source, Study):
                content.triples |= premise.source.triples()
    return content


def _nli_lines(split: str) -> Iterator[str]:
    rng = random.Random(f"{SEED} {split}")
    for number, premise in enumerate(draw_premises()[split], 1):
        labels = list(LABELS)
        rng.shuffle(labels)
        for label in labels:
            hypothesis = premise.draw_hypothesis(label, rng)
            row: dict[str, object] = {
                "gold_label": NLI_LABEL[label],
                "pairID": f"{split}{number:04d}{NLI_LABEL[label][0]}",
                "sentence1": premise.text,
                "sentence2": hypothesis[0].upper() + hypothesis[1:] + ".",
            }
            yield json.dumps(row, ensure_ascii=False) + "\n"


def _json(content: object) -> str:
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def files() -> dict[str, str]:
    """The sample's files by name, as text."""
    sample = draw_sample()
    texts = {
        "ori_pqal.json": _json({record.id: record.row for record in (*sample.train, *sample.test)}),
        "test_ground_truth.json": _json({record.id: record.label for record in sample.test}),
        "newnames.json": _json({record.id: record.row for record in sample.new_names}),
        "newphrases.json": _json({record.id: record.row for record in sample.new_phrases}),
    }
    for split in NLI_PREMISE_COUNTS:
        texts[f"mli_{split}_v1.jsonl"] = "".join(_nli_lines(split))
    return texts


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or with ``--check`` list those that differ and return 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the shipped files, write nothing")
    texts = files()
    if parser.parse_args(arguments).check:
        differing = [name for name, text in texts.items() if not _is_shipped(name, text)]
        sys.stdout.writelines(f"{DATA / name}: differs\n" for name in differing)
        return 1 if differing else 0
    DATA.mkdir(exist_ok=True)
    for name, text in texts.items():
        (DATA / name).write_text(text, encoding="utf-8", newline="\n")
        sys.stdout.write(f"{DATA / name}: written\n")
    return 0


def _is_shipped(name: str, text: str) -> bool:
    path = DATA / name
    return path.is_file() and path.read_bytes() == text.encode()
