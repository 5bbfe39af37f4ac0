"""Which language model a setting means."""

from typing import assert_never

from chains.config import LLMConfig
from chains.model import LLM
from corpus.errors import UserError
from corpus.journal import Journal


def make_llm(config: LLMConfig, journal: Journal | None = None) -> LLM:
    """The model of section ``llm``: loaded here, or asked for on its server; ``journal`` keeps what it decides.

    Raises:
        UserError: it cannot be had, or the settings name none.
    """
    match config.kind:
        case "huggingface":
            from chains.llm import load_llm

            return load_llm(config, journal)
        case "openai":
            from chains.remote import connect

            return connect(config, journal)
        case "extractive":
            raise UserError("This needs a language model, and llm.kind is extractive. Set it to huggingface or openai.")
    assert_never(config.kind)
