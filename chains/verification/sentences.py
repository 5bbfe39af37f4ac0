"""Verification of an answer's sentences with an NLI model, and citations for sentences without marks."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from chains.answer import Answer, Citation, Passage, Sentence, Verdict, Verification
from chains.citations import CachedEmbedder, coverage, similarities
from chains.marks import cited_sentences, without_marks
from chains.nli import Judgement, NLIModel
from chains.prompts import answer_statement
from chains.verification.verdicts import evidence_spans, most_probable, strength, verdict_scores
from common.errors import UserError
from corpus.sentences import Span, sentence_spans

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

WINDOW_SENTENCES = 3  # sentences of a passage that are judged together
MIN_COSINE = 0.7  # minimum cosine between a sentence of an answer and its source in a passage
MIN_WORD_SHARE = 0.6  # without an embedder: minimum share of the words of an answer's sentence that its source has
_BARE_LABEL = re.compile(r"(yes|no|maybe)\W*", re.IGNORECASE)
_SOURCES = r"(?:passages?|texts?|contexts?|documents?|abstracts?|sources?|excerpts?|articles?|information)"
_DOES_NOT_STATE = (
    r"(?:(?:do|does|did|is|are|was|were|can|could)\s*(?:not|n[’']t)|cannot|fails? to)\s+(?:\w+\s+){0,2}?"
    r"(?:answer|say|state|mention|contain|provide|address|specify|discuss|include|give|report|describe)"
)
# Verbs that introduce a finding, so "the texts show that it does not contain lead" is no refusal. Before "do", the word
# is a noun: "the report does not say".
_REPORTS = r"(?:show|report|state|say|indicate|suggest|conclude)s?(?!\s+(?:do|does|did)\b)"
_REFUSAL = re.compile(
    rf"\b{_SOURCES}\b(?:(?!\b{_REPORTS}\b)[^.;]){{0,60}}?\b{_DOES_NOT_STATE}"
    r"|\b(?:is|are|contains?|provides?|gives?|has|have)\s+(?:no|not enough|insufficient)\s+information\b"
    rf"|\bI\s+(?:do\s*not|don[’']t)\s+know\b|\bI\s*(?:cannot|can[’']?t|am unable to)\s+(?:answer|say|determine)\b"
    rf"|\bnot\s+(?:answered|mentioned|addressed|stated)\s+(?:in|by)\s+(?:the\s+|these\s+)?{_SOURCES}\b",
    re.IGNORECASE,
)


def is_refusal(text: str) -> bool:
    """Whether a sentence states, in English, that the passages do not answer the question. It is not judged if so."""
    return _REFUSAL.search(text) is not None


def statement_of(sentence: Sentence, answer: Answer) -> str:
    """The claim of a sentence: its text without marks, on one line; for "Yes.", that the answer is yes."""
    text = " ".join(without_marks(sentence.text, len(answer.passages)).split())
    return answer_statement(answer.question, label[1].lower()) if (label := _BARE_LABEL.fullmatch(text)) else text


def with_sentences(answer: Answer, embedder: "Embeddings | None" = None, *, attribute: bool = False) -> Answer:
    """The answer with the sentences of its written text.

    With ``attribute``, a sentence without marks cites the passage with the nearest sentence, if that is near enough:
    the cosine must reach ``MIN_COSINE``. Without an embedder, the share of words must reach ``MIN_WORD_SHARE``.
    ``SentenceVerifier`` attributes more reliably.

    At ``MIN_COSINE``, 0.92 of the attributions are right on the training claims of Citation Integrity;
    ``benchmarks/citations.py --part train`` measures this share, and docs/development/log.md has the figures.
    """
    sentences = cited_sentences(answer.text, len(answer.passages))
    if attribute and answer.passages:
        cached = None if embedder is None else CachedEmbedder(embedder)
        sentences = tuple(_attributed(one, answer, cached) for one in sentences)
    return answer.model_copy(update={"sentences": sentences})


def _attributed(sentence: Sentence, answer: Answer, embedder: "Embeddings | None") -> Sentence:
    """The sentence, with a citation of its source if it has no marks and the source is near enough."""
    if sentence.citations or is_refusal(sentence.text):
        return sentence
    number, nearness = nearest_passage(statement_of(sentence, answer), answer.passages, embedder)
    if nearness < (MIN_WORD_SHARE if embedder is None else MIN_COSINE):
        return sentence
    return sentence.model_copy(update={"citations": (number,), "attributed": True})


def nearest_passage(
    statement: str, passages: Sequence[Passage], embedder: "Embeddings | None" = None
) -> tuple[int, float]:
    """The number of the passage with the sentence nearest to a statement, and the nearness; zeros without passages.

    Passages are numbered from 1. Nearness is the cosine of the embedder's vectors; without an embedder, it is the share
    of the statement's words that the sentence has.
    """
    sentences = [
        (number, passage.text[start:end])
        for number, passage in enumerate(passages, start=1)
        for start, end in sentence_spans(passage.text)
    ]
    texts = [text for _, text in sentences]
    nearness = similarities(embedder, statement, texts) if embedder is not None else coverage(statement, texts)
    best = max(range(len(texts)), key=nearness.__getitem__, default=None)
    return (0, 0.0) if best is None else (sentences[best][0], nearness[best])


@dataclass(frozen=True, slots=True)
class SentenceVerifier:
    """Judges each sentence of written answers against the passages that it cites.

    A passage is judged in windows of three sentences, each starting one sentence later. The window that most clearly
    supports or contradicts the answer's sentence decides its verdict. The sentences of the deciding window are also
    judged alone; the evidence is the one with the highest probability of the verdict.

    If a sentence cites several passages and is not supported in this way, it is also judged against a joined text. The
    text consists of one window of each passage: the window with the most words of the sentence.

    A sentence without marks is judged against all passages. If it is supported, it cites the deciding passage and is
    ``attributed``. A sentence that is a refusal (``is_refusal``) has no verdict.
    """

    model: NLIModel  # its labels are checked by ``Verifier``

    def verify(self, answers: Sequence[Answer]) -> list[Answer]:
        """The answers with verdicts of their sentences, in order; all answers share up to three passes of the model."""
        claims_by_answer = [[_Claim(answer, one) for one in answer.sentences] for answer in answers]
        claims = [claim for answer_claims in claims_by_answer for claim in answer_claims if claim.needs_judgement]
        self._judge_windows(claims)
        self._judge_jointly([claim for claim in claims if claim.needs_joint_judgement])
        self._judge_sentences([claim for claim in claims if claim.verdict != "not enough evidence"])
        return [
            answer.model_copy(
                update={
                    "sentences": tuple(claim.judged() for claim in answer_claims),
                    "notes": tuple(dict.fromkeys(chain(answer.notes, *(claim.notes for claim in answer_claims)))),
                    "reused": answer.reused and all(claim.reused for claim in answer_claims),
                }
            )
            for answer, answer_claims in zip(answers, claims_by_answer, strict=True)
        ]

    def _judge(self, cases: Sequence[tuple["_Claim", str]]) -> list[Judgement | UserError]:
        """A judgement or an error for each pair of a claim and a text, in order."""
        judgements = self.model.judge([(text, claim.statement) for claim, text in cases])
        for (claim, _), judgement in zip(cases, judgements, strict=True):
            claim.reused &= isinstance(judgement, Judgement) and judgement.reused
        return judgements

    def _judge_windows(self, claims: Sequence["_Claim"]) -> None:
        cases = [
            (claim, number, passage, span)
            for claim in claims
            for number, passage in claim.candidates
            for span in windows(passage.text)
        ]
        judgements = self._judge([(claim, passage.text[slice(*span)]) for claim, _, passage, span in cases])
        for (claim, number, passage, span), judgement in zip(cases, judgements, strict=True):
            if isinstance(judgement, UserError):
                claim.notes.append(f"a sentence was not verified against passage {passage.id}: {judgement}")
            else:
                claim.windows.append(_Window(number, passage, span, judgement))

    def _judge_jointly(self, claims: Sequence["_Claim"]) -> None:
        judgements = self._judge(
            [(claim, "\n\n".join(window.text for window in claim.nearest_windows)) for claim in claims]
        )
        for claim, judgement in zip(claims, judgements, strict=True):
            if isinstance(judgement, Judgement):
                scores = verdict_scores(judgement)
                if most_probable(scores) == "supported":
                    claim.joint = scores

    def _judge_sentences(self, claims: Sequence["_Claim"]) -> None:
        cases = [
            (claim, claim.deciding.passage, span)
            for claim in claims
            if claim.deciding is not None
            for span in evidence_spans(claim.deciding.passage, *claim.deciding.span)
        ]
        judgements = self._judge([(claim, passage.text[slice(*span)]) for claim, passage, span in cases])
        for (claim, passage, span), judgement in zip(cases, judgements, strict=True):
            if isinstance(judgement, Judgement):
                claim.quotes.append(passage.quote(*span, verdict_scores(judgement)[claim.verdict]))


def windows(text: str) -> list[Span]:
    """Spans of three sentences, each starting one sentence later; one span if the text has fewer sentences."""
    spans = sentence_spans(text)
    window_ends = spans[WINDOW_SENTENCES - 1 :] or spans[-1:]
    return [(first[0], last[1]) for first, last in zip(spans, window_ends, strict=False)]


def supported(sentence: Sentence) -> bool:
    """Whether a sentence is supported, or is a refusal that was not judged."""
    return sentence.verdict == "supported" or (sentence.verification is None and is_refusal(sentence.text))


def prune(answer: Answer) -> Answer:
    """The answer without unsupported sentences, which move to ``removed``; a note counts them.

    A list of references after the last sentence is removed too, since it is not verified. Two neighbouring sentences of
    the new text are separated by the line breaks between them in the old text, but by at most two. If there are none,
    they are separated by a space.
    """
    removed = tuple(one for one in answer.sentences if not supported(one))
    if not removed:
        end = answer.sentences[-1].end if answer.sentences else None
        return answer.model_copy(update={"text": answer.text[:end]})
    text = ""
    remaining: list[Sentence] = []
    previous = None
    for sentence in filter(supported, answer.sentences):
        if previous is not None:
            between = answer.text[previous.end : sentence.start]
            text += "\n" * min(2, between.count("\n")) or " "
        start, text = len(text), text + sentence.text
        remaining.append(sentence.model_copy(update={"start": start, "end": len(text)}))
        previous = sentence
    note = f"{len(removed)} of {len(answer.sentences)} sentences were removed: the passages do not support "
    note += "it" if len(removed) == 1 else "them"
    return answer.noted(note, text=text, sentences=tuple(remaining), removed=removed)


@dataclass(slots=True)
class _Window:
    """A judged span of a passage; ``number`` is the number of the passage, from 1."""

    number: int
    passage: Passage
    span: Span
    judgement: Judgement

    @property
    def scores(self) -> dict[Verdict, float]:
        return verdict_scores(self.judgement)

    @property
    def text(self) -> str:
        return self.passage.text[slice(*self.span)]


@dataclass(slots=True)
class _Claim:
    """A sentence of an answer, with the judgements so far.

    Attributes:
        joint: scores of the joined windows of several passages; None unless they support the sentence.
        quotes: sentences of the deciding window, with the probability of the verdict as their score.
        reused: whether all judgements came from the cache.
    """

    answer: Answer
    sentence: Sentence
    windows: list[_Window] = field(default_factory=list)
    joint: dict[Verdict, float] | None = None
    quotes: list[Citation] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reused: bool = True

    @property
    def statement(self) -> str:
        return statement_of(self.sentence, self.answer)

    @property
    def needs_judgement(self) -> bool:
        """Whether the answer has passages, and the sentence is no refusal and no bare number of a list item."""
        text = without_marks(self.sentence.text, len(self.answer.passages))
        return bool(self.answer.passages) and any(map(str.isalpha, text)) and not is_refusal(text)

    @property
    def candidates(self) -> list[tuple[int, Passage]]:
        """The cited passages with their numbers; all passages if the sentence cites none."""
        cited = () if self.sentence.attributed else self.sentence.citations
        numbered = list(enumerate(self.answer.passages, start=1))
        return [(number, passage) for number, passage in numbered if not cited or number in cited]

    @property
    def deciding(self) -> _Window | None:
        """The window that most strongly supports or contradicts the sentence.

        If ``joint`` is set, the window that most strongly supports it.
        """
        if self.joint is not None:
            return max(self.windows, key=lambda window: window.scores["supported"])
        return max(self.windows, key=lambda window: strength(window.scores), default=None)

    @property
    def scores(self) -> dict[Verdict, float]:
        if self.joint is not None:
            return self.joint
        return self.deciding.scores if self.deciding is not None else {}

    @property
    def verdict(self) -> Verdict:
        return most_probable(self.scores) if self.scores else "not enough evidence"

    @property
    def nearest_windows(self) -> list[_Window]:
        """One window of each passage, in the passages' order: the window with the most words of the sentence."""
        shares = coverage(self.statement, [window.text for window in self.windows])
        best: dict[int, tuple[float, _Window]] = {}
        for window, share in zip(self.windows, shares, strict=True):
            if window.number not in best or share > best[window.number][0]:
                best[window.number] = (share, window)
        return [window for _, window in best.values()]

    @property
    def needs_joint_judgement(self) -> bool:
        """Whether to judge the windows of several cited passages together."""
        return len(self.sentence.citations) > 1 and len(self.nearest_windows) > 1 and self.verdict != "supported"

    def judged(self) -> Sentence:
        """The sentence with its verdict; without a verdict if no passage could be judged."""
        if self.deciding is None:
            return self.sentence
        verification = Verification(
            statement=self.statement,
            scores=self.scores if self.deciding.judgement.label_scores else {},
            passage_id=self.deciding.passage.id,
            sentence=max(self.quotes, key=lambda quote: quote.score, default=None),
        )
        update: dict[str, object] = {"verdict": self.verdict, "verification": verification}
        if self.verdict == "supported" and not self.sentence.citations:
            update |= {"citations": (self.deciding.number,), "attributed": True}
        return self.sentence.model_copy(update=update)
