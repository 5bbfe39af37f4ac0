"""Embedders: from a setting, or the user's own ``Embeddings`` object."""

import hashlib
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Protocol, runtime_checkable

from langchain_core.embeddings import Embeddings

from common.atomic_write import write_whole
from common.cpu import has_bfloat16
from common.errors import UserError
from common.imports import import_class
from retrievers.base import encodable
from retrievers.config import Dtype, EmbedderClassConfig, EmbedderConfig, StoreConfig

DTYPE_FILE = "auto_dtype.txt"  # in the store's folder
PROBES = ("Does aspirin lower the risk of stroke?", "Blood pressure fell by 12 mmHg in the treated group (p=0.03).")


@runtime_checkable
class BatchEmbeddings(Protocol):
    """What our own embedders offer beyond LangChain's ``Embeddings``."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the vectors may change."""
        ...

    def embed_queries(self, texts: list[str]) -> list[list[float]]:
        """One vector for each question."""
        ...


def make_embedder(config: EmbedderConfig, store: StoreConfig | None = None) -> Embeddings:
    """The embedder that ``config`` names; equal settings share one object, so a model is loaded once.

    Args:
        config: its settings.
        store: where its vectors are kept. What ``dtype: auto`` came to there first is kept beside them: measured anew
            on a busy machine it might be another, and everything would be embedded again.

    Raises:
        UserError: the model is absent, gated, cannot be reached, or is not what it should be.
    """
    own = isinstance(config, EmbedderClassConfig)
    if store is not None and config.dtype == "auto" and config.model != "chroma-default" and not own:
        config = config.model_copy(update={"dtype": _kept_dtype(store)})
    return _make(config)


def _kept_dtype(store: StoreConfig) -> Dtype:
    """What ``auto`` is in this store; chosen now, if it is not yet."""
    path = Path(store.path).expanduser() / DTYPE_FILE
    with suppress(OSError, UnicodeError):
        match path.read_text(encoding="utf-8").strip():
            case "float32" | "bfloat16" as known:
                return known
    chosen = _fastest_dtype()
    with suppress(OSError):  # where nothing can be written the next command measures again
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, f"{chosen}\n")
    return chosen


def _fastest_dtype() -> Dtype:
    """What ``auto`` comes to on this machine; torch is imported only where it may be bfloat16."""
    from retrievers.embedders.minilm import has_card

    if not has_card() and not has_bfloat16():
        return "float32"
    from sentence_transformers.util import get_device_name

    from retrievers.embedders.sentence import resolve_dtype

    return "bfloat16" if str(resolve_dtype("auto", get_device_name())) == "torch.bfloat16" else "float32"


@cache
def _make(config: EmbedderConfig) -> Embeddings:
    if isinstance(config, EmbedderClassConfig):
        return _of_class(config)
    if config.model == "chroma-default":
        from retrievers.embedders.chroma_default import ChromaDefaultEmbedder

        if config.query_prompt or config.passage_prompt or config.dtype not in ("auto", "float32"):
            raise UserError("Embedder chroma-default takes no prompts and computes in float32. Drop those settings.")
        return ChromaDefaultEmbedder()

    if config.model == "embedded" and config.dtype != "float16":
        from retrievers.embedders.minilm import MiniLMEmbedder

        dtype = _fastest_dtype() if config.dtype == "auto" else config.dtype
        return MiniLMEmbedder(dtype, config.query_prompt, config.passage_prompt)
    from retrievers.embedders.packaged import packaged_minilm
    from retrievers.embedders.sentence import SentenceEmbedder

    model = str(packaged_minilm()) if config.model == "embedded" else config.model
    return SentenceEmbedder(
        model, dtype=config.dtype, query_prompt=config.query_prompt, passage_prompt=config.passage_prompt
    )


def _of_class(config: EmbedderClassConfig) -> Embeddings:
    """The user's embedder: a LangChain ``Embeddings`` class, made with its keyword arguments."""
    found = import_class(config.model, Embeddings, "embedder model")  # type: ignore[type-abstract]
    try:
        return found(**config.arguments)
    except (TypeError, ValueError, ImportError) as error:
        raise UserError(f"Embedder {config.model} cannot be made from its settings: {error}") from error


def fingerprint(embedder: Embeddings) -> str:
    """A text that differs between embedders whose vectors differ.

    Ours know what determines their vectors. Of another object only its vectors can tell, so two fixed texts are
    embedded; the vectors, brought to one scale and rounded, make the digest, with the object's class.
    """
    if isinstance(embedder, BatchEmbeddings):
        return embedder.fingerprint
    import numpy as np

    kind = type(embedder)
    digest = hashlib.sha256(f"{kind.__module__}.{kind.__qualname__}".encode())
    for probe in PROBES:
        for vector in (embedder.embed_query(probe), embedder.embed_documents([probe])[0]):
            values = np.asarray(vector, dtype=np.float64)
            scale = float(np.sqrt(np.mean(values**2))) or 1.0
            digest.update(np.round(values / scale, 1).astype(np.float32).tobytes())
    return digest.hexdigest()


def embed_questions(embedder: Embeddings, questions: list[str]) -> list[list[float]]:
    """A vector for each question, in one pass where the embedder can."""
    from retrievers.embedders.token_limits import shorten

    questions = [shorten(embedder, question) for question in questions]
    if isinstance(embedder, BatchEmbeddings):
        return embedder.embed_queries(questions)
    return [embedder.embed_query(encodable(question)) for question in questions]
