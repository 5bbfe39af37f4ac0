"""What chains need of a language model, wherever it runs."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from chains.config import Family, LLMConfig
from chains.prompts import Messages, PromptFamily
from common.errors import UserError
from common.result_cache import Batches, ResultCache

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

Prompt = tuple[str, list[int]]
"""A prompt as it is sent, and its token ids; a model on a server has none here."""


class LLM(Protocol):
    """A causal model in this process (``local.LocalLLM``) or on a server (``remote.RemoteLLM``)."""

    @property
    def name(self) -> str:
        """What the settings call it."""

    @property
    def config(self) -> LLMConfig:
        """The settings that it was made by."""

    @property
    def cache(self) -> ResultCache | None:
        """Where what it decides is looked up first, and entered."""

    @property
    def window(self) -> int | None:
        """How many tokens it can attend to, prompt and answer together; None where that is not known."""

    @property
    def fingerprint(self) -> str:
        """Changes with whatever is known to change an answer to one prompt."""

    @property
    def clean(self) -> Callable[[str], str]:
        """Blanks out what a text must not bring into a prompt; the length stays."""

    @property
    def chat(self) -> "BaseChatModel":
        """The model as a LangChain chat model."""

    def family(self, family: Family) -> PromptFamily:
        """Whose wording its prompts have; ``auto`` goes by the model."""

    def prompts(self, conversations: Sequence[Messages]) -> list[Prompt]:
        """Each conversation as the prompt that the assistant's answer follows."""

    def length(self, prompt: Prompt) -> int:
        """How many tokens of the window a prompt takes."""

    def label_length(self, labels: Sequence[str]) -> int:
        """How many tokens the longest label takes as an answer."""

    def score(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> Batches:
        """Places of prompts, and for each the log-likelihoods of the labels, by batches; -inf where there is none.

        Where no likelihoods can be had, what the model wrote stands in their place; where a single prompt cannot be
        answered, a ``UserError``.

        Raises:
            UserError: the model cannot be run, or gives no finite likelihoods.
        """

    def write(self, prompts: Sequence[Prompt], most: int) -> Batches:
        """Places of prompts, and for each the most probable continuation, at most ``most`` tokens of it, by batches.

        Where a single prompt cannot be answered, a ``UserError`` stands in its place.

        Raises:
            UserError: the model cannot be run.
        """


def check_llm(llm: object) -> None:
    """See to it that a model is one that chains can ask.

    Raises:
        UserError: it is not, as LangChain's own models are not: they give no probabilities of labels.
    """
    if not all(hasattr(type(llm), name) for name in ("score", "write", "prompts")):
        raise UserError(
            "The llm must come from chains.models.local.load_llm, for a folder or hub id, or from "
            f"chains.models.remote.connect, for a server; this is {type(llm).__name__}."
        )


def estimated_tokens(text: str) -> int:
    """How many tokens a text has for a model whose tokenizer is elsewhere.

    Of English medical text a token has 3.5 to 4.5 bytes; 3 are taken, so that the estimate is rarely too low.
    """
    return -(-len(text.encode()) // 3)
