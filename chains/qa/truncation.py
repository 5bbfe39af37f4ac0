"""Truncation of contexts to the model's window."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from chains.models.base import LLM, Prompt, TooLongError
from chains.models.fitting import count_fitting
from chains.prompts import PromptFamily, qa_prompt
from common.errors import UserError
from corpus.sentences import sentence_spans


@dataclass(frozen=True, slots=True)
class FittedPrompt:
    """A prompt, and the variables of its template: ``question`` and ``context``.

    ``context`` is None if there is none. Its last sentences are dropped if the window has no room for them.
    """

    prompt: Prompt
    inputs: dict[str, str | None]
    dropped_sentences: int = 0

    @property
    def context_characters(self) -> int:
        """The number of characters of the context in the prompt."""
        return len(self.inputs["context"] or "")


class PromptFitter:
    """Renders prompts that fit the model's window: drops the last sentences of contexts that are too long.

    Special tokens in questions and contexts are removed (``LLM.clean``). ``reserve`` is the number of tokens of the
    window that are reserved for the answer.
    """

    def __init__(self, llm: LLM, family: PromptFamily, system: str | None, *, reserve: int) -> None:
        self._llm = llm
        self._family = family
        self._system = system
        self._window = llm.window
        self._reserve = reserve

    def fit(self, inputs: Sequence[tuple[str, str | None]]) -> list[FittedPrompt | UserError]:
        """A prompt for each question and its context, or the error if the question alone is too long.

        All prompts are tokenised together; prompts that do not fit are shortened by bisection over their sentences.
        """
        clean = self._llm.clean
        cleaned = [
            (clean(question).strip(), None if context is None else clean(context)) for question, context in inputs
        ]
        return [
            rendered
            if self._window is None or self._llm.length(rendered.prompt) + self._reserve <= self._window
            else self._shorten(rendered, self._window)
            for rendered in self._rendered(cleaned)
        ]

    def note(self, dropped_sentences: int) -> str:
        """The note on a shortened context."""
        count = f"{dropped_sentences} sentence" + ("s" if dropped_sentences > 1 else "")
        return f"context shortened by {count} to fit the model's window of {self._window} tokens"

    def _rendered(self, inputs: Sequence[tuple[str, str | None]]) -> list[FittedPrompt]:
        prompts = self._llm.prompts([qa_prompt(self._family, *one, self._system) for one in inputs])
        return [
            FittedPrompt(prompt, {"question": question, "context": context})
            for prompt, (question, context) in zip(prompts, inputs, strict=True)
        ]

    def _shorten(self, whole: FittedPrompt, window: int) -> FittedPrompt | UserError:
        """The prompt with as many sentences of its context as fit; ``whole``, which has all, does not fit."""
        room, context = window - self._reserve, whole.inputs["context"]
        ends = [0] if context is None else [0, *(end for _, end in sentence_spans(context))]

        def with_sentences(count: int) -> FittedPrompt:
            shorter = None if context is None else context[: ends[count]]
            [prompt] = self._rendered([(str(whole.inputs["question"]), shorter)])
            return replace(prompt, dropped_sentences=len(ends) - 1 - count)

        def fits(number: int) -> bool:  # count_fitting begins with 1, so ``number`` - 1 sentences are tried
            return self._llm.length(with_sentences(number - 1).prompt) <= room

        if number := count_fitting(len(ends) - 1, fits):
            return with_sentences(number - 1)
        return TooLongError(
            f"The question is too long: with its instruction it has {self._llm.length(with_sentences(0).prompt)} "
            f"tokens, and {room} fit into the model's window of {window}. Shorten it."
        )
