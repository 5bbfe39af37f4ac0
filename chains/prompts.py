"""Prompts as LangChain chat prompt templates: one wording for each model family, the same in training and in use.

Llama-2 chat tends to answer at length and Gemma to answer "it depends", so each wording asks for the form that its
family tends to miss. medground-tiny is trained on the generic wording: whoever changes it must train that model again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, assert_never

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import Runnable, RunnableBranch

from chains.config import Family
from chains.models.prompt_sanitizing import DATA_RULE, fence

Messages = list[dict[str, str]]
"""A conversation as chat templates and servers take it: ``{"role": ..., "content": ...}`` for each turn."""
PromptFamily = Literal["gemma", "llama2", "generic"]
_ROLES = {"human": "user", "ai": "assistant", "system": "system"}


def as_dicts(messages: Sequence[BaseMessage]) -> Messages:
    """LangChain's messages as dictionaries with role and content."""
    return [{"role": _ROLES.get(message.type, message.type), "content": str(message.text)} for message in messages]


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


def qa_template(family: PromptFamily, system: str | None = None) -> Runnable[dict[str, Any], Any]:
    """The prompt of question answering, with the variables ``question`` and ``context``.

    The answer ("yes", "no" or "maybe") is the assistant's turn and follows the chat template's generation prompt. Where
    ``context`` is None the question is asked without a text.

    Args:
        family: whose wording is used, see ``resolve_family``.
        system: a system text before the user's turn.
    """
    wording = _wording(family)
    with_context, without = _template(wording.with_context, system), _template(wording.without_context, system)
    return RunnableBranch((lambda asked: asked["context"] is not None, with_context), without)


def qa_prompt(family: PromptFamily, question: str, context: str | None = None, system: str | None = None) -> Messages:
    """The messages of ``qa_template`` for one question, as dictionaries.

    Args:
        family: whose wording is used, see ``resolve_family``.
        question: the question, already cleaned.
        context: the text to answer from; several passages are joined by a blank line. None asks without a text.
        system: a system text before the user's turn.
    """
    wording = _wording(family)
    template = _template(wording.without_context if context is None else wording.with_context, system)
    return as_dicts(template.format_messages(question=question, context=context))


def _template(user: str, system: str | None = None) -> ChatPromptTemplate:
    return ChatPromptTemplate.from_messages([*_system(system), ("human", user)])


def _system(text: str | None) -> list[SystemMessage]:
    """A system turn as a message, since its text may hold braces."""
    return [SystemMessage(text)] if text else []


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


def nli_template(family: PromptFamily, labels: Sequence[str], system: str | None = None) -> ChatPromptTemplate:
    """The prompt of inference, with the variables ``premise``, ``hypothesis`` and ``shots`` (see ``shot_turns``).

    The answer, one of ``labels``, is the assistant's turn and follows the chat template's generation prompt.
    """
    asked, cue = _nli_wording(family, labels)
    shots = MessagesPlaceholder("shots", optional=True)
    template = ChatPromptTemplate.from_messages([*_system(system), shots, ("human", _NLI_TURN)])
    return template.partial(asked=asked, cue=cue)


def shot_turns(family: PromptFamily, labels: Sequence[str], shots: Sequence[Shot]) -> list[BaseMessage]:
    """Each shot as a user's turn and the assistant's answer to it."""
    asked, cue = _nli_wording(family, labels)
    turns: list[BaseMessage] = []
    for shot in shots:
        user = _NLI_TURN.format(asked=asked, premise=shot.premise, hypothesis=shot.hypothesis, cue=cue)
        turns += [HumanMessage(user), AIMessage(shot.label)]
    return turns


def nli_prompt(
    family: PromptFamily,
    premise: str,
    hypothesis: str,
    labels: Sequence[str],
    *,
    shots: Sequence[Shot] = (),
    system: str | None = None,
) -> Messages:
    """The messages of ``nli_template`` for one pair, as dictionaries."""
    template = nli_template(family, labels, system)
    turns = shot_turns(family, labels, shots)
    return as_dicts(template.format_messages(premise=premise, hypothesis=hypothesis, shots=turns))


_NLI_TURN = "{asked}\n\nText:\n{premise}\n\nStatement: {hypothesis}{cue}"


def _nli_wording(family: PromptFamily, labels: Sequence[str]) -> tuple[str, str]:
    """The instruction, and the words after the statement."""
    named = [f"{label} ({_MEANINGS[label]})" if label in _MEANINGS else label for label in labels]
    choice = f"{', '.join(named[:-1])} or {named[-1]}"
    asked = f"Read the text and say how the statement relates to it: {choice}."
    match family:
        case "gemma":
            return f"{asked} Reply with that one word only.", "\n\nOne-word reply:"
        case "llama2":
            return f"{asked} Begin your answer with that word.", "\n\nAnswer:"
        case "generic":
            return asked, ""
    assert_never(family)


def answer_statement(question: str, answer: str) -> str:
    """The statement that ``answer`` is the answer to ``question``, for an entailment model to judge."""
    return f"{question.strip()} The answer is {answer}."


def rewriting_template(family: PromptFamily, system: str | None = None) -> ChatPromptTemplate:
    """The prompt that asks for other wordings of ``question``, one a line; ``ways`` comes from ``number_of_ways``."""
    asked = (
        "Put this medical question in {ways}. Keep its meaning; use synonyms, full names for abbreviations, and "
        "abbreviations for full names. Write one question a line and nothing else."
    )
    cue = {"gemma": "\n\nThe questions:", "llama2": "\n\nAnswer:", "generic": ""}[family]
    return _template(f"{asked}\n\nQuestion: {{question}}{cue}", system)


def number_of_ways(count: int) -> str:
    """How many wordings ``rewriting_template`` asks for, in words."""
    return "one other way" if count == 1 else f"{count} other ways"


def standalone_template() -> ChatPromptTemplate:
    """The prompt that asks for ``message`` as a question that is understood without the ``conversation`` before it.

    ``conversation`` is fenced (``fenced_turns``), since an answer may quote documents. The question is the first line
    of the assistant's turn.
    """
    return _template(
        f"{DATA_RULE}\n\nA user asked a follow-up question. Write it so that it can be understood without the "
        "conversation: name what its pronouns stand for and add what it leaves out. Change nothing else, and do not "
        "answer it. If it can be understood as it is, repeat it. Write one line, the question and nothing else.\n\n"
        "Conversation:\n{conversation}\n\nFollow-up question: {message}"
    )


def fenced_turns(said: Sequence[tuple[str, str]]) -> str:
    """Earlier turns, pairs of question and answer, as fenced data."""
    return fence([f"User: {user}\nAssistant: {text}" for user, text in said])


def answer_template(system: str | None = None) -> ChatPromptTemplate:
    """The prompt of an answer in a few sentences, after the turns of a conversation.

    The variables are ``history`` (messages), ``passages`` (fenced), ``question`` (self-contained) and ``decision`` (see
    ``explain``). The passages stand in the user's turn; the system's turn holds rules only.

    Args:
        system: the user's own system text, before the rules.
    """
    rules = (
        f"{DATA_RULE}\n\nAnswer medical questions from the passages in the data alone, in one to three sentences. Put "
        "the number of the passage that says so in brackets after each statement, like [1]. If the passages do not "
        "answer the question, say that they do not."
    )
    return ChatPromptTemplate.from_messages(
        [
            *_system(f"{system}\n\n{rules}" if system else rules),
            MessagesPlaceholder("history", optional=True),
            ("human", "Passages:\n{passages}\n\nQuestion: {question}{decision}"),
        ]
    )


def summary_template(system: str | None = None) -> ChatPromptTemplate:
    """The prompt of an evidence summary, with the variables ``question`` and ``passage`` (fenced).

    Args:
        system: the user's own system text, before the rules.
    """
    rules = (
        f"{DATA_RULE}\n\nSummarize what the text in the data says that bears on the question, in at most three "
        "sentences. Keep its numbers, populations and directions of effects, and add nothing to it. Then write on a "
        'line of its own "Relevance: " and a whole number from 0 (the text does not bear on the question) to 10 (the '
        "text answers the question)."
    )
    return ChatPromptTemplate.from_messages(
        [*_system(f"{system}\n\n{rules}" if system else rules), ("human", "Question: {question}\n\n{passage}")]
    )


def explain(label: str | None) -> str:
    """The request to explain the label that was decided on; empty where there is none."""
    return f"\n\nThe passages were read as: {label}. Explain that." if label else ""


def history_turns(said: Sequence[tuple[str, str]]) -> list[BaseMessage]:
    """Earlier turns, pairs of question and answer, oldest first, as messages."""
    return [turn for user, text in said for turn in (HumanMessage(user), AIMessage(text))]


def agent_rules(tools: Sequence[str]) -> str:
    """The system text of an agent that calls tools; it holds rules only, never text from a document."""
    return (
        f"{DATA_RULE}\n\nAnswer the user's medical question from the literature. Search with the tools "
        f"({', '.join(tools)}), in other words if the first search finds nothing that fits, and read what may answer "
        "the question. Then answer in one to three sentences from what you have read, and put the number of the "
        "abstract that says so in brackets after each statement, like [1]. If nothing that you found answers the "
        "question, say so."
    )
