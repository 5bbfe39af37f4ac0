"""Token limits of embedders, and shortening of questions to them."""

from langchain_core.embeddings import Embeddings

from common.errors import UserError
from corpus.documents.passages import Window
from corpus.sentences import sentence_spans
from retrievers.embedders.base import BatchEmbedder

SHORT_CHARACTERS = 120  # length below which a question fits every embedder's window
MIN_TOKENS = 8  # minimum number of tokens for a passage besides prompt and special tokens


def window_of(embedder: Embeddings) -> Window | None:
    """The embedder's window, None if it is unknown; ``UserError`` if the prompt leaves no room for a passage."""
    window: Window | None = embedder.window if isinstance(embedder, BatchEmbedder) else None
    if window is None:
        return None
    overhead = window.count([""])[0]  # prompt and special tokens
    if window.limit - overhead < MIN_TOKENS:
        raise UserError(
            f"The embedder reads {window.limit} tokens, and its passage prompt fills them. Shorten passage_prompt."
        )
    return window


def shorten(embedder: Embeddings, question: str) -> str:
    """The question, shortened to the embedder's window if it is longer.

    A longer question keeps only its sentences that end in a question mark, or all sentences if none does. If these
    exceed the window, the first sentences are dropped; the last sentence is always kept.
    """
    window = None if len(question) < SHORT_CHARACTERS else window_of(embedder)
    return question if window is None else cut_to_window(question, window)


def cut_to_window(question: str, window: Window, *, only_questions: bool = False) -> str:
    """Shorten a question as ``shorten`` does; with ``only_questions``, a text without a question mark is unchanged."""
    if len(question) < SHORT_CHARACTERS or window.count([question])[0] <= window.limit:
        return question
    sentences = [question[start:end] for start, end in sentence_spans(question)]
    # The question marks are ASCII, fullwidth, Arabic and Greek; closing quotes and brackets may follow.
    questions = [each for each in sentences if each.rstrip("\"'”’»)]").endswith(("?", "？", "؟", "\u037e"))]
    if not questions and only_questions:
        return question
    candidates = questions or sentences
    shortened = candidates[-1]
    for sentence in reversed(candidates[:-1]):
        if window.count([f"{sentence} {shortened}"])[0] > window.limit:
            break
        shortened = f"{sentence} {shortened}"
    return shortened
