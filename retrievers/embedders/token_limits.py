"""Windows of the embedders: how many tokens of a passage they read."""

import hashlib
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from langchain_core.embeddings import Embeddings

from common.errors import UserError
from corpus.documents.passages import Window
from corpus.sentences import sentence_spans
from retrievers.base import encodable
from retrievers.embedders.chroma_default import ChromaDefaultEmbedder
from retrievers.embedders.minilm import MiniLMEmbedder

if TYPE_CHECKING:
    from retrievers.embedders.sentence import SentenceEmbedder

SHORT = 120  # characters that fit every embedder's window
MIN_TOKENS = 8  # of a passage that must fit beside the prompt


def window_of(embedder: Embeddings) -> Window | None:
    """The embedder's window, prompt included; None if it has no limit or the limit is unknown.

    Raises:
        UserError: the prompt leaves no room for a passage.
    """
    window = _window(embedder)
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


def _window(embedder: Embeddings) -> Window | None:
    if isinstance(embedder, MiniLMEmbedder):
        return embedder.window
    if isinstance(embedder, ChromaDefaultEmbedder):
        return _onnx_window(embedder)
    if "retrievers.embedders.sentence" in sys.modules:  # otherwise it cannot be one, and torch is not imported
        from retrievers.embedders.sentence import SentenceEmbedder

        if isinstance(embedder, SentenceEmbedder):
            return _sentence_window(embedder)
    return None


def _sentence_window(embedder: "SentenceEmbedder") -> Window | None:
    from transformers import PreTrainedTokenizerBase

    model = embedder.model
    limit = model.max_seq_length
    if limit is None or not isinstance(model.tokenizer, PreTrainedTokenizerBase):
        return None
    tokenizer = model.tokenizer
    prompt = embedder._passage_prompt
    if prompt is None:
        prompt = model.prompts.get(model.default_prompt_name or "") or ""

    def count(texts: Sequence[str]) -> list[int]:
        read = tokenizer([prompt + encodable(text) for text in texts], truncation=False, padding=False, verbose=False)
        return [len(ids) for ids in read["input_ids"]]

    said = json.dumps([prompt, type(tokenizer).__name__, sorted(tokenizer.get_vocab().items())])
    return Window(int(limit), count, hashlib.sha256(said.encode()).hexdigest())


def _onnx_window(embedder: ChromaDefaultEmbedder) -> Window:
    from tokenizers import Tokenizer

    own = embedder._function.tokenizer
    tokenizer = Tokenizer.from_str(own.to_str())
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count(texts: Sequence[str]) -> list[int]:
        return [len(encoding) for encoding in tokenizer.encode_batch([encodable(text) for text in texts])]

    return Window(int(own.truncation["max_length"]), count, hashlib.sha256(tokenizer.to_str().encode()).hexdigest())
