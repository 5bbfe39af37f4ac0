"""Verification of answers against their passages with an NLI model, and the policies for unsupported answers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeGuard, assert_never

from chains.answer import Answer, Citation, Passage, Verdict, Verification, Withheld
from chains.config import Verify, check_choices
from chains.nli import Judgement, NLIModel
from chains.prompts import answer_statement
from chains.qa.base import AnswerChain, Question
from chains.verification.verdicts import check_judge, most_probable, verdict_scores
from common.errors import UserError
from corpus.sentences import sentence_spans


class Verifier:
    """Gives answers their verdicts by an entailment model.

    A question becomes the statement that its answer is yes (``prompts.answer_statement``), and this is judged against
    every passage of the answer, each as a whole. "yes" is ``supported`` where a passage entails the statement and
    ``contradicted`` where it rules it out; "no" the other way round, since models that learned from plain statements do
    not read "the answer is no". Where the statement is left open there is ``not enough evidence``, as there is where
    nothing was read. The passage that speaks most clearly for or against the answer decides.

    "maybe" claims that the passages leave the question open, and no model of entailment can tell a study that was
    inconclusive from one that is about something else. So a passage that decides the question, either way, contradicts
    "maybe"; where all leave it open there is not enough evidence. A "maybe" is never supported.

    An answer without a label claims nothing that could be judged, be it generated text that names none or the quotes
    of an extractive chain: its verdict is None, and a note says why.

    Args:
        model: with the labels entailment, neutral and contradiction.

    Raises:
        UserError: the model's labels are others.
    """

    def __init__(self, model: NLIModel) -> None:
        check_judge(model, "An answer is verified")
        self._model = model

    def verify(self, answers: Sequence[Answer]) -> list[Answer]:
        """The answers with ``verdict`` and ``verification``, in order.

        All are judged in two passes through the model: every passage, then every sentence of the passages that decide
        for or against an answer. A passage that the model cannot judge is left out, and a note says so.
        """
        verified = list(answers)
        claims: dict[int, _Claim] = {}
        for index, answer in enumerate(answers):
            if answer.label is None and (not answer.text or any(one.verification for one in answer.sentences)):
                continue  # a text that is written later, or whose sentences were judged
            if answer.label is None:
                verified[index] = _noted(answer, "not verified: the answer does not say yes, no or maybe")
            else:
                claims[index] = _Claim(answer, answer_statement(answer.question, "yes"), reused=answer.reused)
        decided = self._by_sentence(self._by_passage(list(claims.values())))
        for index, claim in zip(claims, decided, strict=True):
            verified[index] = claim.verified()
        return verified

    def _by_passage(self, claims: Sequence["_Claim"]) -> list["_Claim"]:
        """Each claim with the passage that decides it."""
        judgements = self._judge([(passage.text, claim) for claim in claims for passage in claim.answer.passages])
        decided = []
        for claim in claims:
            notes: list[str] = []
            read: list[tuple[Passage, Judgement]] = []
            reused = claim.reused
            for passage in claim.answer.passages:
                judgement = next(judgements)
                if isinstance(judgement, UserError):
                    notes.append(f"not verified against passage {passage.id}: {judgement}")
                else:
                    read.append((passage, judgement))
                    reused = reused and judgement.reused
            if read:
                passage, judgement = max(read, key=lambda pair: claim.clarity(pair[1]))
                notes += [f"verification: {note}" for note in judgement.notes]
                claim = replace(claim, passage=passage, judgement=judgement)
            elif not claim.answer.passages:
                notes.append("there was no passage to verify the answer against")
            decided.append(replace(claim, notes=tuple(notes), reused=reused))
        return decided

    def _by_sentence(self, claims: Sequence["_Claim"]) -> list["_Claim"]:
        """Each claim that a passage decides for or against with the sentence that speaks most for the verdict."""
        spans = [
            sentence_spans(claim.passage.text) if claim.passage and claim.verdict != "not enough evidence" else []
            for claim in claims
        ]
        judgements = self._judge(
            [
                (claim.passage.text[start:end], claim)
                for claim, sentences in zip(claims, spans, strict=True)
                for start, end in sentences
                if claim.passage
            ]
        )
        decided = []
        for claim, sentences in zip(claims, spans, strict=True):
            told = [(span, next(judgements)) for span in sentences]
            judged = [(span, judgement) for span, judgement in told if isinstance(judgement, Judgement)]
            quotes = [claim.quote(*span, judgement) for span, judgement in judged]
            best = max(quotes, key=lambda quote: quote.score, default=None)
            reused = claim.reused and all(judgement.reused for _, judgement in judged)
            decided.append(replace(claim, sentence=best, reused=reused))
        return decided

    def _judge(self, pairs: Sequence[tuple[str, "_Claim"]]) -> Iterator[Judgement | UserError]:
        return iter(self._model.judge([(text, claim.statement) for text, claim in pairs]))


@dataclass(frozen=True, slots=True)
class _Claim:
    """What an answer claims of a statement; ``judgement`` is that of ``passage``, which decides by ``sentence``."""

    answer: Answer
    statement: str
    passage: Passage | None = None
    judgement: Judgement | None = None
    sentence: Citation | None = None
    notes: tuple[str, ...] = ()
    reused: bool = False

    @property
    def verdict(self) -> Verdict:
        """The most probable verdict; among equals the one that says less."""
        if self.judgement is None:
            return "not enough evidence"
        return most_probable(self.scores(self.judgement))

    def scores(self, judgement: Judgement) -> dict[Verdict, float]:
        """A judgement of the statement as probabilities of the verdicts; a written label has all of it."""
        scores = verdict_scores(judgement)
        entailed, ruled_out = scores["supported"], scores["contradicted"]
        match self.answer.label:
            case "no":
                return scores | {"supported": ruled_out, "contradicted": entailed}
            case "maybe":
                return scores | {"supported": 0.0, "contradicted": entailed + ruled_out}
        return scores

    def clarity(self, judgement: Judgement) -> float:
        """How clearly a passage speaks for or against the answer."""
        scores = self.scores(judgement)
        return max(scores["supported"], scores["contradicted"])

    def quote(self, start: int, end: int, judgement: Judgement) -> Citation:
        """A sentence of the passage; its score is the verdict's probability by that sentence alone."""
        assert self.passage is not None
        return Citation(
            passage_id=self.passage.id,
            quote=self.passage.text[start:end],
            start=start,
            end=end,
            score=self.scores(judgement)[self.verdict],
        )

    def verified(self) -> Answer:
        """The answer with its verdict; without one where there were passages and none could be judged."""
        answer = _noted(self.answer, *self.notes).model_copy(update={"reused": self.reused})
        if self.judgement is None and answer.passages:
            return answer
        verification = Verification(
            statement=self.statement,
            scores=self.scores(self.judgement) if self.judgement and self.judgement.label_scores else {},
            passage_id=self.passage.id if self.passage else None,
            sentence=self.sentence,
        )
        return answer.model_copy(update={"verdict": self.verdict, "verification": verification})


def _noted(answer: Answer, *notes: str) -> Answer:
    return answer.model_copy(update={"notes": (*answer.notes, *notes)})


def verified_chain(
    chain: AnswerChain, model: NLIModel, *, verify: Verify, wider: Sequence[AnswerChain] = ()
) -> AnswerChain:
    """A chain that answers as ``chain`` does and has each answer judged by an entailment model.

    The verdicts are those of ``Verifier``; an answer is unsupported where its verdict is another than
    ``supported`` or it has none. Quotes, the answers of an extractive chain, say nothing of their own: they get no
    verdict, and every policy hands them on as they are.

    Args:
        chain: answers with yes, no or maybe.
        model: with the labels entailment, neutral and contradiction.
        verify: the policy. ``report`` gives every answer with its verdict. ``retry`` asks the question of ``wider``
            where the answer is unsupported, and gives the first supported answer, or else the one of ``chain``; notes
            tell. ``abstain`` moves an unsupported answer to ``withheld``, and its text says what was searched; so does
            ``prune``, since a label has one claim only. ``off`` gives back ``chain`` itself.
        wider: for ``retry``, chains like ``chain`` that read more passages, the fewest first; see ``more_passages``.

    Raises:
        UserError: the model's labels are others, there is no such policy, or ``retry`` has no wider chain.
    """
    check_choices(verify=(verify, Verify))
    if verify == "off":
        return chain
    if verify == "retry" and not wider:
        raise UserError(
            "chain.verify is retry, but there are no more passages to ask again with. Set chain.context to retrieved "
            "and the retriever's top_k above chain.passages, or set chain.verify to report or abstain."
        )
    return VerifiedChain(chain, Verifier(model), verify, tuple(wider))


def more_passages(passages: int, most: int) -> list[int]:
    """With how many passages to ask again: ``passages`` doubled until ``most``, which comes last; none above it."""
    counts: list[int] = []
    while passages < most:
        passages = min(2 * passages, most)
        counts.append(passages)
    return counts


class VerifiedChain(AnswerChain):
    """See ``verified_chain``."""

    def __init__(
        self,
        chain: AnswerChain,
        verifier: Verifier,
        verify: Literal["report", "retry", "abstain", "prune"],
        wider: tuple[AnswerChain, ...],
    ) -> None:
        self._chain = chain
        self._verifier = verifier
        self._verify = verify
        self._wider = wider

    def answer_all(self, questions: Sequence[Question]) -> list[Answer | UserError]:
        """Answer all, verify all, and do as the policy says with those that are not supported."""
        answers = self._answers(self._chain, questions)
        match self._verify:
            case "report":
                return answers
            case "abstain" | "prune":
                return [withhold(answer) if _unsupported(answer) else answer for answer in answers]
            case "retry":
                return self._ask_again(questions, answers)
        assert_never(self._verify)

    def _answers(self, chain: AnswerChain, questions: Sequence[Question]) -> list[Answer | UserError]:
        answers = chain.answer_all(questions)
        verified = iter(self._verifier.verify([answer for answer in answers if isinstance(answer, Answer)]))
        return [next(verified) if isinstance(answer, Answer) else answer for answer in answers]

    def _ask_again(self, questions: Sequence[Question], answers: list[Answer | UserError]) -> list[Answer | UserError]:
        """One wider chain after the other, each with the questions that have no supported answer yet."""
        kept = list(answers)
        waiting = {index: answer for index, answer in enumerate(answers) if _unsupported(answer)}
        most = {index: len(answer.passages) for index, answer in waiting.items()}
        reused = {index: answer.reused for index, answer in waiting.items()}
        for chain in self._wider:
            if not waiting:
                break
            again = self._answers(chain, [questions[index] for index in waiting])
            for index, answer in zip(list(waiting), again, strict=True):
                if isinstance(answer, UserError):  # the answer from fewer passages stands
                    continue
                most[index] = max(most[index], len(answer.passages))
                reused[index] = reused[index] and answer.reused
                if answer.verdict == "supported":
                    note = f"asked again with {_passages(answer)}: {_outcome(waiting.pop(index))}"
                    kept[index] = _with_note(answer, note, reused[index])
        for index, answer in waiting.items():
            asked = f"asked again with up to {most[index]} passages" if most[index] > len(answer.passages) else ""
            note = f"{asked or 'no more passages were found'}: no answer was supported"
            kept[index] = _with_note(answer, note, reused[index])
        return kept


def _unsupported(answer: Answer | UserError) -> TypeGuard[Answer]:
    """Whether an answer claims something, or tries to, and has no support; quotes do not."""
    if isinstance(answer, UserError) or (answer.label is None and answer.output is None):
        return False
    return answer.verdict != "supported"


def withhold(answer: Answer) -> Answer:
    """The same passages, citations and verdict without the answer, which is kept in ``withheld``."""
    searched = ", ".join(passage.id for passage in answer.passages) or "nothing"
    return answer.model_copy(
        update={
            "text": f"No answer is given: {_reason(answer)}. Searched: {searched}.",
            "label": None,
            "label_scores": {},
            "output": None,
            "sentences": (),
            "withheld": Withheld(**{name: getattr(answer, name) for name in Withheld.model_fields}),
        }
    )


def _reason(answer: Answer) -> str:
    if answer.sentences:
        without = sum(one.verdict != "supported" for one in answer.sentences)
        what = "none of its sentences is" if without == len(answer.sentences) else f"{without} of its sentences are not"
        return f"{what} supported by the text that the model read"
    match answer.verdict:
        case "contradicted":
            return "what the model answered is contradicted by the text that it read"
        case "not enough evidence":
            return "what the model answered is not borne out by the text that it read"
        case _:
            return "what the model answered could not be verified"


def _outcome(first: Answer) -> str:
    said = f'the first answer, "{first.label}" from {_passages(first)}' if first.label else "the first answer"
    match first.verdict:
        case "contradicted":
            return f"{said}, was contradicted"
        case "not enough evidence":
            return f"{said}, had not enough evidence"
        case _:
            return f"{said}, was not verified"


def _passages(answer: Answer) -> str:
    count = len(answer.passages)
    return "1 passage" if count == 1 else f"{count} passages"


def _with_note(answer: Answer, note: str, reused: bool) -> Answer:
    return answer.model_copy(update={"notes": (*answer.notes, note), "reused": reused})
