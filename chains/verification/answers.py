"""Verification of answers against their passages with an NLI model, and the policies for unsupported answers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

from chains.answer import Answer, Citation, Passage, Verdict, Verification
from chains.config import Verify, check_choices
from chains.nli import Judgement, NLIModel
from chains.prompts import answer_statement
from chains.qa.base import AnswerChain, MappedChain, Question
from chains.verification.verdicts import (
    check_judge,
    count_passages,
    evidence_spans,
    most_probable,
    strength,
    verdict_scores,
)
from common.errors import UserError

_RETRY_REASONS: dict[Verdict | None, str] = {
    "contradicted": "was contradicted",
    "not enough evidence": "had not enough evidence",
}


class Verifier:
    """Judges answers against their passages with an entailment model.

    For every answer, the same statement is judged against each whole passage: that the answer to the question is yes
    (``prompts.answer_statement``). "The answer is no" is never judged, since models trained on plain statements misread
    it. The answer "yes" is ``supported`` if a passage entails the statement and ``contradicted`` if a passage
    contradicts it; for the answer "no", the reverse holds. If the passages do neither, or if there are no passages, the
    verdict is ``not enough evidence``. The passage with the clearest judgement decides.

    "maybe" claims that the passages leave the question open, and an entailment model cannot distinguish an inconclusive
    study from a study on another subject. So "maybe" is never supported, and a passage that answers the question with
    yes or no contradicts it.

    An answer without a label, such as quotes, has no verdict, and a note gives the reason.

    Args:
        model: an NLI model with the labels entailment, neutral and contradiction.

    Raises:
        UserError: the model has other labels.
    """

    def __init__(self, model: NLIModel) -> None:
        check_judge(model, "An answer is verified")
        self._model = model

    def verify(self, answers: Sequence[Answer]) -> list[Answer]:
        """The answers with ``verdict`` and ``verification``, in order.

        The model judges all passages in one pass, then all sentences of the deciding passages. A passage that the model
        cannot judge is left out, with a note.
        """
        claims = [_Claim(answer, reused=answer.reused) for answer in answers if answer.label is not None]
        self._judge_passages(claims)
        self._judge_sentences([claim for claim in claims if claim.verdict != "not enough evidence"])
        verified = (claim.verified() for claim in claims)
        return [_without_label(answer) if answer.label is None else next(verified) for answer in answers]

    def _judge_passages(self, claims: Sequence["_Claim"]) -> None:
        cases = [(claim, passage) for claim in claims for passage in claim.answer.passages]
        judgements = self._model.judge([(passage.text, claim.statement) for claim, passage in cases])
        for (claim, passage), judgement in zip(cases, judgements, strict=True):
            if isinstance(judgement, UserError):
                claim.notes.append(f"not verified against passage {passage.id}: {judgement}")
            else:
                claim.judged.append((passage, judgement))
                claim.reused &= judgement.reused

    def _judge_sentences(self, claims: Sequence["_Claim"]) -> None:
        """Judge each sentence of the deciding passages alone."""
        cases = [(claim, *span) for claim in claims for span in evidence_spans(claim.passage)]
        judgements = self._model.judge(
            [(claim.passage.text[start:end], claim.statement) for claim, start, end in cases]
        )
        for (claim, start, end), judgement in zip(cases, judgements, strict=True):
            if isinstance(judgement, Judgement):
                claim.quotes.append(claim.passage.quote(start, end, claim.scores(judgement)[claim.verdict]))
                claim.reused &= judgement.reused


def _without_label(answer: Answer) -> Answer:
    if not answer.text or any(one.verification for one in answer.sentences):
        return answer  # the text is not written yet, or its sentences have verdicts instead
    return answer.noted("not verified: the answer does not say yes, no or maybe")


@dataclass(slots=True)
class _Claim:
    """An answer to verify, with the judgements so far.

    Attributes:
        reused: whether the answer and all judgements came from the cache.
        judged: the passages that the model could judge.
        quotes: sentences of the deciding passage, with the probability of the verdict as their score.
    """

    answer: Answer
    reused: bool
    judged: list[tuple[Passage, Judgement]] = field(default_factory=list)
    quotes: list[Citation] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def statement(self) -> str:
        return answer_statement(self.answer.question, "yes")

    @property
    def _deciding(self) -> tuple[Passage, Judgement]:
        return max(self.judged, key=lambda pair: strength(self.scores(pair[1])))

    @property
    def passage(self) -> Passage:
        """The passage with the clearest judgement; at least one passage must be judged."""
        return self._deciding[0]

    @property
    def verdict(self) -> Verdict:
        return most_probable(self.scores(self._deciding[1])) if self.judged else "not enough evidence"

    def scores(self, judgement: Judgement) -> dict[Verdict, float]:
        """Probabilities of the verdicts on the answer, given a judgement of the statement that the answer is yes."""
        scores = verdict_scores(judgement)
        yes, no = scores["supported"], scores["contradicted"]
        match self.answer.label:
            case "no":
                return scores | {"supported": no, "contradicted": yes}
            case "maybe":
                return scores | {"supported": 0.0, "contradicted": yes + no}
        return scores

    def verified(self) -> Answer:
        """The answer with its verdict; without a verdict if it has passages and none of them could be judged."""
        verification = Verification(statement=self.statement)
        if self.judged:
            passage, judgement = self._deciding
            self.notes += [f"verification: {note}" for note in judgement.notes]
            verification = Verification(
                statement=self.statement,
                scores=self.scores(judgement) if judgement.label_scores else {},
                passage_id=passage.id,
                sentence=max(self.quotes, key=lambda quote: quote.score, default=None),
            )
        elif self.answer.passages:
            return self.answer.noted(*self.notes, reused=self.reused)
        else:
            self.notes.append("there was no passage to verify the answer against")
        return self.answer.noted(*self.notes, reused=self.reused, verdict=self.verdict, verification=verification)


def verified_chain(
    chain: AnswerChain, model: NLIModel, *, verify: Verify, wider: Sequence[AnswerChain] = ()
) -> AnswerChain:
    """A chain that verifies the answers of ``chain`` with an entailment model (``Verifier``).

    An answer is unsupported if its verdict is not ``supported``, or if it has no verdict. The quotes of an extractive
    chain claim nothing: they have no verdict, and no policy changes them.

    Args:
        chain: a chain that answers with yes, no or maybe.
        model: an NLI model with the labels entailment, neutral and contradiction.
        verify: the policy. ``report`` returns every answer with its verdict. ``retry`` asks the chains of ``wider`` if
            the answer is unsupported. It returns the first supported answer with a note; if there is none, it returns
            the first answer with a note. ``abstain`` moves an unsupported answer to ``withheld``. ``prune`` does the
            same, since a label is a single claim, from which nothing can be removed. ``off`` returns ``chain`` itself.
        wider: for ``retry``, chains that read more passages than ``chain``. The chain with the fewest comes first
            (``more_passages``).

    Raises:
        UserError: the model has other labels, the policy is unknown, or ``retry`` has no wider chain.
    """
    check_choices(verify=(verify, Verify))
    if verify == "off":
        return chain
    if verify == "retry" and not wider:
        raise UserError(
            "chain.verify is retry, but there are no more passages to ask again with. Set chain.context to retrieved "
            "and the retriever's top_k above chain.passages, or set chain.verify to report or abstain."
        )
    verifier = Verifier(model)
    verified = MappedChain(chain, verifier.verify)
    if verify == "retry":
        return RetryingChain(verified, [MappedChain(one, verifier.verify) for one in wider])
    if verify == "report":
        return verified
    return MappedChain(verified, lambda answers: [withhold(one) if _unsupported(one) else one for one in answers])


def more_passages(passages: int, limit: int) -> list[int]:
    """The numbers of passages for asking again: ``passages`` doubled repeatedly, and at last ``limit``."""
    counts: list[int] = []
    while passages < limit:
        passages = min(2 * passages, limit)
        counts.append(passages)
    return counts


@dataclass(eq=False)
class RetryingChain(AnswerChain):
    """The chain of the policy ``retry``; ``chain`` and ``wider`` verify their answers."""

    chain: AnswerChain
    wider: Sequence[AnswerChain]

    def answer_all(self, questions: Sequence[Question]) -> list[Answer | UserError]:
        """Ask the wider chains, one after the other, the questions that have no supported answer yet."""
        results = self.chain.answer_all(questions)
        unsupported = {index: answer for index, answer in enumerate(results) if _unsupported(answer)}
        most_passages = {index: len(answer.passages) for index, answer in unsupported.items()}  # of any attempt so far
        reused = {index: answer.reused for index, answer in unsupported.items()}
        for chain in self.wider:
            if not unsupported:
                break
            retried = chain.answer_all([questions[index] for index in unsupported])
            for index, answer in zip(list(unsupported), retried, strict=True):
                if isinstance(answer, UserError):
                    continue
                most_passages[index] = max(most_passages[index], len(answer.passages))
                reused[index] = reused[index] and answer.reused
                if answer.verdict == "supported":
                    reason = _retry_reason(unsupported.pop(index))
                    note = f"asked again with {count_passages(len(answer.passages))}: {reason}"
                    results[index] = answer.noted(note, reused=reused[index])
        for index, answer in unsupported.items():
            most = most_passages[index]
            has_more = most > len(answer.passages)
            tried = f"asked again with up to {most} passages" if has_more else "no more passages were found"
            results[index] = answer.noted(f"{tried}: no answer was supported", reused=reused[index])
        return results


def _unsupported(answer: Answer | UserError) -> TypeGuard[Answer]:
    """Whether a result is an unsupported answer. Quotes never are: they have neither label nor output."""
    if isinstance(answer, UserError) or (answer.label is None and answer.output is None):
        return False
    return answer.verdict != "supported"


def withhold(answer: Answer) -> Answer:
    """An abstention with the same passages, citations and verdict; its ``withheld`` is the answer."""
    searched = ", ".join(passage.id for passage in answer.passages) or "nothing"
    return answer.withhold(f"No answer is given: {_withholding_reason(answer)}. Searched: {searched}.")


def _withholding_reason(answer: Answer) -> str:
    if answer.sentences:
        count = sum(one.verdict != "supported" for one in answer.sentences)
        verb = "is" if count == 1 else "are"
        which = "none of its sentences is" if count == len(answer.sentences) else f"{count} of its sentences {verb} not"
        return f"{which} supported by the text that the model read"
    if answer.verdict is None:
        return "what the model answered could not be verified"
    unsupported = "contradicted" if answer.verdict == "contradicted" else "not supported"
    return f"what the model answered is {unsupported} by the text that it read"


def _retry_reason(first: Answer) -> str:
    passages = count_passages(len(first.passages))
    answer = f'the first answer, "{first.label}" from {passages}' if first.label else "the first answer"
    return f"{answer}, {_RETRY_REASONS.get(first.verdict, 'was not verified')}"
