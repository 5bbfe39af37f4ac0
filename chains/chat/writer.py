"""Written answers: a chain of prompt and model that streams sentences with the numbers of passages."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from langchain_core.runnables import Runnable

from chains.answer import Answer
from chains.chat.turn import Turn, said_before
from chains.models.prompt_sanitizing import fence
from chains.models.reasoning import answer_pieces
from chains.prompts import answer_template, explain, history_turns


class Writer:
    """Writes an answer from its passages, after the turns of a conversation.

    Args:
        model: a LangChain chat model, such as ``LLM.writer`` gives.
        clean: replaces special tokens in texts, see ``LLM.clean``.
        system: the user's own system text.

    Attributes:
        chain: the composition ``prompt | model``. A parser behind it would run the model to its end when the stream is
            closed (langchain-core 1.7).
    """

    def __init__(self, model: Runnable[Any, Any], clean: Callable[[str], str] = str, system: str | None = None) -> None:
        self._clean = clean
        self.chain: Runnable[Any, Any] = answer_template(system) | model

    def write(self, history: Sequence[Turn], answer: Answer) -> Iterator[str]:
        """The answer in pieces as they are generated, without reasoning; closing the iterator stops the model."""
        clean = self._clean
        asked = {
            "history": history_turns([(clean(user), clean(text)) for user, text in said_before(history)]),
            "passages": fence([clean(passage.text) for passage in answer.passages]),
            "question": clean(answer.question),
            "decision": explain(answer.label),
        }
        pieces = self.chain.stream(asked)
        for text in answer_pieces(piece if isinstance(piece, str) else str(piece.text) for piece in pieces):
            if text:
                yield text
