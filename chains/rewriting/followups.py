"""Rewriters that make a follow-up question self-contained: rules, a language model, or none."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import Runnable

from chains.prompts import fenced_turns, standalone_template
from chains.rewriting.followup_rules import Completed, complete

if TYPE_CHECKING:
    from chains.chat.turn import Turn

_LONGEST = 400  # characters of a generated question


QuestionRewriter = Callable[["Sequence[Turn]", str], Completed]
"""Makes a message self-contained after the turns of a history."""


def by_rules(history: "Sequence[Turn]", message: str) -> Completed:
    """The question completed by ``followup_rules.complete``, without a model."""
    return complete([turn.question for turn in history], message)


def as_it_stands(history: "Sequence[Turn]", message: str) -> Completed:  # noqa: ARG001  (a rewriter has a history)
    """The message itself."""
    return Completed(" ".join(message.split()))


class ByModel:
    """Has a language model write the question; if it writes none, the rules do.

    Only the first line of the generated text is used, as a search query.

    Args:
        model: from chat messages to text, such as a LangChain chat model.
        clean: removes special tokens from texts in prompts.
    """

    def __init__(self, model: Runnable[Any, Any], clean: Callable[[str], str] = str) -> None:
        self.chain: Runnable[Any, str] = standalone_template() | model | StrOutputParser()
        self._clean = clean

    def __call__(self, history: "Sequence[Turn]", message: str) -> Completed:
        """See ``QuestionRewriter``; the first message of a conversation is not rewritten."""
        message = " ".join(message.split())
        if not history:
            return Completed(message)
        said = [(self._clean(turn.message), self._clean(turn.text)) for turn in history]
        asked = {"conversation": fenced_turns(said), "message": self._clean(message)}
        question = _first_line(self.chain.invoke(asked))
        if question is None:
            made = by_rules(history, message)
            note = "the model wrote no question; its place was taken by rules"
            return Completed(made.question, f"{note}: {made.note}" if made.note else note)
        return Completed(question, None if question == message else f"read as: {question}")


def _first_line(written: str) -> str | None:
    for line in written.splitlines():
        text = line.strip().strip("\"'`*").strip()
        label, colon, rest = text.partition(":")
        if colon and label.lower() in ("question", "standalone question", "rewritten question"):
            text = rest.strip()
        if any(map(str.isalnum, text)):
            return text if len(text) <= _LONGEST else None
    return None
