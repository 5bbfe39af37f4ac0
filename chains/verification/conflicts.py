"""Conflicting evidence: some passages of an answer support one of its statements, and others contradict it."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from chains.answer import Answer, Citation, Conflict, Passage
from chains.marks import passage_numbers
from chains.verification.statements import Check, Checker, Claim, year_of
from common.errors import UserError


def add_conflicts(checker: Checker, answers: Sequence[Answer], *, quotes: bool = False) -> list[Answer]:
    """The answers with their conflicting evidence, in order; all statements are checked in one pass.

    If the whole answer has a verdict, the statement that was judged is checked. Each sentence with the verdict
    supported or contradicted is checked too, even if it was removed or withheld, since one passage may contradict it
    and another support it. With ``quotes``, the answers are extractive, and all their sentences are checked.

    Each statement is checked against all passages of the answer, including those that the sentence does not cite. If a
    passage supports a statement and another contradicts it, the answer gets a ``Conflict`` and a note with both sides.
    The checker needs no retriever.
    """
    claims = [
        [Claim(statement, passages=answer.passages) for statement in _statements(answer, quotes)] for answer in answers
    ]
    checks = iter(checker.check_all([claim for answer_claims in claims for claim in answer_claims]))
    return [
        _with_conflicts(answer, [next(checks) for _ in answer_claims])
        for answer, answer_claims in zip(answers, claims, strict=True)
    ]


def _statements(answer: Answer, quotes: bool) -> list[str]:
    """The distinct statements of an answer to check; none if the answer has fewer than two passages."""
    if len(answer.passages) < 2:
        return []
    if quotes:
        return list(dict.fromkeys(one.text for one in answer.sentences))
    withheld = answer.withheld.sentences if answer.withheld is not None else ()
    judged = [
        one.verification.statement
        for one in (*answer.sentences, *answer.removed, *withheld)
        if one.verification is not None and one.verdict != "not enough evidence"
    ]
    whole = [answer.verification.statement] if answer.verification is not None else []
    return list(dict.fromkeys([*whole, *judged]))


def _with_conflicts(answer: Answer, results: Sequence[Check | UserError]) -> Answer:
    checks = [one for one in results if isinstance(one, Check)]
    if not checks:
        return answer
    conflicts = _distinct(
        Conflict(statement=one.statement, supporting=one.supporting, contradicting=one.contradicting)
        for one in checks
        if one.conflicting
    )
    notes = (_note(one, answer.passages) for one in conflicts)
    reused = answer.reused and all(one.reused for one in checks)
    return answer.noted(*notes, conflicts=conflicts, reused=reused)


def _distinct(conflicts: Iterable[Conflict]) -> tuple[Conflict, ...]:
    """The conflicts, without those whose quotes are the same as an earlier one's, on the same or on exchanged sides.

    The sides are exchanged if the two statements are opposites.
    """
    by_quotes: dict[frozenset[frozenset[tuple[str, int, int]]], Conflict] = {}
    for conflict in conflicts:
        sides = (conflict.supporting, conflict.contradicting)
        quotes = frozenset(frozenset((quote.passage_id, quote.start, quote.end) for quote in side) for side in sides)
        by_quotes.setdefault(quotes, conflict)
    return tuple(by_quotes.values())


def _note(conflict: Conflict, passages: Sequence[Passage]) -> str:
    """A conflict in words. Each side lists number, year, source and quote of its passages, newest first."""
    pro, con = (_side(quotes, passages) for quotes in (conflict.supporting, conflict.contradicting))
    return f"the evidence conflicts on “{conflict.statement.rstrip('.')}”. For: {pro}. Against: {con}."


def _side(citations: Sequence[Citation], passages: Sequence[Passage]) -> str:
    by_id, numbers = {one.id: one for one in passages}, passage_numbers(passages)
    listed = []
    for id, quotes in groupby(citations, lambda citation: citation.passage_id):
        source = ", ".join(filter(None, (str(year_of(by_id[id]) or ""), by_id[id].origin or id)))
        listed.append(f"[{numbers[id]}] {source}: “{next(quotes).readable}”")
    return "; ".join(listed)
