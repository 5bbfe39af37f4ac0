"""The training text of medground-tiny: an endless stream of generated abstracts and notes with questions.

A :class:`Reading` is one text with several questions about it. No reading has content that
:func:`tools.sample.build.reserved` lists (test triples, new drug names, NLI premises), a held-out pattern or an NLI
prompt.
"""

import random
from collections.abc import Iterator
from dataclasses import replace

from corpus.records import LABELS
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
    ORDINARY_SENTENCES,
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
    describe_change,
    generic_prompt,
)


class Readings:
    """An endless, seeded stream of readings.

    ``easiness`` of :meth:`draw` falls from 1 to 0 as training proceeds. At 1, texts are short, and most answers state
    the reported change, alone or before the label; at 0, most are the label alone. Without this curriculum a model of
    this size does not learn to compare the direction of the question with the reported one.

    In the second and third stage most findings and questions are composed (``tools.sample.variations``), and abstracts
    have more findings. The third stage adds single findings with questions in both directions.

    ``draw`` calls the method of a kind of reading, ``_asked_abstract`` for ``asked_abstract``. ``easy`` asks for short
    texts in few words.
    """

    def __init__(self, seed: int, stage: Stage = "first") -> None:
        self._rng = random.Random(seed)
        self._mixture = MIXTURES[stage]
        self._reserved: Reserved = reserved()

    def draw(self, easiness: float = 0.0) -> Reading:
        """The next reading."""
        final_shares = self._mixture.shares
        early_shares = self._mixture.early_shares or final_shares
        easy = self._rng.random() < 0.9 * easiness
        shares = [
            (1 - easiness) * final + easiness * early for early, final in zip(early_shares, final_shares, strict=True)
        ]
        kind = self._rng.choices(KINDS, shares)[0]
        reading: Reading = getattr(self, f"_{kind}")(easy)
        return reading

    def _style(self, easy: bool) -> Style:
        return "plain" if easy else self._mixture.style

    def _draw_study(self, easy: bool) -> Study:
        rng = self._rng
        while True:
            count = 1 if easy else rng.choices((1, 2, 3), self._mixture.finding_counts)[0]
            outcomes = rng.sample(lexicon.OUTCOMES, count)
            findings = tuple(draw_finding(rng, outcome, self._mixture.finding_kinds) for outcome in outcomes)
            study = draw_study(rng, self._draw_drug(), findings)
            if self._reserved.allows(study):
                return study

    def _draw_drug(self) -> str:
        return self._rng.choice(lexicon.THERAPIES) if self._rng.random() < 0.1 else lexicon.drug_name(self._rng)

    def _similar_name(self, drug: str) -> str:
        """A random intervention, often with a name like ``drug``; seldom ``drug`` itself."""
        if drug in lexicon.THERAPIES or self._rng.random() < 0.5:
            return self._draw_drug()
        other = lexicon.drug_name(self._rng)
        cut = min(len(drug), len(other)) // 2
        return drug[:cut] + other[cut:] if self._rng.random() < 0.5 else other[:cut] + drug[cut:]

    def _asked_abstract(self, easy: bool) -> Reading:
        """Questions about an abstract, and about outcomes, drugs, conditions and studies that it does not report."""
        rng = self._rng
        study = self._draw_study(easy)
        unreported = self._unreported_outcome(study)
        topic = unreported if rng.random() < 0.15 else None  # an aim that the results say nothing about
        all_sections = topic is not None or self._draw_all_sections(easy)
        text = self._abstract_text(study, easy, topic, all_sections=all_sections)
        branches: list[Branch] = []

        def add_maybe_question(about: Study, outcome: str) -> None:
            if self._reserved.allows(about, (outcome,)):
                branches.append((question(about, outcome, rng.choice(("down", "up")), rng, self._style(easy)), "maybe"))

        same_direction = 0.9 if easy else self._mixture.same_direction
        for finding in rng.choices(study.findings, k=self._mixture.questions):
            direction = finding.direction if rng.random() < same_direction else opposite(finding.direction)
            about_finding = question(study, finding.outcome, direction, rng, self._style(easy))
            branches.append((about_finding, study.answer(finding.outcome, direction)))
        first = study.findings[0].outcome
        if topic or rng.random() < 0.3:
            add_maybe_question(study, unreported)
        if rng.random() < 0.3:
            similar_drug = self._similar_name(study.drug)
            if similar_drug != study.drug:
                add_maybe_question(replace(study, drug=similar_drug), first)
        if all_sections and rng.random() < 0.15:
            condition = rng.choice([name for name in lexicon.CONDITIONS if name != study.condition])
            add_maybe_question(replace(study, condition=condition), first)
        if rng.random() < 0.6:
            other_study = self._draw_study(easy=True)
            add_maybe_question(other_study, other_study.findings[0].outcome)
        if rng.random() < 0.5:
            label = rng.choice(LABELS)
            claim = statement(study, label, rng, self._style(easy))
            if claim is not None:
                branches.append((self._truth_question(claim), label))
        if self._mixture.given_answers:
            branches.append(self._truth_of_answer(study))
        if not easy and rng.random() < 0.1:
            distractor = self._abstract_text(self._draw_study(easy=True), easy=True)
            text = "\n\n".join(rng.sample((text, distractor), 2))
        rng.shuffle(branches)
        return Reading(self._stem(self._instruction(), text), tuple(branches))

    def _truth_of_answer(self, study: Study) -> Branch:
        """The question whether an answer or a conclusion is true, as in the verification of answers."""
        rng = self._rng
        finding = rng.choice(study.findings)
        direction = finding.direction if rng.random() < self._mixture.same_direction else opposite(finding.direction)
        given = rng.choice(self._mixture.given_answers)
        truth = study.answer(finding.outcome, direction)
        answer = truth if truth == "maybe" else "yes" if truth == given else "no"
        if rng.random() < 0.5:
            about_finding = question(study, finding.outcome, direction, rng, "varied")
            return f"{about_finding} Is it true that the answer is {given}?", answer
        # the conclusion of a study with the answer ``given``
        kind: FindingKind = "effect" if given == "yes" else "null"
        other_study = replace(study, findings=(Finding(finding.outcome, kind, direction),))
        claim = conclusion(other_study, finding.outcome, direction, rng)
        return self._truth_question(claim[0].lower() + claim[1:].rstrip(".")), answer

    def _compared(self, easy: bool) -> Reading:
        """One sentence that reports an effect, with questions in both directions."""
        rng = self._rng
        outcome = rng.choice(lexicon.OUTCOMES)
        direction: lexicon.Direction = rng.choice(("down", "up"))
        style: Style = "plain" if easy or rng.random() < 0.6 else self._mixture.style
        finding = Finding(outcome, "effect", direction)
        while True:
            study = draw_study(rng, self._draw_drug(), (finding,))
            if self._reserved.allows(study):
                break
        text = finding_sentence(study, finding, rng, style)
        branches = []
        directions: tuple[lexicon.Direction, ...] = ("down", "up")
        for _ in range(4):
            for direction in rng.sample(directions, 2):
                branches.append(
                    (question(study, outcome, direction, rng, style), str(study.answer(outcome, direction)))
                )
        return Reading(self._stem(self._instruction(), text), tuple(branches))

    def _asked_direction(self, easy: bool) -> Reading:
        """Questions without a text; the answer is the direction that the question asks about."""
        rng = self._rng
        branches = []
        for _ in range(6):
            study = self._draw_study(easy=True)
            direction: lexicon.Direction = rng.choice(("down", "up"))
            about_direction = question(study, study.findings[0].outcome, direction, rng, self._style(easy))
            branches.append((about_direction, "a rise" if direction == "up" else "a fall"))
        return Reading(f"{BEGIN}{USER}{DIRECTION_INSTRUCTION}\n\nQuestion:", tuple(branches))

    def _unreported_outcome(self, study: Study) -> str:
        reported = {finding.outcome for finding in study.findings}
        return self._rng.choice([outcome for outcome in lexicon.OUTCOMES if outcome not in reported])

    def _draw_all_sections(self, easy: bool) -> bool:
        """Whether a text is an abstract's sections, drawn at random, or its results alone."""
        return self._rng.random() < (0.2 if easy else 0.6)

    def _abstract_text(
        self, study: Study, easy: bool, topic: str | None = None, *, all_sections: bool | None = None
    ) -> str:
        """The abstract of ``study``: all sections or the results alone; a random choice by default."""
        if all_sections is None:
            all_sections = self._draw_all_sections(easy)
        sections = abstract(study, self._rng, topic=topic, style=self._style(easy), asides=0 if easy else None)
        return "\n".join(sections.values()) if all_sections else sections["RESULTS"]

    def _reasoned_abstract(self, easy: bool) -> Reading:
        """Questions answered with the reported change, then the label."""
        rng = self._rng
        study = self._draw_study(easy)
        branches = []
        for finding in study.findings:
            for direction in (finding.direction, opposite(finding.direction)):
                about_finding = question(study, finding.outcome, direction, rng, self._style(easy))
                answer = f"{describe_change(finding)}: {study.answer(finding.outcome, direction)}"
                branches.append((about_finding, answer))
        unreported = self._unreported_outcome(study)
        if self._reserved.allows(study, (unreported,)):
            about_unreported = question(study, unreported, rng.choice(("down", "up")), rng, self._style(easy))
            branches.append((about_unreported, f"{describe_change(None)}: maybe"))
        text = self._abstract_text(study, easy)
        return Reading(self._stem(REASONED_INSTRUCTION, text), tuple(branches))

    def _draw_note(self, easy: bool) -> Note:
        while True:
            note = draw_note(self._rng, self._rng.randint(1, 2) if easy else self._rng.randint(1, 6), plain=easy)
            if note.text not in self._reserved.premises:
                return note

    def _quoted_abstract(self, easy: bool) -> Reading:
        """Questions answered with the sentence that reports the result of a drug on an outcome, if there is one."""
        rng = self._rng
        study = self._draw_study(easy)
        text = self._abstract_text(study, easy)
        sentences = SENTENCE_END.split(text)
        branches: list[Branch] = []
        for finding in study.findings:
            quote = next(sentence for sentence in reversed(sentences) if finding.outcome in sentence.lower())
            branches.append((f"Quote the result of {study.drug} on {finding.outcome}.", quote))
            similar_drug = self._similar_name(study.drug)
            if similar_drug != study.drug:
                branches.append((f"Quote the result of {similar_drug} on {finding.outcome}.", NO_SENTENCE))
        branches.append((f"Quote the result of {study.drug} on {self._unreported_outcome(study)}.", NO_SENTENCE))
        return Reading(self._stem(FREE_INSTRUCTION, text), tuple(rng.sample(branches, min(len(branches), 3))))

    def _quoted_note(self, easy: bool) -> Reading:
        """Questions answered with the sentence of the note that mentions a thing, if there is one."""
        note = self._draw_note(easy)
        sentences = SENTENCE_END.split(note.text)
        branches = []
        for fact in note.facts[:4]:
            quote = next(sentence for sentence in sentences if fact.names[0].lower() in sentence.lower())
            branches.append((f"Quote what is said of {self._rng.choice(fact.names)}.", quote))
        _, fact = draw_statement(note, "maybe", self._rng, plain=easy)
        branches.append((f"Quote what is said of {self._rng.choice(fact.names)}.", NO_SENTENCE))
        return Reading(self._stem(FREE_INSTRUCTION, note.text), tuple(branches))

    def _asked_note(self, easy: bool) -> Reading:
        """Questions whether statements on a note are true."""
        note = self._draw_note(easy)
        branches = [(self._truth_question(claim), label) for claim, _, label in self._claims(note, 6, easy)]
        return Reading(self._stem(self._instruction(), note.text), tuple(branches))

    def _reasoned_note(self, easy: bool) -> Reading:
        """Questions whether statements are true, answered with the state in the note, then the label."""
        note = self._draw_note(easy)
        branches = []
        for claim, fact, label in self._claims(note, 5, easy):
            state = next((noted.state for noted in note.facts if noted.names == fact.names), "not mentioned")
            branches.append((self._truth_question(claim), f"{state}: {label}"))
        return Reading(self._stem(REASONED_INSTRUCTION, note.text), tuple(branches))

    def _free_note(self, easy: bool) -> Reading:
        """Questions answered with the state of a thing in the note."""
        rng = self._rng
        note = self._draw_note(easy)
        branches = [(f"What is said of {rng.choice(fact.names)}?", str(fact.state)) for fact in note.facts]
        _, fact = draw_statement(note, "maybe", rng, plain=easy)
        branches.append((f"What is said of {rng.choice(fact.names)}?", "not mentioned"))
        return Reading(self._stem(FREE_INSTRUCTION, note.text), tuple(branches))

    def _claims(self, note: Note, count: int, easy: bool) -> Iterator[tuple[str, Fact, str]]:
        """Statements on ``note`` with their facts and labels. Statements of absence are rarer than of presence."""
        for _ in range(count):
            label = self._rng.choice(LABELS)
            claim, fact = draw_statement(note, label, self._rng, plain=easy)
            if label != "maybe" and (fact.state == "absent") == (label == "yes") and self._rng.random() < 0.6:
                label = self._rng.choice(("yes", "no"))
                claim, fact = draw_statement(note, label, self._rng, plain=easy)
            yield claim, fact, label

    def _truth_question(self, claim: str) -> str:
        return self._rng.choice(TRUTH_QUESTIONS).format(claim)

    def _free_abstract(self, easy: bool) -> Reading:
        """Questions answered with the change of an outcome, and a question about the study's design."""
        rng = self._rng
        study = self._draw_study(easy)
        all_sections = self._draw_all_sections(easy)
        branches = []
        if all_sections:
            facts = [
                ("Which treatment was studied?", study.drug),
                (f"What was {study.drug} compared with?", study.comparator),
                ("What condition did the participants have?", study.condition),
            ]
            branches = rng.sample(facts, 1)
        outcomes: list[tuple[str, Finding | None]] = [(finding.outcome, finding) for finding in study.findings]
        for outcome, finding in [*outcomes, (self._unreported_outcome(study), None)]:
            branches.append((f"What happened to {outcome} with {study.drug}?", describe_change(finding)))
        text = self._abstract_text(study, easy, all_sections=all_sections)
        return Reading(self._stem(FREE_INSTRUCTION, text), tuple(branches))

    def _conversation(self, easy: bool) -> Reading:
        """Several texts in turn, each with one question, as in few-shot prompts."""
        rng = self._rng
        turns = []
        for _ in range(rng.randint(2, 4)):
            reading = (self._asked_note if rng.random() < 0.6 else self._asked_abstract)(easy)
            if reading.branches:
                turns.append(next(reading.texts()).removeprefix(BEGIN))
        return Reading(BEGIN + "".join(turns))

    def _no_context(self, easy: bool) -> Reading:
        """A question without a text; the answer is a random label."""
        study = self._draw_study(easy)
        finding = study.findings[0]
        about_finding = question(study, finding.outcome, finding.direction, self._rng, self._style(easy))
        label = self._rng.choices(LABELS, LABEL_SHARES)[0]
        return Reading(f"{BEGIN}{USER}{generic_prompt(None)}", ((about_finding, str(label)),))

    def _plain(self, easy: bool) -> Reading:
        """Text without questions: ordinary sentences, definitions, or an abstract with its conclusion."""
        rng = self._rng
        chance = rng.random()
        if chance < 0.3:
            return Reading(BEGIN + " ".join(rng.sample(ORDINARY_SENTENCES, rng.randint(2, 6))) + END)
        if chance < 0.7:
            return Reading(BEGIN + " ".join(definition(rng) for _ in range(rng.randint(3, 8))) + END)
        study = self._draw_study(easy)
        finding = study.findings[0]
        last_sentence = conclusion(study, finding.outcome, finding.direction, rng)
        return Reading(f"{BEGIN}{self._abstract_text(study, easy)} {last_sentence}{END}")

    def _instruction(self) -> str | None:
        """A random instruction; None for the prompt of evaluation and serving, in three of four cases."""
        return None if self._rng.random() < 0.75 else self._rng.choice(OTHER_INSTRUCTIONS)

    def _stem(self, instruction: str | None, text: str) -> str:
        system = f"{SYSTEM}{self._rng.choice(SYSTEM_TEXTS)}{END}" if self._rng.random() < 0.08 else ""
        prompt = f"{instruction}\n\nText:\n{text}\n\nQuestion:" if instruction else generic_prompt(text)
        return f"{BEGIN}{system}{USER}{prompt}"
