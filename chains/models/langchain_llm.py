"""Wrapper that lets the chains use any LangChain chat model or LLM."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from langchain_core.language_models import BaseChatModel, BaseLanguageModel, BaseLLM
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableLambda

from chains.config import Family, LLMConfig
from chains.models.base import Prompt, estimated_tokens
from chains.models.prompt_sanitizing import Cleaner
from chains.prompts import Messages, PromptFamily, as_dicts, resolve_family
from common.errors import UserError
from common.result_cache import ResultCache

_TURN_TOKENS = 8  # estimated tokens that a chat template adds to a turn
_CLEAN = Cleaner()


def language_model(model: object) -> BaseLanguageModel[Any] | None:
    """The LangChain model inside bindings, retries, fallbacks and configurable alternatives; None if there is none."""
    while model is not None and not isinstance(model, BaseLanguageModel):
        model = next((getattr(model, name) for name in ("bound", "default", "runnable") if hasattr(model, name)), None)
    return model


class ChatPrompts:
    """Prompts of a model whose tokenizer and chat template are unknown: messages as JSON, estimated lengths."""

    name: str

    @property
    def clean(self) -> Callable[[str], str]:
        """Function that replaces special tokens of common chat templates and unprintable characters by spaces."""
        return _CLEAN

    def family(self, family: Family) -> PromptFamily:
        """The prompt family; ``auto`` is resolved by the model's name."""
        model_type = "gemma" if "gemma" in self.name.lower() else "llama"  # Llama 2 is then recognized by its name
        return resolve_family(family, model_type, self.name, chat_template="")

    def prompts(self, conversations: Sequence[Messages]) -> list[Prompt]:
        """Each conversation as JSON, without token ids."""
        return [(json.dumps(messages, ensure_ascii=False), []) for messages in conversations]

    def length(self, prompt: Prompt) -> int:
        """The number of tokens of a prompt, estimated from its bytes."""
        return sum(estimated_tokens(message["content"]) + _TURN_TOKENS for message in json.loads(prompt[0]))

    def label_length(self, labels: Sequence[str]) -> int:
        """The estimated number of tokens of the longest label, with a margin of one."""
        return max(estimated_tokens(label) + 1 for label in labels)


@dataclass(frozen=True)
class LangChainLLM(ChatPrompts):
    """A LangChain chat model or LLM, which generates text but does not score labels.

    Generation follows the model's own settings. The window comes from the model's ``profile``, if there is one.
    """

    model: Runnable[Any, Any]
    config: LLMConfig = field(default_factory=LLMConfig)
    cache: ResultCache | None = None
    fingerprint: str = ""

    @cached_property
    def name(self) -> str:  # type: ignore[override]
        """The model's name, else the name of its class."""
        bound = language_model(self.model)
        names = (getattr(bound, attribute, None) for attribute in ("model_name", "model", "model_id"))
        return next((name for name in names if isinstance(name, str) and name), type(bound).__name__)

    @property
    def window(self) -> int | None:
        """The maximum number of input tokens in the model's profile."""
        profile = getattr(language_model(self.model), "profile", None) or {}
        return profile.get("max_input_tokens")

    @property
    def chat(self) -> BaseChatModel:
        """The model itself; ``UserError`` if it is not a chat model."""
        if isinstance(self.model, BaseChatModel):
            return self.model
        raise UserError(f"This needs a LangChain chat model; {type(self.model).__name__} is not one.")

    def writer(self, max_tokens: int) -> Runnable[Any, Any]:  # noqa: ARG002  (the model's settings limit answers)
        """The model; for a LangChain LLM, preceded by a step that renders messages as text.

        The text follows the chat template if the model has one. A transformers pipeline is set to return the answer
        without the prompt, and to add no special tokens if there is a chat template, which has added them.
        """
        # HuggingFacePipeline has the pipeline; ChatHuggingFace has a HuggingFacePipeline in ``llm``.
        pipeline = getattr(getattr(self.model, "llm", self.model), "pipeline", None)
        tokenizer = getattr(pipeline, "tokenizer", None)
        has_template = getattr(tokenizer, "chat_template", None) is not None
        options = {"return_full_text": False, **({"add_special_tokens": False} if has_template else {})}
        model = self.model if pipeline is None else self.model.bind(pipeline_kwargs=options)
        if not isinstance(self.model, BaseLLM):
            return model
        return RunnableLambda(partial(_render, tokenizer) if has_template else _plain_text) | model


def _messages(prompt: PromptValue | Sequence[Any]) -> Messages:
    return as_dicts(prompt.to_messages()) if isinstance(prompt, PromptValue) else list(prompt)


def _render(tokenizer: Any, prompt: Any) -> str:
    return str(tokenizer.apply_chat_template(_messages(prompt), tokenize=False, add_generation_prompt=True))


def _plain_text(prompt: Any) -> str:
    """The turns as plain text, followed by "Answer:"."""
    return "\n\n".join([*(message["content"] for message in _messages(prompt)), "Answer:"])
