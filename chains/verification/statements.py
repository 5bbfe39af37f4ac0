"""Statements checked against retrieved passages with an entailment model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig
from pydantic import BaseModel, ConfigDict, Field, computed_field

from chains.answer import Citation, Passage, Verdict
from chains.citations import notices, select
from chains.config import CheckConfig
from chains.nli import Judgement, NLIModel
from chains.qa.base import Question, check_retriever, retrieve
from chains.qa.extractive import NEAR
from chains.verification.verdicts import check_judge, clarity, count_passages, most_probable, verdict_scores
from common.errors import UserError
from common.one_pass import OnePassRunnable, over_valid
from corpus.evidence import Kind, sentences
from retrievers.base import encodable

CheckInput = str | Mapping[str, Any]
QUOTES = 3  # quotes of one passage on one side
_SAME = 6  # decimals in which scores are compared


class Check(BaseModel):
    """A statement with its verdict and the evidence for and against it.

    ``supporting`` and ``contradicting`` are quotes of ``passages``, newest first, then by score; a quote's ``score`` is
    the probability that it supports or contradicts the statement. ``conflicting`` says that there are both: the verdict
    is then that of the strongest evidence. ``scores`` are the probabilities of the verdicts by the deciding quote, or
    by the clearest one; empty if nothing was judged or labels were parsed. ``text`` states the result in words.
    ``reused`` says that all judgements came from the cache.
    """

    model_config = ConfigDict(frozen=True)

    statement: str
    verdict: Verdict
    conflicting: bool = False
    supporting: tuple[Citation, ...] = ()
    contradicting: tuple[Citation, ...] = ()
    scores: dict[Verdict, float] = {}
    passages: tuple[Passage, ...] = ()
    notes: tuple[str, ...] = ()
    reused: bool = Field(default=False, exclude=True, repr=False)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def text(self) -> str:
        """The result in words."""
        pro, con = (len({one.passage_id for one in side}) for side in (self.supporting, self.contradicting))
        if self.conflicting:
            balance = {
                "supported": "The strongest evidence supports it.",
                "contradicted": "The strongest evidence contradicts it.",
                "not enough evidence": "Neither side is stronger.",
            }[self.verdict]
            supports, contradicts = ("s" if count == 1 else "" for count in (pro, con))
            return (
                f"The evidence conflicts: {count_passages(pro)} support{supports} the statement and "
                f"{count_passages(con)} contradict{contradicts} it. {balance}"
            )
        if self.verdict == "not enough evidence":
            found = f"none of the {len(self.passages)} passages found decides the statement"
            if len(self.passages) < 2:
                found = "the passage found does not decide the statement" if self.passages else "no passage was found"
            return f"Not enough evidence: {found}."
        return f"{self.verdict.capitalize()} by {count_passages(pro or con)}."

    def year(self, citation: Citation) -> int | None:
        """The year of publication of a quote's document; None if unknown."""
        return next((year_of(one) for one in self.passages if one.id == citation.passage_id), None)


def year_of(passage: Passage) -> int | None:
    """The year of publication in a passage's metadata; None if unknown."""
    given = str(passage.metadata.get("year") or "")[:4]
    return int(given) if given.isdecimal() else None


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement to check.

    ``query`` is the text to search for, by default the statement; a sentence that refers back needs the one before it.
    ``passages`` are the evidence, by default retrieved. ``config`` is LangChain's, for the retriever.
    """

    statement: str
    query: str | None = None
    passages: tuple[Passage, ...] | None = None
    config: RunnableConfig | None = field(default=None, compare=False, repr=False)


def make_checker(
    retriever: BaseRetriever | None,
    judge: NLIModel,
    config: CheckConfig | None = None,
    *,
    embedder: Embeddings | None = None,
    notes: Sequence[str] = (),
) -> "Checker":
    """A ``Runnable`` that checks statements against retrieved passages.

    Args:
        retriever: source of the passages; None if all statements come with a context.
        judge: with the labels entailment, neutral and contradiction.
        config: numbers of passages and sentences, and the threshold.
        embedder: finds the sentences to judge by meaning; without one, by words.
        notes: added to every result.
    """
    if retriever is not None:
        check_retriever(retriever)
    check_judge(judge, "A statement is checked")
    return Checker(retriever, judge, config or CheckConfig(), embedder, tuple(notes))


@dataclass(eq=False)
class Checker(OnePassRunnable[CheckInput, Check]):
    """A LangChain ``Runnable`` from a statement to a ``Check``; see ``make_checker``.

    The input is the statement, or ``{"statement": ..., "context": ...}``; a context is judged instead of retrieved
    passages.

    The sentences of the passages that are nearest to the statement (``citations.select``), at least half as near as the
    best one, are judged alone and with the sentences before and after them. A window counts as evidence if its most
    probable verdict is supported or contradicted, with at least the probability ``check.threshold``. A passage stands
    on the side of its strongest window. A window is quoted only if no shorter one within it says the same.
    """

    retriever: BaseRetriever | None
    judge: NLIModel
    config: CheckConfig
    embedder: Embeddings | None
    notes: tuple[str, ...]

    def check_all(self, claims: Sequence[Claim]) -> list[Check | UserError]:
        """A Check or an error for each claim, in order; all in one pass."""
        searched = [
            Question(claim.query or claim.statement, config=claim.config) for claim in claims if claim.passages is None
        ]
        if searched and self.retriever is None:
            raise UserError('This checker has no retriever. Give {"statement": ..., "context": ...}.')
        found = iter(retrieve(self.retriever, searched, self.config.passages) if self.retriever else ())
        passages = [tuple(next(found)) if claim.passages is None else claim.passages for claim in claims]
        embedder = None if self.embedder is None else _CachedEmbedder(self.embedder)
        windows = [
            _windows(claim.query or claim.statement, own, embedder, self.config.sentences)
            for claim, own in zip(claims, passages, strict=True)
        ]
        pairs = [(one.premise, claim.statement) for claim, own in zip(claims, windows, strict=True) for one in own]
        judged = iter(self.judge.judge(pairs))
        return [
            self._join(claim.statement, own, [(window, next(judged)) for window in some])
            for claim, own, some in zip(claims, passages, windows, strict=True)
        ]

    def _in_one_pass(self, inputs: Sequence[CheckInput], configs: Sequence[RunnableConfig]) -> list[Exception | Check]:
        read = [read_claim(input, config) for input, config in zip(inputs, configs, strict=True)]
        return [*over_valid(read, self.check_all)]

    def _join(
        self, statement: str, passages: tuple[Passage, ...], judged: Sequence[tuple["_Window", Judgement | UserError]]
    ) -> Check | UserError:
        """The verdict by the strongest evidence for and against."""
        read = [(window, one) for window, one in judged if isinstance(one, Judgement)]
        errors = [(window, one) for window, one in judged if isinstance(one, UserError)]
        if errors and not read:
            return errors[0][1]
        sides: dict[Verdict, list[_Evidence]] = {"supported": [], "contradicted": []}
        quoted: dict[Verdict, list[_Evidence]] = {"supported": [], "contradicted": []}
        for passage in passages:
            own = [_Evidence(window, one) for window, one in read if window.passage.id == passage.id]
            own = [one for one in own if one.counts(self.config.threshold)]
            for verdict, side in _strongest(own).items():
                sides[verdict] += side
                quoted[verdict] += _quoted(side)
        supporting, contradicting = quoted["supported"], quoted["contradicted"]
        strengths = {verdict: _strength(side) for verdict, side in sides.items()}
        verdict = "not enough evidence"
        if strengths["supported"] != strengths["contradicted"]:
            verdict = max(strengths, key=strengths.__getitem__)
        candidates = sides.get(verdict) or [_Evidence(*one) for one in read]
        deciding = max(candidates, key=lambda one: one.clarity, default=None)
        cited = {one.window.passage.id for one in (*supporting, *contradicting)}
        unread = list(dict.fromkeys(window.passage.id for window, _ in errors))
        return Check(
            statement=statement,
            verdict=verdict,
            conflicting=bool(supporting and contradicting),
            supporting=_citations(supporting),
            contradicting=_citations(contradicting),
            scores=deciding.scores if deciding is not None and deciding.judgement.label_scores else {},
            passages=passages,
            notes=(
                *(f"not all of passage {id} could be judged: {errors[0][1]}" for id in unread),
                *notices([passage for passage in passages if passage.id in cited]),
                *self.notes,
            ),
            reused=bool(read) and all(one.reused for _, one in read),
        )


@dataclass(frozen=True, slots=True)
class _Window:
    """A sentence of a passage, or several neighbours; ``citation`` quotes them, without its score."""

    passage: Passage
    citation: Citation

    @property
    def premise(self) -> str:
        return self.citation.readable

    def contains(self, other: "_Window") -> bool:
        mine, its = self.citation, other.citation
        return mine.start <= its.start and its.end <= mine.end and mine != its

    def overlaps(self, other: "_Window") -> bool:
        return self.citation.start < other.citation.end and other.citation.start < self.citation.end


@dataclass(frozen=True, slots=True)
class _Evidence:
    """A window with its judgement."""

    window: _Window
    judgement: Judgement

    @property
    def scores(self) -> dict[Verdict, float]:
        return verdict_scores(self.judgement)

    @property
    def verdict(self) -> Verdict:
        return most_probable(self.scores)

    @property
    def clarity(self) -> float:
        return clarity(self.scores)

    def counts(self, threshold: float) -> bool:
        return self.verdict != "not enough evidence" and self.clarity >= threshold


def _windows(query: str, passages: Sequence[Passage], embedder: Embeddings | None, most: int) -> list[_Window]:
    """The sentences nearest to a query, each alone and with its neighbours, without duplicates."""
    by_id = {passage.id: passage for passage in passages}
    windows: dict[tuple[str, int, int], _Window] = {}
    ranked = select(query, passages, embedder).citations
    for citation in [one for one in ranked if one.score >= NEAR * ranked[0].score][:most]:
        passage = by_id[citation.passage_id]
        for start, end in _spans(passage, citation):
            quote = citation.model_copy(update={"start": start, "end": end, "quote": passage.text[start:end]})
            windows.setdefault((passage.id, start, end), _Window(passage, quote))
    return list(windows.values())


def _spans(passage: Passage, citation: Citation) -> list[tuple[int, int]]:
    """The span of a quote, and the span that includes the statements before and after it; none without evidence.

    A row of a table is judged alone.
    """
    start, end = citation.start, citation.end
    section, title = (str(passage.metadata.get(name) or "") for name in ("section", "title"))
    read = sentences(passage.text, section, title)
    if not any(one.is_evidence for one in read if start <= one.start and one.end <= end):
        return []
    if citation.headings:
        return [(start, end)]
    before = next((one for one in reversed(read) if one.end <= start), None)
    after = next((one for one in read if one.start >= end), None)
    first = before.start if before is not None and before.kind is Kind.STATEMENT else start
    last = after.end if after is not None and after.kind is Kind.STATEMENT else end
    return [(start, end), (first, last)]


def _strongest(evidence: Sequence[_Evidence]) -> dict[Verdict, list[_Evidence]]:
    """The evidence of a passage for its strongest verdict; for both verdicts if they are equally strong."""
    most = max((round(one.clarity, _SAME) for one in evidence), default=0.0)
    verdicts = {one.verdict for one in evidence if round(one.clarity, _SAME) == most}
    return {verdict: [one for one in evidence if one.verdict == verdict] for verdict in verdicts}


def _quoted(side: Sequence[_Evidence]) -> list[_Evidence]:
    """The quotes of a passage for one verdict, best first, without windows that contain or overlap others."""
    short = [one for one in side if not any(one.window.contains(other.window) for other in side)]
    quoted: list[_Evidence] = []
    for one in sorted(short, key=lambda one: -one.clarity):
        if len(quoted) < QUOTES and not any(one.window.overlaps(other.window) for other in quoted):
            quoted.append(one)
    return quoted


def _strength(side: Sequence[_Evidence]) -> tuple[float, int]:
    """The probability of the strongest evidence, and the number of passages, which decides between equal sides."""
    return max((round(one.clarity, _SAME) for one in side), default=0.0), len({one.window.passage.id for one in side})


def _citations(side: Sequence[_Evidence]) -> tuple[Citation, ...]:
    """The quotes of one side, newest first, then by score; those without a year last."""

    def order(one: _Evidence) -> tuple[int, float]:
        return -(year_of(one.window.passage) or 0), -one.clarity

    return tuple(one.window.citation.model_copy(update={"score": one.clarity}) for one in sorted(side, key=order))


class _CachedEmbedder(Embeddings):
    """An embedder that embeds each text once: several statements often have the same passages."""

    def __init__(self, embedder: Embeddings) -> None:
        self._embedder = embedder
        self._vectors: dict[str, list[float]] = {}

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Vectors of texts, new ones in one batch."""
        if new := [text for text in dict.fromkeys(texts) if text not in self._vectors]:
            self._vectors |= zip(new, self._embedder.embed_documents(new), strict=True)
        return [self._vectors[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """The vector of one question."""
        return self._embedder.embed_query(text)


def read_claim(input: object, config: RunnableConfig | None = None) -> Claim | UserError:
    """The claim of a checker's input, or an error."""
    given = {"statement": input} if isinstance(input, str) else input
    fields: Mapping[object, object] = given if isinstance(given, Mapping) else {}
    statement, context = fields.get("statement"), fields.get("context")
    if not isinstance(statement, str):
        return UserError(f'Check a text or {{"statement": text}}; this is {type(input).__name__}.')
    if context is not None and not isinstance(context, str):
        return UserError(f"The context of a statement must be a text; this is {type(context).__name__}.")
    if encodable(text := statement + (context or "")) != text:
        return UserError("The text contains half of a character (a lone surrogate). Remove it.")
    if not any(map(str.isalnum, statement)):
        return UserError("The statement is empty. Write what is to be checked.")
    passages = None if context is None else (Passage(id="context", text=context),) if context.strip() else ()
    return Claim(statement.strip(), passages=passages, config=config)
