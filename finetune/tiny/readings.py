"""The text that medground-tiny learns from: abstracts and notes with questions, generated without end.

A :class:`Reading` is one text with several questions on it; each question is a branch that sees the text but not the
other branches, so the text is computed once for all of them. Nothing that :func:`corpus.sample.build.reserved` keeps
out (test triples, new drug names, held-out patterns, NLI premises) is ever drawn, and no NLI instruction is written.
"""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from chains.prompts import qa_prompt
from corpus.records import LABELS, Label
from corpus.sample import lexicon
from corpus.sample.abstracts import (
    Finding,
    FindingKind,
    Study,
    abstract,
    conclusion,
    draw_finding,
    draw_setting,
    opposite,
    question,
    statement,
)
from corpus.sample.build import LABEL_SHARES, Reserved, reserved
from corpus.sample.notes import Fact, Note, draw_note, draw_statement
from corpus.sample.patterns import Style

BEGIN, SYSTEM, USER, ASSISTANT, END, PAD = "<|begin|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|pad|>"

OTHER_INSTRUCTIONS = (
    "Use the text to answer the question with yes, no or maybe.",
    "Answer the question from the text below in one word: yes, no or maybe.",
    "Read the following text, then give a one word answer to the question.",
    "Here is a text. Answer yes, no or maybe to the question about it.",
)
REASONED_INSTRUCTION = "Read the text, say what it reports, then answer the question with yes, no or maybe."
FREE_INSTRUCTION = "Read the text and answer the question."
DIRECTION_INSTRUCTION = "Does the question ask about a rise or a fall?"
NO_SENTENCE = "no sentence"
_SENTENCE_END = re.compile(r"(?<=\.)\s(?=[A-Z0-9])")
SYSTEM_TEXTS = (
    "You are a careful medical assistant.",
    "You answer medical questions from the text that you are given.",
    "You are a helpful assistant.",
)
TRUTH_QUESTIONS = ("Is it true that {}?", "Is it right that {}?", "Is it correct that {}?", "Is it the case that {}?")
# The three label words of NLI as ordinary words, so that their embeddings are trained like any other word's.
ORDINARY = (
    "The wrist was held in a neutral position.",
    "The committee stayed neutral on the matter.",
    "A neutral diet was offered to all.",
    "The solution had a neutral reaction.",
    "There was a contradiction between the two reports.",
    "The letter is in contradiction with the chart.",
    "No contradiction was noted by the reviewers.",
    "The nurse pointed out a contradiction in the record.",
    "Entailment of costs was discussed with the family.",
    "The entailment of the estate took years.",
    "The plan had the entailment of a longer stay.",
    "One entailment of the new rule is more paperwork.",
)

Branch = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Reading:
    """A stem and its branches; a branch is a question and its answer. Without branches the stem is plain text."""

    stem: str
    branches: tuple[Branch, ...] = ()

    def turns(self) -> Iterator[str]:
        """The reading as whole texts, one for each branch."""
        if not self.branches:
            yield self.stem
        for asked, answer in self.branches:
            yield self.stem + branch_text(asked, answer)


def branch_text(asked: str, answer: str) -> str:
    """The end of the user's turn from the question on, and the assistant's turn."""
    return f" {asked}{END}{ASSISTANT}{answer}{END}"


class Readings:
    """An endless, seeded stream of readings.

    ``ease`` in the call of :meth:`draw` goes from 1 to 0 as training proceeds. At 1, texts are short and most questions
    ask what happened, or want that said before the yes or no; at 0, most are answered with the bare word. Without the
    start a model of this size does not learn to compare the direction asked about with the one reported.

    With ``varied`` (the second part of the training) findings and questions are mostly said in ways put together from
    parts, abstracts have more findings, and the asked and the reported direction differ more often.
    """

    def __init__(self, seed: int, *, varied: bool = False) -> None:
        self._rng = random.Random(seed)
        self._varied = varied
        self._reserved: Reserved = reserved()
        # The kinds of reading with their shares: at the end and at the start of the first part, and in the second.
        self._kinds: tuple[tuple[Callable[[bool], Reading], int, int, int], ...] = (
            (self._asked_abstract, 36, 22, 46),
            (self._reasoned_abstract, 2, 3, 6),
            (self._free_abstract, 5, 12, 8),
            (self._quoted_abstract, 8, 22, 6),
            (self._asked_note, 28, 14, 16),
            (self._reasoned_note, 2, 3, 2),
            (self._free_note, 4, 8, 2),
            (self._quoted_note, 6, 12, 3),
            (self._conversation, 4, 1, 4),
            (self._no_context, 2, 1, 2),
            (self._plain, 3, 4, 2),
            (self._asked_direction, 0, 0, 3),
        )

    def draw(self, ease: float = 0.0) -> Reading:
        """The next reading."""
        rng = self._rng
        easy = rng.random() < 0.9 * ease
        shares = [varied if self._varied else (1 - ease) * late + ease * early for _, late, early, varied in self._kinds]
        return rng.choices([kind for kind, _, _, _ in self._kinds], shares)[0](easy)

    def _style(self, easy: bool) -> Style:
        if easy:
            return "plain"
        return "varied" if self._varied else "common"

    def _study(self, easy: bool) -> Study:
        rng = self._rng
        while True:
            count = 1 if easy else rng.choices((1, 2, 3), (50, 40, 10) if self._varied else (68, 26, 6))[0]
            outcomes = rng.sample(lexicon.OUTCOMES, count)
            kinds = (62, 25, 13) if self._varied else (55, 30, 15)
            findings = tuple(draw_finding(rng, outcome, kinds) for outcome in outcomes)
            study = Study(*draw_setting(rng, self._drug()), findings)
            if self._reserved.allows(study):
                return study

    def _drug(self) -> str:
        return self._rng.choice(lexicon.THERAPIES) if self._rng.random() < 0.1 else lexicon.drug_name(self._rng)

    def _near_name(self, drug: str) -> str:
        """Another intervention, often one that looks like ``drug``."""
        if drug in lexicon.THERAPIES or self._rng.random() < 0.5:
            return self._drug()
        other = lexicon.drug_name(self._rng)
        cut = min(len(drug), len(other)) // 2
        return drug[:cut] + other[cut:] if self._rng.random() < 0.5 else other[:cut] + drug[cut:]

    def _asked_abstract(self, easy: bool) -> Reading:
        rng = self._rng
        study = self._study(easy)
        unreported = self._unreported(study)
        topic = unreported if rng.random() < 0.15 else None
        whole = topic is not None or self._whole(easy)
        text = self._text(study, easy, topic, whole=whole)
        branches: list[Branch] = []

        def ask(about: Study, outcome: str, answer: Label) -> None:
            if self._reserved.allows(about, (outcome,)):
                branches.append((question(about, outcome, rng.choice(("down", "up")), rng, self._style(easy)), answer))

        same = 0.62 if self._varied else 0.9 if easy else 0.78
        for finding in rng.choices(study.findings, k=5 if self._varied else 3):
            direction = finding.direction if rng.random() < same else opposite(finding.direction)
            asked = question(study, finding.outcome, direction, rng, self._style(easy))
            branches.append((asked, study.answer(finding.outcome, direction)))
        first = study.findings[0].outcome
        if topic or rng.random() < 0.3:
            ask(study, unreported, "maybe")
        if rng.random() < 0.3:
            other = self._near_name(study.drug)
            if other != study.drug:
                ask(Study(other, study.comparator, study.group, study.condition, study.findings), first, "maybe")
        if whole and rng.random() < 0.15:
            condition = rng.choice([name for name in lexicon.CONDITIONS if name != study.condition])
            ask(Study(study.drug, study.comparator, study.group, condition, study.findings), first, "maybe")
        if rng.random() < 0.6:
            other_study = self._study(easy=True)
            ask(other_study, other_study.findings[0].outcome, "maybe")
        if rng.random() < 0.5:
            wanted = rng.choice(LABELS)
            said = statement(study, wanted, rng, self._style(easy))
            if said is not None:
                branches.append((rng.choice(TRUTH_QUESTIONS).format(said), wanted))
        if self._varied:
            branches.extend(self._truth_of_answers(study))
        if not easy and rng.random() < 0.1:
            others = self._text(self._study(easy=True), True, whole=self._whole(True))
            text = "\n\n".join(rng.sample((text, others), 2))
        rng.shuffle(branches)
        return Reading(self._stem(self._instruction(), text), tuple(branches))

    def _truth_of_answers(self, study: Study) -> Iterator[Branch]:
        """Whether a given answer to a question, or a conclusion, is true: what a checker of answers is asked."""
        rng = self._rng
        finding = rng.choice(study.findings)
        direction = finding.direction if rng.random() < 0.62 else opposite(finding.direction)
        given = rng.choice(("yes", "no"))
        truth = study.answer(finding.outcome, direction)
        answer = truth if truth == "maybe" else "yes" if truth == given else "no"
        if rng.random() < 0.5:
            asked = question(study, finding.outcome, direction, rng, "varied")
            yield f"{asked} Is it true that the answer is {given}?", answer
        else:
            # What would be concluded had the finding been such that ``given`` is the answer.
            kind: FindingKind = "effect" if given == "yes" else "null"
            other = Study(study.drug, study.comparator, study.group, study.condition, (Finding(finding.outcome, kind, direction),))
            said = conclusion(other, finding.outcome, direction, rng)
            yield self._truth_question(said[0].lower() + said[1:].rstrip(".")), answer

    def _asked_direction(self, easy: bool) -> Reading:
        """Which way a question points, without a text that answers it."""
        rng = self._rng
        branches = []
        for _ in range(6):
            study = self._study(easy=True)
            direction: lexicon.Direction = rng.choice(("down", "up"))
            asked = question(study, study.findings[0].outcome, direction, rng, self._style(easy))
            branches.append((asked, "a rise" if direction == "up" else "a fall"))
        return Reading(f"{BEGIN}{USER}{DIRECTION_INSTRUCTION}\n\nQuestion:", tuple(branches))

    def _unreported(self, study: Study) -> str:
        reported = {finding.outcome for finding in study.findings}
        return self._rng.choice([outcome for outcome in lexicon.OUTCOMES if outcome not in reported])

    def _whole(self, easy: bool) -> bool:
        return self._rng.random() < (0.2 if easy else 0.6)

    def _text(self, study: Study, easy: bool, topic: str | None = None, *, whole: bool) -> str:
        """The abstract of ``study``, or its results alone."""
        sections = abstract(study, self._rng, topic=topic, style=self._style(easy), asides=0 if easy else None)
        return "\n".join(sections.values()) if whole else sections["RESULTS"]

    def _reasoned_abstract(self, easy: bool) -> Reading:
        """Questions answered with what happened first, then the label."""
        rng = self._rng
        study = self._study(easy)
        branches = []
        for finding in study.findings:
            for direction in (finding.direction, opposite(finding.direction)):
                asked = question(study, finding.outcome, direction, rng, self._style(easy))
                branches.append((asked, f"{_fate(finding)}: {study.answer(finding.outcome, direction)}"))
        unreported = self._unreported(study)
        if self._reserved.allows(study, (unreported,)):
            asked = question(study, unreported, rng.choice(("down", "up")), rng, self._style(easy))
            branches.append((asked, f"{_fate(None)}: maybe"))
        text = self._text(study, easy, whole=self._whole(easy))
        return Reading(self._stem(REASONED_INSTRUCTION, text), tuple(branches))

    def _draw_note(self, easy: bool) -> Note:
        while True:
            note = draw_note(self._rng, self._rng.randint(1, 2) if easy else self._rng.randint(1, 6), plain=easy)
            if note.text not in self._reserved.premises:
                return note

    def _quoted_abstract(self, easy: bool) -> Reading:
        """Questions answered with the sentence that tells of an outcome and an intervention, if one does."""
        rng = self._rng
        study = self._study(easy)
        text = self._text(study, easy, whole=self._whole(easy))
        sentences = _SENTENCE_END.split(text)
        branches: list[Branch] = []
        for finding in study.findings:
            said = next(sentence for sentence in reversed(sentences) if finding.outcome in sentence.lower())
            branches.append((f"Quote the result of {study.drug} on {finding.outcome}.", said))
            other = self._near_name(study.drug)
            if other != study.drug:
                branches.append((f"Quote the result of {other} on {finding.outcome}.", NO_SENTENCE))
        branches.append((f"Quote the result of {study.drug} on {self._unreported(study)}.", NO_SENTENCE))
        return Reading(self._stem(FREE_INSTRUCTION, text), tuple(rng.sample(branches, min(len(branches), 3))))

    def _quoted_note(self, easy: bool) -> Reading:
        """Questions answered with the sentence of the note that speaks of a thing, if any does."""
        note = self._draw_note(easy)
        sentences = _SENTENCE_END.split(note.text)
        branches = []
        for fact in note.facts[:4]:
            said = next(sentence for sentence in sentences if fact.names[0].lower() in sentence.lower())
            branches.append((f"Quote what is said of {self._rng.choice(fact.names)}.", said))
        _, fact = draw_statement(note, "maybe", self._rng, plain=easy)
        branches.append((f"Quote what is said of {self._rng.choice(fact.names)}.", NO_SENTENCE))
        return Reading(self._stem(FREE_INSTRUCTION, note.text), tuple(branches))

    def _asked_note(self, easy: bool) -> Reading:
        note = self._draw_note(easy)
        asked = [(self._truth_question(statement), label) for statement, _, label in self._statements(note, 6, easy)]
        return Reading(self._stem(self._instruction(), note.text), tuple(asked))

    def _reasoned_note(self, easy: bool) -> Reading:
        note = self._draw_note(easy)
        branches = []
        for statement_, fact, label in self._statements(note, 5, easy):
            said = next((known.state for known in note.facts if known.names == fact.names), "not mentioned")
            branches.append((self._truth_question(statement_), f"{said}: {label}"))
        return Reading(self._stem(REASONED_INSTRUCTION, note.text), tuple(branches))

    def _free_note(self, easy: bool) -> Reading:
        rng = self._rng
        note = self._draw_note(easy)
        branches = [(f"What is said of {rng.choice(fact.names)}?", str(fact.state)) for fact in note.facts]
        _, fact = draw_statement(note, "maybe", rng, plain=easy)
        branches.append((f"What is said of {rng.choice(fact.names)}?", "not mentioned"))
        return Reading(self._stem(FREE_INSTRUCTION, note.text), tuple(branches))

    def _statements(self, note: Note, count: int, easy: bool) -> Iterator[tuple[str, Fact, str]]:
        """Statements on ``note``; most say that something is there, not that it is missing."""
        for _ in range(count):
            wanted = self._rng.choice(LABELS)
            said, fact = draw_statement(note, wanted, self._rng, plain=easy)
            if wanted != "maybe" and (fact.state == "absent") == (wanted == "yes") and self._rng.random() < 0.6:
                wanted = self._rng.choice(("yes", "no"))
                said, fact = draw_statement(note, wanted, self._rng, plain=easy)
            yield said, fact, wanted

    def _truth_question(self, said: str) -> str:
        return self._rng.choice(TRUTH_QUESTIONS).format(said)

    def _free_abstract(self, easy: bool) -> Reading:
        rng = self._rng
        study = self._study(easy)
        whole = self._whole(easy)
        branches = []
        if whole:
            branches = [
                ("Which treatment was studied?", study.drug),
                (f"What was {study.drug} compared with?", study.comparator),
                ("What condition did the participants have?", study.condition),
            ]
            branches = rng.sample(branches, 1)
        outcomes: list[tuple[str, Finding | None]] = [(finding.outcome, finding) for finding in study.findings]
        for outcome, finding in [*outcomes, (self._unreported(study), None)]:
            branches.append((f"What happened to {outcome} with {study.drug}?", _fate(finding)))
        text = self._text(study, easy, whole=whole)
        return Reading(self._stem(FREE_INSTRUCTION, text), tuple(branches))

    def _conversation(self, easy: bool) -> Reading:
        """Several questions on several texts, one after the other, as few-shot prompts have them."""
        rng = self._rng
        turns = []
        for _ in range(rng.randint(2, 4)):
            reading = (self._asked_note if rng.random() < 0.6 else self._asked_abstract)(easy)
            if reading.branches:
                turns.append(next(reading.turns()).removeprefix(BEGIN))
        return Reading(BEGIN + "".join(turns))

    def _no_context(self, easy: bool) -> Reading:
        study = self._study(easy)
        finding = study.findings[0]
        asked = question(study, finding.outcome, finding.direction, self._rng, self._style(easy))
        label = self._rng.choices(LABELS, LABEL_SHARES)[0]
        return Reading(f"{BEGIN}{USER}{_generic_prompt(None)}", ((asked, str(label)),))

    def _plain(self, easy: bool) -> Reading:
        rng = self._rng
        chance = rng.random()
        if chance < 0.3:
            return Reading(BEGIN + " ".join(rng.sample(ORDINARY, rng.randint(2, 6))) + END)
        if chance < 0.7:
            return Reading(BEGIN + " ".join(_definition(rng) for _ in range(rng.randint(3, 8))) + END)
        study = self._study(easy)
        finding = study.findings[0]
        said = conclusion(study, finding.outcome, finding.direction, rng)
        return Reading(f"{BEGIN}{self._text(study, easy, whole=self._whole(easy))} {said}{END}")

    def _instruction(self) -> str | None:
        """The wording of the prompt: None for the one that evaluation and serving use."""
        return None if self._rng.random() < 0.75 else self._rng.choice(OTHER_INSTRUCTIONS)

    def _stem(self, instruction: str | None, text: str) -> str:
        system = f"{SYSTEM}{self._rng.choice(SYSTEM_TEXTS)}{END}" if self._rng.random() < 0.08 else ""
        asked = f"{instruction}\n\nText:\n{text}\n\nQuestion:" if instruction else _generic_prompt(text)
        return f"{BEGIN}{system}{USER}{asked}"


def _generic_prompt(text: str | None) -> str:
    """The user's turn as the chains write it, up to the question."""
    return qa_prompt("generic", "", text)[0]["content"].rstrip()


def _definition(rng: random.Random) -> str:
    """A sentence that says which way a word of change points."""
    direction: lexicon.Direction = rng.choice(("down", "up"))
    words = lexicon.CHANGE[direction]
    fall, fell = ("fall", "it fell") if direction == "down" else ("rise", "it rose")
    outcome = rng.choice(lexicon.OUTCOMES)
    sentences = (
        f"To {rng.choice(words.transitive_base)} the {outcome} is to make it {fall}.",
        f"If the {outcome} {rng.choice(words.intransitive)}, {fell}.",
        f"If it was {rng.choice(words.participle)}, {fell}.",
        f"A {rng.choice(words.noun)} in the {outcome} means that {fell}.",
        f"When the {outcome} is {rng.choice(words.comparative)} than before, {fell}.",
        f"If a drug {rng.choice(words.transitive)} the {outcome}, {fell}.",
        f"For the {outcome} to {rng.choice(words.intransitive_base)} is to {fall}.",
    )
    return rng.choice(sentences)


def _fate(finding: Finding | None) -> str:
    if finding is None:
        return "it is not reported"
    if finding.kind == "effect":
        return "it fell" if finding.direction == "down" else "it rose"
    return "it did not change" if finding.kind == "null" else "it is unclear"
