"""Embedders for tests: a random BERT saved as a sentence-transformers folder, and a user-defined embedder."""

import hashlib
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
    """A BERT of 2 layers and width 32 with random weights, mean pooling, at most 16 tokens."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + list(":.?")
    pieces = [*special, *VOCABULARY.split(), *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, mask_token="[MASK]", model_max_length=16, **names)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=32,
        initializer_range=0.5,
    )
    bare = folder / "bert"
    BertModel(config).save_pretrained(bare)
    fast.save_pretrained(bare)
    body = Transformer(str(bare), max_seq_length=16)
    model = SentenceTransformer(modules=[body, Pooling(32)], device="cpu", prompts=prompts)
    whole = folder / "model"
    model.save(str(whole), create_model_card=False)
    return whole


class WordEmbedder(Embeddings):
    """A caller's own embedder: the sum of one fixed random direction a word. Keeps what it has embedded."""

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
        total = np.full(self.size, 1e-3)
        for word in text.lower().split():
            total += _direction(self.salt + word, self.size)
        vector: list[float] = total.tolist()
        return vector


def open_word_store(folder: Path, corpus: str = "corpus") -> "Store":
    """The store in ``folder`` with a ``WordEmbedder``."""
    from retrievers.config import StoreConfig
    from retrievers.store import open_store

    return open_store(StoreConfig(path=str(folder)), corpus, WordEmbedder())


@lru_cache(10_000)
def _direction(word: str, size: int) -> NDArray[np.float64]:
    seed = int.from_bytes(hashlib.sha256(word.encode("utf-8", "replace")).digest()[:8], "big")
    return np.random.default_rng(seed).normal(size=size)
