"""Medical question answering and inference with open LLMs: settings, pipeline and command line."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # importing pathlib takes a tenth of the time of ``medground --help``
    from pathlib import Path

    from chains.qa.base import AnswerChain
    from chains.verification.statements import Checker
    from medground.pipeline import Pipeline

__all__ = ["Pipeline", "load_chain", "load_checker"]


def __getattr__(name: str) -> Any:
    """Import ``Pipeline`` at first use, since the import would slow ``medground --help`` down."""
    if name != "Pipeline":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from medground.pipeline import Pipeline

    return Pipeline


def load_chain(
    config: "Path | str | Mapping[str, Any] | None" = None, *, quiet: bool = False, **overrides: Any
) -> "AnswerChain":
    """Load the chain or agent of the settings; the default settings have the packaged model.

    Like ``medground ask``, it searches your indexed documents. If there are none, or the settings name data, it
    searches the abstracts of the data.

    Args:
        config: a settings file, or a mapping of settings.
        quiet: no progress bars.
        **overrides: sections as mappings, ``load_chain(llm={"max_new_tokens": 4})``, or dotted keys,
            ``load_chain(**{"llm.max_new_tokens": 4})``; they take precedence over ``config``.

    Returns:
        A LangChain ``Runnable`` from a question, or ``{"question": ..., "context": ...}``, to a
        ``chains.answer.Answer``.

    Raises:
        common.errors.UserError: the settings are not valid, or a model or the data cannot be used.
    """
    return _pipeline(config, overrides, quiet=quiet).answerer()


def load_checker(
    config: "Path | str | Mapping[str, Any] | None" = None, *, quiet: bool = False, **overrides: Any
) -> "Checker":
    """Load the statement checker of the settings, over the same corpus as ``load_chain``.

    Args:
        config: a settings file, or a mapping of settings.
        quiet: no progress bars.
        **overrides: sections as mappings or dotted keys, as for ``load_chain``.

    Returns:
        A LangChain ``Runnable`` from a statement, or ``{"statement": ..., "context": ...}``, to a
        ``chains.verification.statements.Check``, with ``batch``, ``stream`` and ``ainvoke``.

    Raises:
        common.errors.UserError: the settings are not valid or name no NLI model, or a model or the data cannot be used.
    """
    return _pipeline(config, overrides, quiet=quiet).checker()


def _pipeline(
    config: "Path | str | Mapping[str, Any] | None", overrides: Mapping[str, Any], *, quiet: bool
) -> "Pipeline":
    from medground.ingest import searched_corpus
    from medground.pipeline import Pipeline
    from medground.settings import load_settings

    file, mapping = (None, config) if isinstance(config, Mapping) else (config, {})
    settings = load_settings(file, mapping, overrides)
    data_given = any(key.partition(".")[0] == "data" for key in (*mapping, *overrides))
    corpus = searched_corpus(settings, data_given=data_given)
    return Pipeline.from_settings(settings, corpus, quiet=quiet)
