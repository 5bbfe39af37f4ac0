"""What is asked of a model: one wording for each model family, the same in training, evaluation and use.

Llama-2 chat tends to answer at length and Gemma to answer "it depends", so each is told what it tends to forget. The
generic wording is the one medground-tiny is trained on: changing it means training that model again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

from chains.config import Family

Messages = list[dict[str, str]]
PromptFamily = Literal["gemma", "llama2", "generic"]


@dataclass(frozen=True, slots=True)
class _Wording:
    with_context: str
    without_context: str


_GENERIC = _Wording(
    with_context=(
        "Read the text and answer the question with yes, no or maybe.\n\nText:\n{context}\n\nQuestion: {question}"
    ),
    without_context="Answer the question with yes, no or maybe.\n\nQuestion: {question}",
)
_GEMMA = _Wording(
    with_context=(
        "Below is a text from a medical study, then a question about it. Reply with one word only, yes, no or maybe, "
        "as the text supports it.\n\nText:\n{context}\n\nQuestion: {question}\n\nOne-word reply:"
    ),
    without_context=(
        "Reply to this medical question with one word only: yes, no or maybe.\n\n"
        "Question: {question}\n\nOne-word reply:"
    ),
)
_LLAMA2 = _Wording(
    with_context=(
        "Decide the question at the end from this text alone.\n\nText:\n{context}\n\nQuestion:\n{question}\n\n"
        "Begin your answer with yes, no or maybe.\n\nAnswer:"
    ),
    without_context="Question:\n{question}\n\nBegin your answer with yes, no or maybe.\n\nAnswer:",
)


def qa_prompt(family: PromptFamily, question: str, context: str | None = None, system: str | None = None) -> Messages:
    """The chat messages that ask ``question``, with ``context`` to read where it is given.

    The answer ("yes", "no" or "maybe") is the assistant's turn and follows the chat template's generation prompt.

    Args:
        family: whose wording is used, see ``resolve_family``.
        question: the question, already cleaned.
        context: the text to answer from; several passages are joined by a blank line. None asks without a text.
        system: a system text before the user's turn.
    """
    wording = _wording(family)
    if context is None:
        content = wording.without_context.replace("{question}", question)
    else:
        before, after = wording.with_context.split("{context}")
        content = before + context + after.replace("{question}", question)
    messages = [{"role": "user", "content": content}]
    return messages if not system else [{"role": "system", "content": system}, *messages]


def _wording(family: PromptFamily) -> _Wording:
    match family:
        case "gemma":
            return _GEMMA
        case "llama2":
            return _LLAMA2
        case "generic":
            return _GENERIC
    assert_never(family)


def resolve_family(family: Family, model_type: str, name: str, chat_template: str) -> PromptFamily:
    """The wording's family; ``auto`` is decided by the architecture (``config.model_type``), the name and the template.

    Llama-2 shares its architecture with many models, so its name or its ``[INST]`` turns must tell.
    """
    if family != "auto":
        return family
    if model_type.startswith("gemma"):
        return "gemma"
    plain_name = name.lower().replace("-", "").replace("_", "").replace(" ", "")
    if model_type == "llama" and ("llama2" in plain_name or "[INST]" in chat_template):
        return "llama2"
    return "generic"


_MEANINGS = {
    "entailment": "it follows from the text",
    "contradiction": "the text rules it out",
    "neutral": "the text leaves it open",
}


@dataclass(frozen=True, slots=True)
class Shot:
    """An example pair with its label, as it is shown to a model before the pair that it is asked about."""

    premise: str
    hypothesis: str
    label: str


def nli_prompt(
    family: PromptFamily,
    premise: str,
    hypothesis: str,
    labels: Sequence[str],
    *,
    shots: Sequence[Shot] = (),
    system: str | None = None,
) -> Messages:
    """The chat messages that ask how ``hypothesis`` relates to ``premise``; each shot is a turn of its own, answered.

    The answer, one of ``labels``, is the assistant's turn and follows the chat template's generation prompt.
    """
    messages = [{"role": "system", "content": system}] if system else []
    for shot in shots:
        messages.append({"role": "user", "content": _nli_turn(family, shot.premise, shot.hypothesis, labels)})
        messages.append({"role": "assistant", "content": shot.label})
    return [*messages, {"role": "user", "content": _nli_turn(family, premise, hypothesis, labels)}]


def _nli_turn(family: PromptFamily, premise: str, hypothesis: str, labels: Sequence[str]) -> str:
    named = [f"{label} ({_MEANINGS[label]})" if label in _MEANINGS else label for label in labels]
    choice = f"{', '.join(named[:-1])} or {named[-1]}"
    asked = f"Read the text and say how the statement relates to it: {choice}."
    match family:
        case "gemma":
            asked, cue = f"{asked} Reply with that one word only.", "\n\nOne-word reply:"
        case "llama2":
            asked, cue = f"{asked} Begin your answer with that word.", "\n\nAnswer:"
        case "generic":
            cue = ""
        case _:
            assert_never(family)
    return f"{asked}\n\nText:\n{premise}\n\nStatement: {hypothesis}{cue}"


def answer_statement(question: str, answer: str) -> str:
    """The statement that ``answer`` is the answer to ``question``, for an entailment model to judge."""
    return f"{question.strip()} The answer is {answer}."
