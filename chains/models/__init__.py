"""Language models, local and remote."""

from typing import TYPE_CHECKING, assert_never

from chains.config import LLMConfig
from common.errors import UserError
from common.result_cache import ResultCache

if TYPE_CHECKING:
    from chains.models.base import LLM


def make_llm(config: LLMConfig, cache: ResultCache | None = None) -> "LLM":
    """Load the model of the ``llm`` settings, local or on a server; ``cache`` stores its results."""
    match config.kind:
        case "huggingface":
            from chains.models.local import load_llm

            return load_llm(config, cache)
        case "llamacpp":
            from chains.models.llamacpp import load_llamacpp

            return load_llamacpp(config, cache)
        case "openai":
            from chains.models.remote import connect

            return connect(config, cache)
        case "extractive":
            raise UserError(
                "This needs a language model, and llm.kind is extractive. Set it to huggingface, llamacpp or openai."
            )
    assert_never(config.kind)
