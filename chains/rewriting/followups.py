"""Rewriters that make a follow-up question self-contained: rules, a language model, or none."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import Runnable

from chains.models.reasoning import answer_text
from chains.prompts import fenced_turns, standalone_template
from chains.rewriting.followup_rules import RewrittenQuestion, complete

if TYPE_CHECKING:
    from chains.chat.turn import Turn

_MAX_CHARACTERS = 400  # of a generated question


QuestionRewriter = Callable[["Sequence[Turn]", str], RewrittenQuestion]
"""Makes a message self-contained from the turns of a history."""


def by_rules(history: "Sequence[Turn]", message: str) -> RewrittenQuestion:
    """The question completed by ``followup_rules.complete``, without a model."""
    return complete([turn.question for turn in history], message)


def without_rewriting(history: "Sequence[Turn]", message: str) -> RewrittenQuestion:  # noqa: ARG001
    """The message with single spaces."""
    return RewrittenQuestion(" ".join(message.split()))


class ModelRewriter:
    """Lets a language model write the question; if the model writes none, the rules complete the message.

    The question becomes a search query, so only the first line after the model's reasoning is used.

    Args:
        model: maps chat messages to text, such as a LangChain chat model.
        clean: removes special tokens from texts in prompts.
    """

    def __init__(self, model: Runnable[Any, Any], clean: Callable[[str], str] = str) -> None:
        self.chain: Runnable[Any, str] = standalone_template() | model | StrOutputParser()
        self._clean = clean

    def __call__(self, history: "Sequence[Turn]", message: str) -> RewrittenQuestion:
        """The question; the first message of a conversation is not rewritten."""
        message = " ".join(message.split())
        if not history:
            return RewrittenQuestion(message)
        turns = [(self._clean(turn.message), self._clean(turn.text)) for turn in history]
        output = self.chain.invoke({"conversation": fenced_turns(turns), "message": self._clean(message)})
        question = _first_line(answer_text(output) or "")
        if question is None:
            completed = by_rules(history, message)
            note = "the model wrote no question; its place was taken by rules"
            return RewrittenQuestion(completed.question, f"{note}: {completed.note}" if completed.note else note)
        return RewrittenQuestion(question, None if question == message else f"read as: {question}")


def _first_line(text: str) -> str | None:
    """The first line with words, without quotation marks and label; None if no line has words or it is too long."""
    for line in text.splitlines():
        question = line.strip().strip("\"'`*").strip()
        label, colon, rest = question.partition(":")
        if colon and label.lower() in ("question", "standalone question", "rewritten question"):
            question = rest.strip()
        if any(map(str.isalnum, question)):
            return question if len(question) <= _MAX_CHARACTERS else None
    return None
