"""Conflicting evidence: passages that support a statement of an answer beside passages that contradict it."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from chains.answer import Answer, Citation, Conflict, Passage
from chains.marks import passage_numbers
from chains.qa.base import AnswerChain, Question
from chains.verification.statements import Check, Checker, Claim, year_of
from common.errors import UserError


class ConflictFinder:
    """Adds conflicting evidence to verified answers.

    The statement of the answer's verdict, and each sentence that its verifier found supported or contradicted, is
    checked against all passages of the answer, also those that the sentence does not cite. A removed or withheld
    sentence is checked too, since one passage may contradict it and another support it. Where a passage supports a
    statement and another contradicts it, the answer gets a ``Conflict``, and a note with both sides.

    Args:
        checker: needs no retriever.
        quotes: check every sentence of an answer, judged or not. Extractive answers need it: their sentences are
            quotes, which nothing judges.
    """

    def __init__(self, checker: Checker, *, quotes: bool = False) -> None:
        self._checker = checker
        self._quotes = quotes

    def add_conflicts(self, answers: Sequence[Answer]) -> list[Answer]:
        """The answers with their conflicts, in order; all statements are checked in one pass through the judge."""
        statements = [self._statements(answer) if len(answer.passages) > 1 else [] for answer in answers]
        claims = [
            Claim(statement, passages=answer.passages)
            for answer, own in zip(answers, statements, strict=True)
            for statement in own
        ]
        checked = iter(self._checker.check_all(claims))
        return [
            _with_conflicts(answer, [next(checked) for _ in own])
            for answer, own in zip(answers, statements, strict=True)
        ]

    def _statements(self, answer: Answer) -> list[str]:
        """The statements of an answer that are checked; none twice."""
        if self._quotes:
            return list(dict.fromkeys(one.text for one in answer.sentences))
        withheld = answer.withheld.sentences if answer.withheld is not None else ()
        judged = [
            one.verification.statement
            for one in (*answer.sentences, *answer.removed, *withheld)
            if one.verification is not None and one.verdict != "not enough evidence"
        ]
        whole = [answer.verification.statement] if answer.verification is not None else []
        return list(dict.fromkeys([*whole, *judged]))


class ConflictChain(AnswerChain):
    """A chain whose answers say where their evidence conflicts; see ``ConflictFinder``."""

    def __init__(self, chain: AnswerChain, finder: ConflictFinder) -> None:
        self._chain = chain
        self._finder = finder

    def answer_all(self, questions: Sequence[Question]) -> list[Answer | UserError]:
        """Answer all, then check all."""
        answers = self._chain.answer_all(questions)
        found = iter(self._finder.add_conflicts([one for one in answers if isinstance(one, Answer)]))
        return [next(found) if isinstance(one, Answer) else one for one in answers]


def _with_conflicts(answer: Answer, checked: Sequence[Check | UserError]) -> Answer:
    checks = [one for one in checked if isinstance(one, Check)]
    if not checks:
        return answer
    conflicts = _distinct(
        Conflict(statement=one.statement, supporting=one.supporting, contradicting=one.contradicting)
        for one in checks
        if one.conflicting
    )
    notes = (_note(one, answer.passages) for one in conflicts)
    reused = answer.reused and all(one.reused for one in checks)
    return answer.model_copy(update={"conflicts": conflicts, "notes": (*answer.notes, *notes), "reused": reused})


def _distinct(conflicts: Iterable[Conflict]) -> tuple[Conflict, ...]:
    """The first conflict between the same quotes; that of the opposite statement has its sides exchanged."""
    found: dict[frozenset[frozenset[tuple[str, int, int]]], Conflict] = {}
    for one in conflicts:
        sides = (one.supporting, one.contradicting)
        found.setdefault(
            frozenset(frozenset((quote.passage_id, quote.start, quote.end) for quote in side) for side in sides), one
        )
    return tuple(found.values())


def _note(conflict: Conflict, passages: Sequence[Passage]) -> str:
    """A conflict in words: both sides with number, year, source and quote, newest first."""
    pro, con = (_side(quotes, passages) for quotes in (conflict.supporting, conflict.contradicting))
    return f"the evidence conflicts on “{conflict.statement.rstrip('.')}”. For: {pro}. Against: {con}."


def _side(citations: Sequence[Citation], passages: Sequence[Passage]) -> str:
    by_id, numbers = {one.id: one for one in passages}, passage_numbers(passages)
    listed = []
    for id, quotes in groupby(citations, lambda citation: citation.passage_id):
        source = ", ".join(filter(None, (str(year_of(by_id[id]) or ""), by_id[id].origin or id)))
        listed.append(f"[{numbers[id]}] {source}: “{next(quotes).readable}”")
    return "; ".join(listed)
