"""Statements checked against retrieved passages with an entailment model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig
from pydantic import BaseModel, Field, computed_field

from chains.answer import Citation, Passage, Verdict
from chains.citations import CachedEmbedder, notices, select
from chains.config import CheckConfig
from chains.models.one_pass import OnePassRunnable, apply_to_valid
from chains.nli import Judgement, NLIModel
from chains.qa.base import Question, check_retriever, retrieve
from chains.verification.verdicts import check_judge, count_passages, most_probable, strength, verdict_scores
from common.errors import UserError
from corpus.evidence import Kind, sentences
from retrievers.base import encodable

CheckInput = str | Mapping[str, Any]
MAX_QUOTES = 3  # quotes of one passage for one verdict


class Check(BaseModel, frozen=True):
    """A statement with its verdict and the evidence for and against it.

    ``supporting`` and ``contradicting`` are quotes of ``passages``, newest first, then by score; a quote's ``score`` is
    the probability that it supports or contradicts the statement. ``conflicting``: whether there are quotes on both
    sides; the strongest evidence then decides the verdict. ``scores`` are the probabilities of the three verdicts on
    one judged text: the strongest evidence for the verdict. If the verdict is "not enough evidence", it is the
    strongest of all judged texts. ``scores`` is empty if nothing was judged, or if labels were parsed from generated
    text. ``text`` states the result in words. ``reused``: whether all judgements came from the cache.
    """

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
            stronger_side = {
                "supported": "The strongest evidence supports it.",
                "contradicted": "The strongest evidence contradicts it.",
                "not enough evidence": "Neither side is stronger.",
            }[self.verdict]
            supports, contradicts = ("s" if count == 1 else "" for count in (pro, con))
            return (
                f"The evidence conflicts: {count_passages(pro)} support{supports} the statement and "
                f"{count_passages(con)} contradict{contradicts} it. {stronger_side}"
            )
        if self.verdict == "not enough evidence":
            reason = f"none of the {len(self.passages)} passages found decides the statement"
            if len(self.passages) < 2:
                reason = "the passage found does not decide the statement" if self.passages else "no passage was found"
            return f"Not enough evidence: {reason}."
        return f"{self.verdict.capitalize()} by {count_passages(pro or con)}."

    def year(self, citation: Citation) -> int | None:
        """The year of publication of a quote's document; None if unknown."""
        return next((year_of(one) for one in self.passages if one.id == citation.passage_id), None)


def year_of(passage: Passage) -> int | None:
    """The year of publication in a passage's metadata; None if unknown."""
    year = str(passage.metadata.get("year") or "")[:4]
    return int(year) if year.isdecimal() else None


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement to check.

    ``query`` is the text to search for, by default the statement. If the statement refers back to the sentence before
    it, the query should contain both sentences. ``passages`` are judged instead of retrieved passages. ``config`` is
    LangChain's configuration for the retriever.
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
        retriever: finds the passages; None if all statements have a context.
        judge: an NLI model with the labels entailment, neutral and contradiction.
        config: numbers of passages and sentences, and the threshold.
        embedder: compares sentences with the statement by meaning, to select those to judge; if None, words decide.
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

    The sentences nearest to the statement (``citations.select``) are selected from the passages, if they have at least
    half of the best score. Each is judged alone, and once more together with the sentences before and after it. Each
    judged text is a window. A window is evidence if its most probable verdict is supported or contradicted, and if that
    verdict has at least the probability ``check.threshold``. A passage counts for the verdict of its strongest window.
    A window is quoted only if it contains no shorter window with the same verdict.
    """

    retriever: BaseRetriever | None
    judge: NLIModel
    config: CheckConfig
    embedder: Embeddings | None
    notes: tuple[str, ...]

    def check_all(self, claims: Sequence[Claim]) -> list[Check | UserError]:
        """A Check or an error for each claim, in order; all claims in one pass."""
        queries = [
            Question(claim.query or claim.statement, config=claim.config) for claim in claims if claim.passages is None
        ]
        if queries and self.retriever is None:
            raise UserError('This checker has no retriever. Give {"statement": ..., "context": ...}.')
        retrieved = iter(retrieve(self.retriever, queries, self.config.passages) if self.retriever else ())
        passages = [tuple(next(retrieved)) if claim.passages is None else claim.passages for claim in claims]
        embedder = None if self.embedder is None else CachedEmbedder(self.embedder)
        windows = [
            _windows(claim.query or claim.statement, claim_passages, embedder, self.config.sentences)
            for claim, claim_passages in zip(claims, passages, strict=True)
        ]
        pairs = [
            (quote.readable, claim.statement) for claim, quotes in zip(claims, windows, strict=True) for quote in quotes
        ]
        judgements = iter(self.judge.judge(pairs))
        return [
            self._combine(claim.statement, claim_passages, [(quote, next(judgements)) for quote in quotes])
            for claim, claim_passages, quotes in zip(claims, passages, windows, strict=True)
        ]

    def _in_one_pass(self, inputs: Sequence[CheckInput], configs: Sequence[RunnableConfig]) -> list[Exception | Check]:
        claims = [read_claim(input, config) for input, config in zip(inputs, configs, strict=True)]
        return [*apply_to_valid(claims, self.check_all)]

    def _combine(
        self, statement: str, passages: tuple[Passage, ...], results: Sequence[tuple[Citation, Judgement | UserError]]
    ) -> Check | UserError:
        """The check of a statement from its judged windows; an error if none could be judged."""
        judged = [_Window(quote, result) for quote, result in results if isinstance(result, Judgement)]
        errors: dict[str, UserError] = {}  # by passage id: the passage's first error
        for quote, result in results:
            if isinstance(result, UserError):
                errors.setdefault(quote.passage_id, result)
        if errors and not judged:
            return next(iter(errors.values()))
        evidence = [
            window
            for passage in passages
            for window in _strongest(
                [one for one in judged if one.quote.passage_id == passage.id], self.config.threshold
            )
        ]
        sides: dict[Verdict, list[_Window]] = {"supported": [], "contradicted": []}
        for window in evidence:
            sides[window.verdict].append(window)
        strengths = {verdict: _verdict_strength(windows) for verdict, windows in sides.items()}
        verdict: Verdict = "not enough evidence"
        if strengths["supported"] != strengths["contradicted"]:
            verdict = max(strengths, key=strengths.__getitem__)
        deciding = max(sides.get(verdict) or judged, key=lambda one: one.strength, default=None)
        years = {passage.id: year_of(passage) or 0 for passage in passages}
        supporting, contradicting = (_quotes(windows, years) for windows in sides.values())
        cited = {quote.passage_id for quote in (*supporting, *contradicting)}
        return Check(
            statement=statement,
            verdict=verdict,
            conflicting=bool(supporting and contradicting),
            supporting=supporting,
            contradicting=contradicting,
            scores=deciding.scores if deciding is not None and deciding.judgement.label_scores else {},
            passages=passages,
            notes=(
                *(f"not all of passage {id} could be judged: {error}" for id, error in errors.items()),
                *notices([passage for passage in passages if passage.id in cited]),
                *self.notes,
            ),
            reused=bool(judged) and all(one.judgement.reused for one in judged),
        )


@dataclass(frozen=True, slots=True)
class _Window:
    """A quote with its judgement; the quote's own ``score`` is not used."""

    quote: Citation
    judgement: Judgement

    @property
    def scores(self) -> dict[Verdict, float]:
        return verdict_scores(self.judgement)

    @property
    def verdict(self) -> Verdict:
        return most_probable(self.scores)

    @property
    def strength(self) -> float:
        return strength(self.scores)

    @property
    def rounded_strength(self) -> float:
        """The strength for comparisons; it is rounded, so that rounding errors break no tie."""
        return round(self.strength, 6)


def _windows(
    query: str, passages: Sequence[Passage], embedder: Embeddings | None, max_sentences: int
) -> list[Citation]:
    """The sentences nearest to a query, each alone and with its neighbours, without duplicates."""
    by_id = {passage.id: passage for passage in passages}
    windows: dict[tuple[str, int, int], Citation] = {}
    for citation in select(query, passages, embedder).strongest(max_sentences):
        passage = by_id[citation.passage_id]
        for start, end in _spans(passage, citation):
            quote = citation.model_copy(update={"start": start, "end": end, "quote": passage.text[start:end]})
            windows.setdefault((passage.id, start, end), quote)
    return list(windows.values())


def _spans(passage: Passage, citation: Citation) -> list[tuple[int, int]]:
    """Two spans: the quote's own, and one with the sentences before and after it.

    A sentence before or after the quote is added only if it is of ``Kind.STATEMENT``. A row of a table has only its own
    span. A quote that is no evidence, such as a heading, has no span.
    """
    start, end = citation.start, citation.end
    found = sentences(passage.text, *passage.section_and_title)
    if not any(one.is_evidence for one in found if start <= one.start and one.end <= end):
        return []
    if citation.headings:
        return [(start, end)]
    before = next((one for one in reversed(found) if one.end <= start), None)
    after = next((one for one in found if one.start >= end), None)
    first = before.start if before is not None and before.kind is Kind.STATEMENT else start
    last = after.end if after is not None and after.kind is Kind.STATEMENT else end
    return [(start, end), (first, last)]


def _strongest(judged: Sequence[_Window], threshold: float) -> list[_Window]:
    """The evidence in a passage's windows for its strongest verdict; for both verdicts if they are equally strong."""
    evidence = [one for one in judged if one.verdict != "not enough evidence" and one.strength >= threshold]
    greatest = max((one.rounded_strength for one in evidence), default=0.0)
    verdicts = {one.verdict for one in evidence if one.rounded_strength == greatest}
    return [one for one in evidence if one.verdict in verdicts]


def _verdict_strength(evidence: Sequence[_Window]) -> tuple[float, int]:
    """The probability of a verdict's strongest evidence, and its number of passages, which breaks ties."""
    greatest = max((one.rounded_strength for one in evidence), default=0.0)
    return greatest, len({one.quote.passage_id for one in evidence})


def _quotes(evidence: Sequence[_Window], years: Mapping[str, int]) -> tuple[Citation, ...]:
    """The quotes for one verdict, newest first, then by score; quotes without a year last.

    A window that contains a shorter one is not quoted. Of windows that overlap, only the strongest is quoted.
    """
    quotes: list[Citation] = []
    for window in sorted(evidence, key=lambda one: -one.strength):
        new = window.quote
        of_passage = [one for one in quotes if one.passage_id == new.passage_id]
        is_shortest = not any(_contains(new, other.quote) for other in evidence)
        overlaps = any(new.start < one.end and one.start < new.end for one in of_passage)
        if is_shortest and not overlaps and len(of_passage) < MAX_QUOTES:
            quotes.append(new.model_copy(update={"score": window.strength}))
    return tuple(sorted(quotes, key=lambda quote: -years[quote.passage_id]))


def _contains(outer: Citation, inner: Citation) -> bool:
    """Whether a quote contains another, shorter one of the same passage."""
    if outer.passage_id != inner.passage_id or len(outer.quote) <= len(inner.quote):
        return False
    return outer.start <= inner.start and inner.end <= outer.end


def read_claim(input: object, config: RunnableConfig | None = None) -> Claim | UserError:
    """The claim of a checker's input, or an error."""
    mapping = {"statement": input} if isinstance(input, str) else input
    fields: Mapping[object, object] = mapping if isinstance(mapping, Mapping) else {}
    statement, context = fields.get("statement"), fields.get("context")
    if not isinstance(statement, str):
        return UserError(f'Check a text or {{"statement": text}}; this is {type(input).__name__}.')
    if context is not None and not isinstance(context, str):
        return UserError(f"The context of a statement must be a text; this is {type(context).__name__}.")
    if encodable(text := statement + (context or "")) != text:
        return UserError("The text contains half of a character (a lone surrogate). Remove it.")
    if not any(map(str.isalnum, statement)):
        return UserError("The statement is empty. Write what is to be checked.")
    passages = None
    if context is not None:
        passages = (Passage(id="context", text=context),) if context.strip() else ()
    return Claim(statement.strip(), passages=passages, config=config)
