"""Embedders for tests: a tiny random sentence-transformers model, and a bag of words behind LangChain's interface."""

import hashlib
import string
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray

if TYPE_CHECKING:
    from retrievers.store import Store

VOCABULARY = (
    "does aspirin lower reduce the risk of stroke in adults with diabetes blood pressure fell treated group was not "
    "changed statin therapy and mortality after surgery children vaccine trial placebo outcome rate pain query passage"
)


def save_tiny_embedder(folder: Path, *, seed: int = 0, prompts: dict[str, str] | None = None) -> Path:
    """Save a random BERT with mean pooling, 32 dimensions and at most 16 tokens; returns the model's folder."""
    import torch
    from classifiers import SPECIAL, make_wordpiece
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel

    characters = string.ascii_lowercase + ":.?"
    tokens = [*SPECIAL, *VOCABULARY.split(), *characters, *(f"##{character}" for character in characters)]
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(tokens),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=32,
        initializer_range=0.5,
    )
    bert = folder / "bert"
    BertModel(config).save_pretrained(bert)
    make_wordpiece(16, tokens=tokens).save_pretrained(bert)
    transformer = Transformer(str(bert), max_seq_length=16)
    model = SentenceTransformer(modules=[transformer, Pooling(32)], device="cpu", prompts=prompts)
    output = folder / "model"
    model.save(str(output), create_model_card=False)
    return output


class WordEmbedder(Embeddings):
    """Embeds a text as the sum of a fixed random vector for each word, which depends on the word and ``salt``.

    ``embedded`` records all embedded documents.
    """

    def __init__(self, size: int = 64, salt: str = "") -> None:
        self.size = size
        self.salt = salt
        self.embedded: list[str] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.embedded.extend(texts)
        return [self._vector(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self._vector(text)

    def _vector(self, text: str) -> list[float]:
        total = np.full(self.size, 1e-3)  # not zero, so that a text without words has a direction
        for word in text.lower().split():
            total += _word_vector(self.salt + word, self.size)
        vector: list[float] = total.tolist()
        return vector


def open_word_store(folder: Path, corpus: str = "corpus") -> "Store":
    """The store in ``folder`` with a ``WordEmbedder``."""
    from retrievers.config import StoreConfig
    from retrievers.store import open_store

    return open_store(StoreConfig(path=str(folder)), corpus, WordEmbedder())


@lru_cache(10_000)
def _word_vector(word: str, size: int) -> NDArray[np.float64]:
    seed = int.from_bytes(hashlib.sha256(word.encode("utf-8", "replace")).digest()[:8], "big")
    return np.random.default_rng(seed).normal(size=size)
