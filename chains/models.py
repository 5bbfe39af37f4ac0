"""Which language model a setting means."""

from typing import assert_never

from chains.config import LLMConfig
from chains.model import LLM
from common.errors import UserError
from common.result_cache import ResultCache


def make_llm(config: LLMConfig, cache: ResultCache | None = None) -> LLM:
    """The model of section ``llm``: loaded here, or asked for on its server; ``cache`` keeps what it decides.

    Raises:
        UserError: it cannot be had, or the settings name none.
    """
    match config.kind:
        case "huggingface":
            from chains.llm import load_llm

            return load_llm(config, cache)
        case "openai":
            from chains.remote import connect

            return connect(config, cache)
        case "extractive":
            raise UserError("This needs a language model, and llm.kind is extractive. Set it to huggingface or openai.")
    assert_never(config.kind)
