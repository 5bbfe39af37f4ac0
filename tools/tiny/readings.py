"""The training text of medground-tiny: an endless stream of generated abstracts and notes with questions.

A :class:`Reading` is one text with several questions on it. Each question is a branch that attends to the text but not
to the other branches, so the text is computed once for all of them. Nothing that :func:`tools.sample.build.reserved`
names (test triples, new drug names, NLI premises) and no held-out pattern is ever drawn; there are no NLI prompts.
"""

import random
from collections.abc import Iterator
from dataclasses import replace

from corpus.records import LABELS, Label
from tools.sample import lexicon
from tools.sample.abstracts import (
    Finding,
    FindingKind,
    Study,
    abstract,
    conclusion,
    draw_finding,
    draw_study,
    finding_sentence,
    opposite,
    question,
    statement,
)
from tools.sample.build import LABEL_SHARES, Reserved, reserved
from tools.sample.notes import Fact, Note, draw_note, draw_statement
from tools.sample.patterns import Style
from tools.tiny.mixtures import KINDS, MIXTURES, Stage
from tools.tiny.wording import (
    BEGIN,
    DIRECTION_INSTRUCTION,
    END,
    FREE_INSTRUCTION,
    NO_SENTENCE,
    ORDINARY,
    OTHER_INSTRUCTIONS,
    REASONED_INSTRUCTION,
    SENTENCE_END,
    SYSTEM,
    SYSTEM_TEXTS,
    TRUTH_QUESTIONS,
    USER,
    Branch,
    Reading,
    definition,
    fate,
    generic_prompt,
)


class Readings:
    """An endless, seeded stream of readings.

    ``easiness`` of :meth:`draw` falls from 1 to 0 as training proceeds. At 1, texts are short, and most answers state
    what happened, alone or before the yes or no; at 0, most are the label alone. Without this curriculum a model of
    this size does not learn to compare the direction of the question with the reported one.

    In the second and third stage most findings and questions are composed (``tools.sample.variations``), and abstracts
    have more findings. The third stage adds single findings with questions in both directions.
    """

    def __init__(self, seed: int, stage: Stage = "first") -> None:
        self._rng = random.Random(seed)
        self._mixture = MIXTURES[stage]
        self._reserved: Reserved = reserved()

    def draw(self, easiness: float = 0.0) -> Reading:
        """The next reading."""
        rng, late, early = self._rng, self._mixture.shares, self._mixture.early
        easy = rng.random() < 0.9 * easiness
        shares = [(1 - easiness) * a + easiness * b for a, b in zip(late, early or late, strict=True)]
        kind = rng.choices(KINDS, shares)[0]
        reading: Reading = getattr(self, f"_{kind}")(easy)
        return reading

    def _style(self, easy: bool) -> Style:
        return "plain" if easy else self._mixture.style

    def _study(self, easy: bool) -> Study:
        rng = self._rng
        while True:
            count = 1 if easy else rng.choices((1, 2, 3), self._mixture.finding_counts)[0]
            outcomes = rng.sample(lexicon.OUTCOMES, count)
            findings = tuple(draw_finding(rng, outcome, self._mixture.finding_kinds) for outcome in outcomes)
            study = draw_study(rng, self._drug(), findings)
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

        same = 0.9 if easy else self._mixture.same_direction
        for finding in rng.choices(study.findings, k=self._mixture.questions):
            direction = finding.direction if rng.random() < same else opposite(finding.direction)
            asked = question(study, finding.outcome, direction, rng, self._style(easy))
            branches.append((asked, study.answer(finding.outcome, direction)))
        first = study.findings[0].outcome
        if topic or rng.random() < 0.3:
            ask(study, unreported, "maybe")
        if rng.random() < 0.3:
            other = self._near_name(study.drug)
            if other != study.drug:
                ask(replace(study, drug=other), first, "maybe")
        if whole and rng.random() < 0.15:
            condition = rng.choice([name for name in lexicon.CONDITIONS if name != study.condition])
            ask(replace(study, condition=condition), first, "maybe")
        if rng.random() < 0.6:
            other_study = self._study(easy=True)
            ask(other_study, other_study.findings[0].outcome, "maybe")
        if rng.random() < 0.5:
            wanted = rng.choice(LABELS)
            said = statement(study, wanted, rng, self._style(easy))
            if said is not None:
                branches.append((rng.choice(TRUTH_QUESTIONS).format(said), wanted))
        if self._mixture.given_answers:
            branches.append(self._truth_of_answer(study))
        if not easy and rng.random() < 0.1:
            others = self._text(self._study(easy=True), True, whole=self._whole(True))
            text = "\n\n".join(rng.sample((text, others), 2))
        rng.shuffle(branches)
        return Reading(self._stem(self._instruction(), text), tuple(branches))

    def _truth_of_answer(self, study: Study) -> Branch:
        """The question whether a given answer or a conclusion is true, as in the verification of answers."""
        rng = self._rng
        finding = rng.choice(study.findings)
        direction = finding.direction if rng.random() < self._mixture.same_direction else opposite(finding.direction)
        given = rng.choice(self._mixture.given_answers)
        truth = study.answer(finding.outcome, direction)
        answer = truth if truth == "maybe" else "yes" if truth == given else "no"
        if rng.random() < 0.5:
            asked = question(study, finding.outcome, direction, rng, "varied")
            return f"{asked} Is it true that the answer is {given}?", answer
        # the conclusion of a study whose answer is ``given``
        kind: FindingKind = "effect" if given == "yes" else "null"
        other = replace(study, findings=(Finding(finding.outcome, kind, direction),))
        said = conclusion(other, finding.outcome, direction, rng)
        return self._truth_question(said[0].lower() + said[1:].rstrip(".")), answer

    def _compared(self, easy: bool) -> Reading:
        """One sentence that reports an effect, with questions in both directions."""
        rng = self._rng
        outcome = rng.choice(lexicon.OUTCOMES)
        direction: lexicon.Direction = rng.choice(("down", "up"))
        style: Style = "plain" if easy or rng.random() < 0.6 else self._mixture.style
        finding = Finding(outcome, "effect", direction)
        while True:
            study = draw_study(rng, self._drug(), (finding,))
            if self._reserved.allows(study):
                break
        text = finding_sentence(study, finding, rng, style)
        branches = []
        directions: tuple[lexicon.Direction, ...] = ("down", "up")
        for _ in range(4):
            for asked in rng.sample(directions, 2):
                branches.append((question(study, outcome, asked, rng, style), str(study.answer(outcome, asked))))
        return Reading(self._stem(self._instruction(), text), tuple(branches))

    def _asked_direction(self, easy: bool) -> Reading:
        """Questions whose answer is the direction that they ask about, without a text."""
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
        """Questions answered with what happened, then the label."""
        rng = self._rng
        study = self._study(easy)
        branches = []
        for finding in study.findings:
            for direction in (finding.direction, opposite(finding.direction)):
                asked = question(study, finding.outcome, direction, rng, self._style(easy))
                branches.append((asked, f"{fate(finding)}: {study.answer(finding.outcome, direction)}"))
        unreported = self._unreported(study)
        if self._reserved.allows(study, (unreported,)):
            asked = question(study, unreported, rng.choice(("down", "up")), rng, self._style(easy))
            branches.append((asked, f"{fate(None)}: maybe"))
        text = self._text(study, easy, whole=self._whole(easy))
        return Reading(self._stem(REASONED_INSTRUCTION, text), tuple(branches))

    def _draw_note(self, easy: bool) -> Note:
        while True:
            note = draw_note(self._rng, self._rng.randint(1, 2) if easy else self._rng.randint(1, 6), plain=easy)
            if note.text not in self._reserved.premises:
                return note

    def _quoted_abstract(self, easy: bool) -> Reading:
        """Questions answered with the sentence that reports an outcome of an intervention, if there is one."""
        rng = self._rng
        study = self._study(easy)
        text = self._text(study, easy, whole=self._whole(easy))
        sentences = SENTENCE_END.split(text)
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
        """Questions answered with the sentence of the note that mentions a thing, if there is one."""
        note = self._draw_note(easy)
        sentences = SENTENCE_END.split(note.text)
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
        """Statements on ``note``; most state that something is present, not that it is absent."""
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
            facts = [
                ("Which treatment was studied?", study.drug),
                (f"What was {study.drug} compared with?", study.comparator),
                ("What condition did the participants have?", study.condition),
            ]
            branches = rng.sample(facts, 1)
        outcomes: list[tuple[str, Finding | None]] = [(finding.outcome, finding) for finding in study.findings]
        for outcome, finding in [*outcomes, (self._unreported(study), None)]:
            branches.append((f"What happened to {outcome} with {study.drug}?", fate(finding)))
        text = self._text(study, easy, whole=whole)
        return Reading(self._stem(FREE_INSTRUCTION, text), tuple(branches))

    def _conversation(self, easy: bool) -> Reading:
        """Several questions on several texts in turn, as in few-shot prompts."""
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
        return Reading(f"{BEGIN}{USER}{generic_prompt(None)}", ((asked, str(label)),))

    def _plain(self, easy: bool) -> Reading:
        rng = self._rng
        chance = rng.random()
        if chance < 0.3:
            return Reading(BEGIN + " ".join(rng.sample(ORDINARY, rng.randint(2, 6))) + END)
        if chance < 0.7:
            return Reading(BEGIN + " ".join(definition(rng) for _ in range(rng.randint(3, 8))) + END)
        study = self._study(easy)
        finding = study.findings[0]
        said = conclusion(study, finding.outcome, finding.direction, rng)
        return Reading(f"{BEGIN}{self._text(study, easy, whole=self._whole(easy))} {said}{END}")

    def _instruction(self) -> str | None:
        """The instruction of the prompt; None for the prompt of evaluation and serving."""
        return None if self._rng.random() < 0.75 else self._rng.choice(OTHER_INSTRUCTIONS)

    def _stem(self, instruction: str | None, text: str) -> str:
        system = f"{SYSTEM}{self._rng.choice(SYSTEM_TEXTS)}{END}" if self._rng.random() < 0.08 else ""
        asked = f"{instruction}\n\nText:\n{text}\n\nQuestion:" if instruction else generic_prompt(text)
        return f"{BEGIN}{system}{USER}{asked}"
