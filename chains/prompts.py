"""LangChain chat prompt templates: one wording per model family, the same in training and inference.

Llama-2 chat tends to answer at length and Gemma tends to answer "it depends"; their wordings counter that.
medground-tiny is trained on the generic wording and must be trained again if that wording changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import Runnable, RunnableBranch

from chains.config import Family
from chains.models.prompt_sanitizing import DATA_RULE, fence

Messages = list[dict[str, str]]
"""A conversation in the format of chat templates and servers: ``{"role": ..., "content": ...}`` for each turn."""
PromptFamily = Literal["gemma", "llama2", "generic"]
_ROLES = {"human": "user", "ai": "assistant", "system": "system"}


def as_dicts(messages: Sequence[BaseMessage]) -> Messages:
    """LangChain's messages as dictionaries with role and content."""
    return [{"role": _ROLES.get(message.type, message.type), "content": str(message.text)} for message in messages]


# By family: the user's turn with a context, and without a context.
_QA_TURNS: dict[PromptFamily, tuple[str, str]] = {
    "generic": (
        "Read the text and answer the question with yes, no or maybe.\n\nText:\n{context}\n\nQuestion: {question}",
        "Answer the question with yes, no or maybe.\n\nQuestion: {question}",
    ),
    "gemma": (
        "Below is a text from a medical study, then a question about it. Reply with one word only, yes, no or maybe, "
        "as the text supports it.\n\nText:\n{context}\n\nQuestion: {question}\n\nOne-word reply:",
        "Reply to this medical question with one word only: yes, no or maybe.\n\n"
        "Question: {question}\n\nOne-word reply:",
    ),
    "llama2": (
        "Decide the question at the end from this text alone.\n\nText:\n{context}\n\nQuestion:\n{question}\n\n"
        "Begin your answer with yes, no or maybe.\n\nAnswer:",
        "Question:\n{question}\n\nBegin your answer with yes, no or maybe.\n\nAnswer:",
    ),
}
# By family: the end of the instruction, and the words after the statement.
_NLI_ENDS: dict[PromptFamily, tuple[str, str]] = {
    "generic": ("", ""),
    "gemma": (" Reply with that one word only.", "\n\nOne-word reply:"),
    "llama2": (" Begin your answer with that word.", "\n\nAnswer:"),
}


def qa_template(family: PromptFamily, system: str | None = None) -> Runnable[dict[str, Any], Any]:
    """The prompt of question answering, with the variables ``question`` and ``context`` (None for no text).

    The answer ("yes", "no" or "maybe") is the assistant's turn and follows the chat template's generation prompt.
    """
    with_context, without_context = (_template(turn, system) for turn in _QA_TURNS[family])
    return RunnableBranch((lambda variables: variables["context"] is not None, with_context), without_context)


def qa_prompt(family: PromptFamily, question: str, context: str | None = None, system: str | None = None) -> Messages:
    """The messages of ``qa_template`` for one question, as dictionaries."""
    template = _template(_QA_TURNS[family][context is None], system)
    return as_dicts(template.format_messages(question=question, context=context))


def _template(user: str, system: str | None = None) -> ChatPromptTemplate:
    return ChatPromptTemplate.from_messages([*_system(system), ("human", user)])


def _system(text: str | None) -> list[SystemMessage]:
    """The system turn as a message, not a template, since its text may contain braces."""
    return [SystemMessage(text)] if text else []


def _rules(rules: str, system: str | None) -> list[SystemMessage]:
    """The system turn: the user's system text, then the rules."""
    return _system(f"{system}\n\n{rules}" if system else rules)


def resolve_family(family: Family, model_type: str, name: str, chat_template: str) -> PromptFamily:
    """The prompt family; ``auto`` is decided by the architecture (``config.model_type``), the name and the template.

    Llama-2 shares its architecture with many models, so it is recognised by its name or its ``[INST]`` turns.
    """
    if family != "auto":
        return family
    if model_type.startswith("gemma"):
        return "gemma"
    plain_name = name.lower().replace("-", "").replace("_", "").replace(" ", "")
    if model_type == "llama" and ("llama2" in plain_name or "[INST]" in chat_template):
        return "llama2"
    return "generic"


_LABEL_MEANINGS = {
    "entailment": "it follows from the text",
    "contradiction": "the text rules it out",
    "neutral": "the text leaves it open",
}


@dataclass(frozen=True, slots=True)
class Shot:
    """A few-shot example: a pair with its label."""

    premise: str
    hypothesis: str
    label: str


def nli_template(family: PromptFamily, labels: Sequence[str], system: str | None = None) -> ChatPromptTemplate:
    """The prompt of inference, with the variables ``premise``, ``hypothesis`` and ``shots`` (see ``shot_turns``).

    The answer, one of ``labels``, is the assistant's turn and follows the chat template's generation prompt.
    """
    shots = MessagesPlaceholder("shots", optional=True)
    template = ChatPromptTemplate.from_messages([*_system(system), shots, ("human", _NLI_TURN)])
    return template.partial(**_nli_wording(family, labels))


def shot_turns(family: PromptFamily, labels: Sequence[str], shots: Sequence[Shot]) -> list[BaseMessage]:
    """Each shot as a user's turn and the assistant's answer to it."""
    wording = _nli_wording(family, labels)
    return history_turns(
        [(_NLI_TURN.format(**wording, premise=shot.premise, hypothesis=shot.hypothesis), shot.label) for shot in shots]
    )


def nli_prompt(
    family: PromptFamily, premise: str, hypothesis: str, labels: Sequence[str], *, system: str | None = None
) -> Messages:
    """The messages of ``nli_template`` for one pair, as dictionaries."""
    return as_dicts(nli_template(family, labels, system).format_messages(premise=premise, hypothesis=hypothesis))


_NLI_TURN = "{instruction}\n\nText:\n{premise}\n\nStatement: {hypothesis}{cue}"


def _nli_wording(family: PromptFamily, labels: Sequence[str]) -> dict[str, str]:
    """The variables ``instruction`` and ``cue`` of ``_NLI_TURN``."""
    explained = [f"{label} ({_LABEL_MEANINGS[label]})" if label in _LABEL_MEANINGS else label for label in labels]
    choice = f"{', '.join(explained[:-1])} or {explained[-1]}"
    end, cue = _NLI_ENDS[family]
    return {"instruction": f"Read the text and say how the statement relates to it: {choice}.{end}", "cue": cue}


def answer_statement(question: str, answer: str) -> str:
    """The hypothesis "QUESTION The answer is ANSWER." for an NLI model."""
    return f"{question.strip()} The answer is {answer}."


def rewriting_template(family: PromptFamily, system: str | None = None) -> ChatPromptTemplate:
    """The prompt for other wordings of ``question``, one per line; ``ways`` comes from ``number_of_ways``."""
    instruction = (
        "Put this medical question in {ways}. Keep its meaning; use synonyms, full names for abbreviations, and "
        "abbreviations for full names. Write one question a line and nothing else."
    )
    cue = {"gemma": "\n\nThe questions:", "llama2": "\n\nAnswer:", "generic": ""}[family]
    return _template(f"{instruction}\n\nQuestion: {{question}}{cue}", system)


def number_of_ways(count: int) -> str:
    """The variable ``ways`` of ``rewriting_template`` for ``count`` wordings."""
    return "one other way" if count == 1 else f"{count} other ways"


def standalone_template() -> ChatPromptTemplate:
    """The prompt that asks to rewrite ``message`` as a question that is clear without the ``conversation``.

    ``conversation`` is fenced (``fenced_turns``), since an answer may quote documents. The question is the first line
    of the assistant's turn.
    """
    return _template(
        f"{DATA_RULE}\n\nA user asked a follow-up question. Write it so that it can be understood without the "
        "conversation: name what its pronouns stand for and add what it leaves out. Change nothing else, and do not "
        "answer it. If it can be understood as it is, repeat it. Write one line, the question and nothing else.\n\n"
        "Conversation:\n{conversation}\n\nFollow-up question: {message}"
    )


def fenced_turns(turns: Sequence[tuple[str, str]]) -> str:
    """Earlier turns, pairs of question and answer, as fenced data."""
    return fence([f"User: {question}\nAssistant: {answer}" for question, answer in turns])


def answer_template(system: str | None = None) -> ChatPromptTemplate:
    """The prompt for an answer in a few sentences, after the turns of a conversation.

    The variables are ``history`` (messages), ``passages`` (fenced), ``question`` (self-contained) and ``decision``
    (``explanation_request``). The passages are in the user's turn; the system turn is the text ``system`` and rules.
    """
    rules = (
        f"{DATA_RULE}\n\nAnswer medical questions from the passages in the data alone, in one to three sentences. Put "
        "the number of the passage that says so in brackets after each statement, like [1]. If the passages do not "
        "answer the question, say that they do not."
    )
    history = MessagesPlaceholder("history", optional=True)
    turn = "Passages:\n{passages}\n\nQuestion: {question}{decision}"
    return ChatPromptTemplate.from_messages([*_rules(rules, system), history, ("human", turn)])


def summary_template(system: str | None = None) -> ChatPromptTemplate:
    """The prompt of an evidence summary, with the variables ``question`` and ``passage`` (fenced)."""
    rules = (
        f"{DATA_RULE}\n\nSummarize what the text in the data says that bears on the question, in at most three "
        "sentences. Keep its numbers, populations and directions of effects, and add nothing to it. Then write on a "
        'line of its own "Relevance: " and a whole number from 0 (the text does not bear on the question) to 10 (the '
        "text answers the question)."
    )
    return ChatPromptTemplate.from_messages([*_rules(rules, system), ("human", "Question: {question}\n\n{passage}")])


def explanation_request(label: str | None) -> str:
    """The end of the user's turn, which asks to explain the chosen label; empty without a label."""
    return f"\n\nThe passages were read as: {label}. Explain that." if label else ""


def history_turns(turns: Sequence[tuple[str, str]]) -> list[BaseMessage]:
    """Earlier turns, pairs of question and answer, oldest first, as messages."""
    return [message for question, answer in turns for message in (HumanMessage(question), AIMessage(answer))]


def agent_rules(tools: Sequence[str]) -> str:
    """The system text of an agent that calls tools: rules only, never text from a document."""
    return (
        f"{DATA_RULE}\n\nAnswer the user's medical question from the literature. Search with the tools "
        f"({', '.join(tools)}), in other words if the first search finds nothing that fits, and read what may answer "
        "the question. Then answer in one to three sentences from what you have read, and put the number of the "
        "abstract that says so in brackets after each statement, like [1]. If nothing that you found answers the "
        "question, say so."
    )
