"""Questions and passages within the windows of the embedders."""

from langchain_core.embeddings import Embeddings

from common.errors import UserError
from corpus.documents.passages import Window
from corpus.sentences import sentence_spans
from retrievers.embedders.base import BatchEmbedder

SHORT = 120  # characters that fit every embedder's window
MIN_TOKENS = 8  # of a passage that must fit beside the prompt


def window_of(embedder: Embeddings) -> Window | None:
    """The embedder's window; ``UserError`` if the prompt leaves no room for a passage."""
    window: Window | None = embedder.window if isinstance(embedder, BatchEmbedder) else None
    if window is not None and window.limit - window.count([""])[0] < MIN_TOKENS:
        raise UserError(
            f"The embedder reads {window.limit} tokens, and its passage prompt fills them. Shorten passage_prompt."
        )
    return window


def shorten(embedder: Embeddings, question: str) -> str:
    """The question, shortened to the embedder's window if it is longer.

    The last sentences with a question mark that fit are kept; without question marks, the last sentences.
    """
    window = None if len(question) < SHORT else window_of(embedder)
    return question if window is None else cut_to_window(question, window)


def cut_to_window(question: str, window: Window, *, only_questions: bool = False) -> str:
    """See ``shorten``; with ``only_questions`` a text without a question mark is unchanged."""
    if len(question) < SHORT or window.count([question])[0] <= window.limit:
        return question
    every = [question[start:end] for start, end in sentence_spans(question)]
    asking = [one for one in every if one.rstrip("\"'”’»)]").endswith(("?", "？", "؟", "\u037e"))]
    if not asking and only_questions:
        return question
    asking = asking or every
    kept = asking[-1]
    for one in reversed(asking[:-1]):
        if window.count([f"{one} {kept}"])[0] > window.limit:
            break
        kept = f"{one} {kept}"
    return kept
