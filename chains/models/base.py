"""Interface of language models for the chains, local or remote."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from langchain_core.runnables import Runnable

from chains.config import Family, LLMConfig
from chains.prompts import Messages, PromptFamily
from common.errors import UserError
from common.result_cache import Batches, ResultCache

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

Prompt = tuple[str, list[int]]
"""A rendered prompt and its token ids, which are empty for models on servers."""


class TooLongError(UserError):
    """A prompt does not fit the model's context window; a shorter prompt may."""


@runtime_checkable
class LabelScorer(Protocol):
    """A model that computes log-likelihoods of labels. For other models, labels are parsed from generated text."""

    def score(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> Batches:
        """Score the labels as continuations of each prompt; yields batches of prompt indices and their results.

        A result is a list with the log-likelihood of each label (-inf if unknown), the generated text if the model
        returns no likelihoods, or a ``TooLongError`` if the prompt does not fit.
        """


def check_room(prompt_tokens: int, max_tokens: int, window: int | None) -> None:
    """Raise ``TooLongError`` unless prompt and answer fit the ``window``; lengths are in tokens."""
    if window is not None and prompt_tokens + max_tokens > window:
        raise TooLongError(
            f"The answer cannot be written: the prompt takes {prompt_tokens} tokens, the answer up to {max_tokens}, "
            f"and the model's window is {window}. Lower chain.passages, chat.history_tokens or chat.max_new_tokens, or "
            "set chat.answers to brief."
        )


class LLM(Protocol):
    """A language model for chains, from ``local``, ``llamacpp``, ``remote`` or ``langchain_llm``."""

    @property
    def name(self) -> str:
        """The model's name in the settings."""

    @property
    def config(self) -> LLMConfig:
        """The settings of the model."""

    @property
    def cache(self) -> ResultCache | None:
        """The cache of results, if any."""

    @property
    def window(self) -> int | None:
        """Context window: maximum number of tokens of prompt and answer together; None if unknown."""

    @property
    def fingerprint(self) -> str:
        """Digest of everything known to affect the answer to a prompt."""

    @property
    def clean(self) -> Callable[[str], str]:
        """Function that replaces special tokens and unprintable characters by spaces of the same length."""

    @property
    def chat(self) -> "BaseChatModel":
        """The model as a LangChain chat model."""

    def family(self, family: Family) -> PromptFamily:
        """The prompt family; the model resolves ``auto``."""

    def prompts(self, conversations: Sequence[Messages]) -> list[Prompt]:
        """Render each conversation up to the point where the answer begins."""

    def length(self, prompt: Prompt) -> int:
        """The number of tokens of a prompt."""

    def label_length(self, labels: Sequence[str]) -> int:
        """Number of tokens of the longest label."""

    def writer(self, max_tokens: int) -> Runnable[Any, Any]:
        """The model as a step of a chain, from a prompt value or messages to at most ``max_tokens`` new tokens."""


def as_llm(model: object) -> LLM:
    """``model`` as an ``LLM``: unchanged if it is one, else a wrapper of a LangChain chat model, LLM or binding."""
    if all(hasattr(type(model), name) for name in ("writer", "prompts", "length")):
        return model  # type: ignore[return-value]
    from chains.models.langchain_llm import LangChainLLM, language_model

    inner = language_model(model)
    # The chat model or pipeline of an LLM on this machine has the LLM in ``local``. ``model`` must not be a wrapper:
    # configurable alternatives and fallbacks have their first model's attributes too, but may call another model.
    if inner is model and (local := getattr(getattr(model, "llm", model), "local", None)) is not None:
        return local  # type: ignore[no-any-return]
    if inner is not None:
        return LangChainLLM(model)  # type: ignore[arg-type]
    raise UserError(
        "The llm must be a LangChain chat model or LLM, or come from chains.models.make_llm; this is "
        f"{type(model).__name__}."
    )


def estimated_tokens(text: str) -> int:
    """Estimated number of tokens of a text, without the model's tokenizer.

    English medical text has 3.5 to 4.5 bytes per token; 3 are assumed, so that the estimate is rarely too low.
    """
    return math.ceil(len(text.encode()) / 3)
