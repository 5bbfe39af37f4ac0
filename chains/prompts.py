"""What is asked of a model: one wording for each model family, the same in training, evaluation and use.

Llama-2 chat tends to answer at length and Gemma to answer "it depends", so each is told what it tends to forget. The
generic wording is the one medground-tiny is trained on: changing it means training that model again.
"""

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
