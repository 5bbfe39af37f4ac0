"""Base of our embedders: batches of similar length, fingerprints and windows."""

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.embeddings import Embeddings

from corpus.documents.passages import Window
from retrievers.base import encodable

if TYPE_CHECKING:
    import numpy as np

CHARACTERS_PER_TOKEN = 4  # in English; it affects speed only


class BatchEmbedder(Embeddings):
    """An embedder that embeds many questions in one pass.

    Attributes:
        fingerprint: changes whenever the vectors may change.
        window: how many tokens of a passage it reads, prompt included; None if there is no limit or it is unknown.
    """

    fingerprint: Any
    window: Any = None

    @abstractmethod
    def embed_queries(self, texts: list[str]) -> list[list[float]]:
        """One vector for each question."""

    def embed_query(self, text: str) -> list[float]:
        """The vector of one question."""
        return self.embed_queries([text])[0]


def embed_by_length(
    texts: Sequence[str], batches: Iterator[list[int]], embed: "Callable[[list[str]], np.ndarray]"
) -> list[list[float]]:
    """The vectors of texts that ``embed`` computes batch by batch, in the order of the texts."""
    import numpy as np

    rows: dict[int, Any] = {}
    for batch in batches:
        rows |= zip(batch, embed([texts[index] for index in batch]).astype(np.float32), strict=True)
    return [rows[index].tolist() for index in range(len(texts))]


def batches_by_length(texts: Sequence[str], limit: int, budget: int) -> Iterator[list[int]]:
    """Indices of texts, longest first, in batches of at most about ``budget`` tokens with padding.

    A text has at most ``limit`` tokens; a longer one is cut.
    """
    order = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
    while order:
        tokens = min(limit, len(texts[order[0]]) // CHARACTERS_PER_TOKEN + 3)
        size = max(1, budget // tokens)
        yield order[:size]
        order = order[size:]


def tokens_window(
    limit: int, encode: Callable[[list[str]], Sequence[Sequence[int]]], prompt: str, identity: str
) -> Window:
    """The window of a tokenizer, which encodes without truncation, for passages under a prompt."""

    def count(texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in encode([prompt + encodable(text) for text in texts])]

    return Window(limit, count, hashlib.sha256(identity.encode()).hexdigest())


def untruncated(tokenizer: Any) -> Callable[[list[str]], list[list[int]]]:
    """The encoding of a ``tokenizers.Tokenizer`` after its truncation and padding are switched off."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda texts: [one.ids for one in tokenizer.encode_batch(texts)]
