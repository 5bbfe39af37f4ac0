"""A chain whose answers are checked, and what becomes of those that their passages do not support."""

from collections.abc import Sequence
from typing import Literal, TypeGuard, assert_never

from chains.answer import Answer, Withheld
from chains.config import Verify, check_choices
from chains.nli import NLIModel
from chains.runnable import AnswerChain, Question
from chains.verifier import Verifier
from common.errors import UserError


def verified_chain(
    chain: AnswerChain, model: NLIModel, *, verify: Verify, wider: Sequence[AnswerChain] = ()
) -> AnswerChain:
    """A chain that answers as ``chain`` does and has each answer judged by an entailment model.

    The verdicts are those of ``verifier.Verifier``; an answer is unsupported where its verdict is another than
    ``supported`` or it has none. Quotes, the answers of an extractive chain, say nothing of their own: they get no
    verdict, and every policy hands them on as they are.

    Args:
        chain: answers with yes, no or maybe.
        model: with the labels entailment, neutral and contradiction.
        verify: the policy. ``report`` gives every answer with its verdict. ``retry`` asks the question of ``wider``
            where the answer is unsupported, and gives the first supported answer, or else the one of ``chain``; notes
            tell. ``abstain`` moves an unsupported answer to ``withheld``, and its text says what was searched. ``off``
            gives back ``chain`` itself.
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
        verify: Literal["report", "retry", "abstain"],
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
            case "abstain":
                return [_withhold(answer) if _unsupported(answer) else answer for answer in answers]
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
                    kept[index] = _noted(answer, note, reused[index])
        for index, answer in waiting.items():
            asked = f"asked again with up to {most[index]} passages" if most[index] > len(answer.passages) else ""
            note = f"{asked or 'no more passages were found'}: no answer was supported"
            kept[index] = _noted(answer, note, reused[index])
        return kept


def _unsupported(answer: Answer | UserError) -> TypeGuard[Answer]:
    """Whether an answer claims something, or tries to, and has no support; quotes do not."""
    if isinstance(answer, UserError) or (answer.label is None and answer.output is None):
        return False
    return answer.verdict != "supported"


def _withhold(answer: Answer) -> Answer:
    """The same passages, citations and verdict without the answer, which is kept in ``withheld``."""
    searched = ", ".join(passage.id for passage in answer.passages) or "nothing"
    return answer.model_copy(
        update={
            "text": f"No answer is given: {_reason(answer)}. Searched: {searched}.",
            "label": None,
            "label_scores": {},
            "output": None,
            "withheld": Withheld(**{name: getattr(answer, name) for name in Withheld.model_fields}),
        }
    )


def _reason(answer: Answer) -> str:
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


def _noted(answer: Answer, note: str, reused: bool) -> Answer:
    return answer.model_copy(update={"notes": (*answer.notes, note), "reused": reused})
