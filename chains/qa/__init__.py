"""Question answering over retrieved passages."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chains.qa.chain import QAChain, qa_chain

__all__ = ["QAChain", "qa_chain"]


def __getattr__(name: str) -> Any:
    """Import the chain at first use: extractive answers need no prompt templates, whose import is slow."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from chains.qa import chain

    return getattr(chain, name)
