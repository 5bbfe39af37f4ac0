"""The product: settings and command line."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chains.qa.base import AnswerChain

__all__ = ["load_chain"]


def load_chain(
    config: Path | str | Mapping[str, Any] | None = None, *, quiet: bool = False, **overrides: Any
) -> "AnswerChain":
    """The chain, or agent, that the settings describe, ready to answer; the embedded default without any.

    It searches what ``medground ask`` would: your indexed documents where there are any (and no
    data is named), else the data's abstracts, which are put into the store first.

    Args:
        config: a settings file, or the same as a mapping.
        quiet: no progress bar where passages are embedded first.
        **overrides: sections as mappings, ``load_chain(llm={"max_new_tokens": 4})``, or dotted keys,
            ``load_chain(**{"llm.max_new_tokens": 4})``; they win over ``config``.

    Returns:
        A LangChain ``Runnable`` from a question, or ``{"question": ..., "context": ...}``, to an
        ``chains.answer.Answer``; ``batch``, ``stream`` and ``ainvoke`` work too.

    Raises:
        common.errors.UserError: the settings are not valid, or a model or the data cannot be used.
    """
    from medground.environment import prepare

    prepare()
    from medground.assistant import make_answering
    from medground.corpora import searched_corpus
    from medground.settings import load_settings

    file, stated = (None, config) if isinstance(config, Mapping) else (config, {})
    settings = load_settings(file, stated, overrides)
    data_named = any(key.partition(".")[0] == "data" for key in (*stated, *overrides))
    return make_answering(settings, searched_corpus(settings, data_named=data_named), quiet=quiet)
