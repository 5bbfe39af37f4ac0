"""How much of a passage each embedder reads, in its own tokens."""

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

SHORT = 120  # characters that every embedder reads
LEAST = 8  # tokens of a passage that an embedder must be able to read


def window_of(embedder: Embeddings) -> Window | None:
    """What the embedder reads of a passage, its prompt included; None where it has no limit or does not tell.

    Raises:
        UserError: its prompt leaves no room for a passage.
    """
    window = _window(embedder)
    if window is not None and window.limit - window.count([""])[0] < LEAST:
        raise UserError(
            f"The embedder reads {window.limit} tokens of a passage, and its prompt takes all of them. "
            "Shorten passage_prompt in its settings."
        )
    return window


def shorten(embedder: Embeddings, question: str) -> str:
    """The question; one that the embedder cannot read whole is cut to the sentences that ask.

    Those are the sentences with a question mark, and without any all sentences; of them the last ones that fit.
    """
    window = None if len(question) < SHORT else window_of(embedder)
    return question if window is None else cut_to_window(question, window)


def cut_to_window(question: str, window: Window, *, only_questions: bool = False) -> str:
    """See ``shorten``; with ``only_questions`` a text without a question mark stays as it is."""
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
    if "retrievers.embedders.sentence" in sys.modules:  # not imported: then it is none of these, and torch is spared
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
