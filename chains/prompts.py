"""What is asked of a model: one wording for each model family, the same in training, evaluation and use.

Llama-2 chat tends to answer at length and Gemma to answer "it depends", so each is told what it tends to forget. The
generic wording is the one medground-tiny is trained on: changing it means training that model again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

from chains.config import Family
from chains.models.prompt_sanitizing import DATA_RULE, fence

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


def rewriting_prompt(family: PromptFamily, question: str, count: int, *, system: str | None = None) -> Messages:
    """The chat messages that ask for ``count`` other wordings of ``question``, one a line in the assistant's turn."""
    ways = "one other way" if count == 1 else f"{count} other ways"
    asked = (
        f"Put this medical question in {ways}. Keep its meaning; use synonyms, full names for abbreviations, and "
        "abbreviations for full names. Write one question a line and nothing else."
    )
    cue = {"gemma": "\n\nThe questions:", "llama2": "\n\nAnswer:", "generic": ""}[family]
    messages = [{"role": "user", "content": f"{asked}\n\nQuestion: {question}{cue}"}]
    return messages if not system else [{"role": "system", "content": system}, *messages]


def standalone_prompt(said: Sequence[tuple[str, str]], message: str) -> Messages:
    """The chat messages that ask for ``message`` as a question that needs nothing of what was said before it.

    What was said is fenced: an answer may quote documents. The question is the first line of the assistant's turn.
    """
    before = fence([f"User: {user}\nAssistant: {text}" for user, text in said])
    asked = (
        f"{DATA_RULE}\n\nA user asked a follow-up question. Write it so that it can be understood without the "
        "conversation: name what its pronouns stand for and add what it leaves out. Change nothing else, and do not "
        "answer it. If it can be understood as it is, repeat it. Write one line, the question and nothing else."
    )
    return [{"role": "user", "content": f"{asked}\n\nConversation:\n{before}\n\nFollow-up question: {message}"}]


def written_prompt(
    said: Sequence[tuple[str, str]],
    question: str,
    texts: Sequence[str],
    label: str | None,
    *,
    system: str | None = None,
) -> Messages:
    """The chat messages that ask for an answer in a few sentences, after the turns of a conversation.

    The texts are fenced in the user's turn; the system's turn holds rules only.

    Args:
        said: earlier turns, oldest first, as pairs of what the user said and what was answered.
        question: self-contained.
        texts: the passages to answer from, best first.
        label: the answer that was decided on, which the sentences are to explain; None where there is none.
        system: the user's own system text, before the rules.
    """
    rules = (
        f"{DATA_RULE}\n\nAnswer medical questions from the passages in the data alone, in one to three sentences. Put "
        "the number of the passage that says so in brackets after each statement, like [1]. If the passages do not "
        "answer the question, say that they do not."
    )
    messages = [{"role": "system", "content": f"{system}\n\n{rules}" if system else rules}]
    for user, text in said:
        messages += [{"role": "user", "content": user}, {"role": "assistant", "content": text}]
    decided = f"\n\nThe passages were read as: {label}. Explain that." if label else ""
    content = f"Passages:\n{fence(texts)}\n\nQuestion: {question}{decided}"
    return [*messages, {"role": "user", "content": content}]


def agent_rules(tools: Sequence[str]) -> str:
    """The system text of an agent that calls tools; it holds rules only, never text from a document."""
    return (
        f"{DATA_RULE}\n\nAnswer the user's medical question from the literature. Search with the tools "
        f"({', '.join(tools)}), in other words if the first search finds nothing that fits, and read what may answer "
        "the question. Then answer in one to three sentences from what you have read, and name the ids of the "
        "abstracts. If nothing that you found answers the question, say so."
    )
