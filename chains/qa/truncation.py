"""Truncation of contexts to the model's window."""

from collections.abc import Sequence
from dataclasses import dataclass

from chains.models.base import LLM, Prompt, TooLongError
from chains.models.fitting import count_fitting
from chains.prompts import PromptFamily, qa_prompt
from common.errors import UserError
from corpus.sentences import sentence_spans


@dataclass(frozen=True, slots=True)
class QuestionInContext:
    """A question and its context; None for no context."""

    question: str
    context: str | None


@dataclass(frozen=True, slots=True)
class FittedPrompt:
    """A prompt that fits the window, with the first characters of the context; its last sentences may be dropped."""

    prompt: Prompt
    inputs: QuestionInContext
    context_characters: int
    dropped_sentences: int


class PromptFitter:
    """Renders prompts without the special tokens of texts, and drops the last sentences of contexts that do not fit.

    ``reserve`` is the number of tokens of the window that are reserved for the answer.
    """

    def __init__(self, llm: LLM, family: PromptFamily, system: str | None, *, reserve: int) -> None:
        self._llm = llm
        self._family = family
        self._system = system
        self._window = llm.window
        self._reserve = reserve

    def fit(self, inputs: Sequence[QuestionInContext]) -> list[FittedPrompt | UserError]:
        """A prompt for each question, or the error if a question is too long even without its context.

        All prompts are tokenised together; prompts that do not fit are shortened by bisection over their sentences.
        """
        fitted: list[FittedPrompt | UserError] = []
        cleaned = [self._cleaned(one) for one in inputs]
        for one, prompt in zip(cleaned, self._prompts(cleaned), strict=True):
            if self._window is None or self._llm.length(prompt) + self._reserve <= self._window:
                fitted.append(FittedPrompt(prompt, one, context_characters=len(one.context or ""), dropped_sentences=0))
            else:
                fitted.append(self._shorten(one, prompt, self._window))
        return fitted

    def note(self, dropped_sentences: int) -> str:
        """The note on a shortened context."""
        count = f"{dropped_sentences} sentence" + ("s" if dropped_sentences > 1 else "")
        return f"context shortened by {count} to fit the model's window of {self._window} tokens"

    def _cleaned(self, inputs: QuestionInContext) -> QuestionInContext:
        clean, context = self._llm.clean, inputs.context
        return QuestionInContext(clean(inputs.question).strip(), None if context is None else clean(context))

    def _prompts(self, inputs: Sequence[QuestionInContext]) -> list[Prompt]:
        return self._llm.prompts([qa_prompt(self._family, one.question, one.context, self._system) for one in inputs])

    def _shorten(self, inputs: QuestionInContext, prompt: Prompt, window: int) -> FittedPrompt | UserError:
        """The prompt with as many sentences as fit; ``prompt`` has all sentences and does not fit."""
        room = window - self._reserve
        ends = [0] if inputs.context is None else [0, *(end for _, end in sentence_spans(inputs.context))]

        def with_sentences(count: int) -> FittedPrompt:
            shorter = QuestionInContext(inputs.question, (inputs.context or "")[: ends[count]])
            return FittedPrompt(self._prompts([shorter])[0], shorter, ends[count], len(ends) - 1 - count)

        def fits(number: int) -> bool:  # count_fitting begins with 1, so ``number`` is one more than the sentences
            return self._llm.length(with_sentences(number - 1).prompt) <= room

        if number := count_fitting(len(ends) - 1, fits):
            return with_sentences(number - 1)
        if inputs.context is not None:
            prompt = with_sentences(0).prompt
        return TooLongError(
            f"The question is too long: with its instruction it has {self._llm.length(prompt)} tokens, and {room} fit "
            f"into the model's window of {window}. Shorten it."
        )
