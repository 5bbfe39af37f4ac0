"""Base class of this project's embedders; batching by length; windows in tokens."""

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.embeddings import Embeddings

from corpus.documents.passages import Window
from retrievers.base import encodable

if TYPE_CHECKING:
    import numpy as np

CHARACTERS_PER_TOKEN = 4  # about the mean in English; affects only the sizes of batches


class BatchEmbedder(Embeddings):
    """An embedder that embeds many questions in one pass.

    Attributes:
        fingerprint: a value, compared as text, that changes whenever the vectors may change.
        window: the ``Window`` of a passage under the prompt; None if its limit is unknown or it has none.
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
    texts: Sequence[str], limit: int, budget: int, embed: "Callable[[list[str]], np.ndarray]"
) -> list[list[float]]:
    """Embed the texts in batches by length (``batches_by_length``); returns the vectors in the order of the texts."""
    import numpy as np

    vectors: dict[int, Any] = {}
    for batch in batches_by_length(texts, limit, budget):
        vectors |= zip(batch, embed([texts[index] for index in batch]).astype(np.float32), strict=True)
    return [vectors[index].tolist() for index in range(len(texts))]


def batches_by_length(texts: Sequence[str], limit: int, budget: int) -> Iterator[list[int]]:
    """Indices of the texts, longest first, in batches of about ``budget`` tokens at most, padding included.

    The model truncates each text to ``limit`` tokens.
    """
    order = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
    while order:
        longest = min(limit, len(texts[order[0]]) // CHARACTERS_PER_TOKEN + 3)  # in tokens, 3 of them special
        size = max(1, budget // longest)
        yield order[:size]
        order = order[size:]


def tokens_window(
    limit: int, encode: Callable[[list[str]], Sequence[Sequence[int]]], prompt: str, identity: str
) -> Window:
    """The window of passages that are embedded with a prompt before them.

    ``encode`` returns the untruncated token ids of each text; ``identity`` names everything that changes token counts.
    """

    def count(texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in encode([prompt + encodable(text) for text in texts])]

    return Window(limit, count, hashlib.sha256(identity.encode()).hexdigest())


def untruncated(tokenizer: Any) -> Callable[[list[str]], list[list[int]]]:
    """Switch off truncation and padding of a ``tokenizers.Tokenizer``; returns its function from texts to token ids."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda texts: [encoding.ids for encoding in tokenizer.encode_batch(texts)]
