"""Who makes a follow-up self-contained: rules of English, a language model, or nobody."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable

from chains.prompts import standalone_prompt
from chains.rewriting.followup_rules import Completed, complete

if TYPE_CHECKING:
    from chains.chat.turn import Turn

_LONGEST = 400  # characters that a question of a model's may have


class QuestionRewriter(Protocol):
    """Makes a message self-contained."""

    def __call__(self, history: "Sequence[Turn]", message: str) -> Completed:
        """The question that ``message`` asks after the turns of ``history``, understandable without them."""
        ...


def by_rules(history: "Sequence[Turn]", message: str) -> Completed:
    """By ``followup_rules.complete``: needs no model, and understands what its rules say."""
    return complete([turn.question for turn in history], message)


def as_it_stands(history: "Sequence[Turn]", message: str) -> Completed:  # noqa: ARG001  (every rewriter is called so)
    """The message itself."""
    return Completed(" ".join(message.split()))


class ByModel:
    """A language model writes the question; where it writes none, ``by_rules`` does.

    Only the first line of what it writes is taken, and it is searched for, never followed.

    Args:
        model: from chat messages to what it writes, a LangChain chat model for instance.
        clean: blanks out what must not come into a prompt, see ``chains.models.prompt_sanitizing.Cleaner``.
    """

    def __init__(self, model: Runnable[Any, BaseMessage | str], clean: Callable[[str], str] = str) -> None:
        self._model = model
        self._clean = clean

    def __call__(self, history: "Sequence[Turn]", message: str) -> Completed:
        """See ``QuestionRewriter``; the first message of a conversation is not rewritten."""
        message = " ".join(message.split())
        if not history:
            return Completed(message)
        said = [(self._clean(turn.message), self._clean(turn.text)) for turn in history]
        written = self._model.invoke(standalone_prompt(said, self._clean(message)))
        question = _first_line(written if isinstance(written, str) else str(written.text))
        if question is None:
            made = by_rules(history, message)
            note = "the model wrote no question; its place was taken by rules"
            return Completed(made.question, f"{note}: {made.note}" if made.note else note)
        return Completed(question, None if question == message else f"read as: {question}")


def _first_line(written: str) -> str | None:
    for line in written.splitlines():
        text = line.strip().strip("\"'`*").strip()
        _, label, rest = text.partition(":")
        if label and _.lower() in ("question", "standalone question", "rewritten question"):
            text = rest.strip()
        if any(map(str.isalnum, text)):
            return text if len(text) <= _LONGEST else None
    return None
