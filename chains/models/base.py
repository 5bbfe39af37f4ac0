"""What chains need of a language model, wherever it runs."""

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
"""A prompt as it is sent, and its token ids; a model on a server has none here."""


class TooLongError(UserError):
    """One prompt is longer than the model takes; a shorter one may be answered."""


@runtime_checkable
class LabelScorer(Protocol):
    """A model that gives the likelihoods of labels. Labels of other models are read from their text."""

    def score(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> Batches:
        """Places of prompts, and for each the log-likelihoods of the labels, by batches; -inf where there is none.

        Where no likelihoods can be had, the text that the model generated stands in their place; where a single prompt
        cannot be answered, a ``TooLongError``.

        Raises:
            UserError: the model cannot be run, or gives no finite likelihoods.
        """


def check_room(prompt: int, most: int, window: int | None) -> None:
    """Check that a prompt and an answer fit in a model's window, all in tokens.

    Raises:
        TooLongError: they do not.
    """
    if window is not None and prompt + most > window:
        raise TooLongError(
            f"The answer cannot be written: the prompt takes {prompt} tokens, the answer up to {most}, and the "
            f"model's window is {window}. Lower chain.passages, chat.history_tokens or chat.max_new_tokens, or set "
            "chat.answers to brief."
        )


class LLM(Protocol):
    """A model for chains: of ``local``, ``llamacpp``, ``remote`` or ``langchain_llm``."""

    @property
    def name(self) -> str:
        """The model's name in the settings."""

    @property
    def config(self) -> LLMConfig:
        """The settings of the model."""

    @property
    def cache(self) -> ResultCache | None:
        """A store of earlier results, which is read first."""

    @property
    def window(self) -> int | None:
        """The number of tokens that the model attends to, prompt and answer together; None where it is unknown."""

    @property
    def fingerprint(self) -> str:
        """Changes with whatever is known to change an answer to one prompt."""

    @property
    def clean(self) -> Callable[[str], str]:
        """Replaces special tokens and unprintable characters in a text by spaces; the length stays."""

    @property
    def chat(self) -> "BaseChatModel":
        """The model as a LangChain chat model."""

    def family(self, family: Family) -> PromptFamily:
        """The family whose wording its prompts have; ``auto`` goes by the model."""

    def prompts(self, conversations: Sequence[Messages]) -> list[Prompt]:
        """Each conversation as the prompt that the assistant's answer follows."""

    def length(self, prompt: Prompt) -> int:
        """The number of tokens of a prompt."""

    def label_length(self, labels: Sequence[str]) -> int:
        """The number of tokens that the longest label takes as an answer."""

    def writer(self, most: int) -> Runnable[Any, Any]:
        """The model as a step of a chain, from a prompt value or messages to at most ``most`` generated tokens."""


def as_llm(model: object) -> LLM:
    """``model`` for chains: one of this project's as it is, or a LangChain chat model, LLM or binding of one.

    Raises:
        UserError: it is neither.
    """
    if all(hasattr(type(model), name) for name in ("writer", "prompts", "length")):
        return model  # type: ignore[return-value]
    if (local := getattr(getattr(model, "llm", model), "local", None)) is not None:
        return local  # type: ignore[no-any-return]  # of ``LocalLLM.chat`` and ``LocalLLM.pipeline``
    from chains.models.langchain_llm import LangChainLLM, is_language_model

    if is_language_model(model):
        return LangChainLLM(model)  # type: ignore[arg-type]
    raise UserError(
        "The llm must be a LangChain chat model or LLM, or come from chains.models.make_llm; this is "
        f"{type(model).__name__}."
    )


def estimated_tokens(text: str) -> int:
    """How many tokens a text has for a model whose tokenizer is elsewhere.

    Of English medical text a token has 3.5 to 4.5 bytes; 3 are taken, so that the estimate is rarely too low.
    """
    return -(-len(text.encode()) // 3)
