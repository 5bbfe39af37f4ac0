"""Embedders, from settings or the user's ``Embeddings`` object."""

import hashlib
from contextlib import suppress
from functools import cache
from pathlib import Path

from langchain_core.embeddings import Embeddings

from common.atomic_write import write_whole
from common.cpu import has_bfloat16
from common.errors import UserError
from common.imports import import_class
from retrievers.base import encodable
from retrievers.config import Dtype, EmbedderClassConfig, EmbedderConfig, StoreConfig
from retrievers.embedders.base import BatchEmbedder

DTYPE_FILE = "auto_dtype.txt"  # in the store's folder
PROBES = ("Does aspirin lower the risk of stroke?", "Blood pressure fell by 12 mmHg in the treated group (p=0.03).")


def make_embedder(config: EmbedderConfig, store: StoreConfig | None = None) -> Embeddings:
    """The embedder of ``config``; equal settings share one object, so a model is loaded once.

    ``store`` keeps the first choice of ``dtype: auto``: another measurement on a busy machine might choose differently,
    and everything would be embedded again.

    Raises:
        UserError: the model is absent, gated, unreachable or not an embedding model.
    """
    chooses = config.dtype == "auto" and config.model != "chroma-default"
    if store is not None and chooses and not isinstance(config, EmbedderClassConfig):
        config = config.model_copy(update={"dtype": _kept_dtype(store)})
    return _make(config)


def _kept_dtype(store: StoreConfig) -> Dtype:
    """The store's choice for ``auto``, made on first use."""
    path = Path(store.path).expanduser() / DTYPE_FILE
    with suppress(OSError, UnicodeError):
        match path.read_text(encoding="utf-8").strip():
            case "float32" | "bfloat16" as known:
                return known
    chosen = _fastest_dtype()
    with suppress(OSError):  # if it cannot be written, the next command measures again
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, f"{chosen}\n")
    return chosen


def _fastest_dtype() -> Dtype:
    """The choice for ``auto`` on this machine; torch is imported only if it may be bfloat16."""
    from retrievers.embedders.minilm import has_card

    if not has_card() and not has_bfloat16():
        return "float32"
    from sentence_transformers.util import get_device_name

    from retrievers.embedders.sentence import resolve_dtype

    return "bfloat16" if str(resolve_dtype("auto", get_device_name())) == "torch.bfloat16" else "float32"


@cache
def _make(config: EmbedderConfig) -> Embeddings:
    if isinstance(config, EmbedderClassConfig):
        return _from_class(config)
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


def _from_class(config: EmbedderClassConfig) -> Embeddings:
    """The user's embedder: a LangChain ``Embeddings`` class, made with its keyword arguments."""
    found = import_class(config.model, Embeddings, "embedder model")  # type: ignore[type-abstract]
    try:
        return found(**config.arguments)
    except (TypeError, ValueError, ImportError) as error:
        raise UserError(f"Embedder {config.model} cannot be made from its settings: {error}") from error


def fingerprint(embedder: Embeddings) -> str:
    """A text that differs between embedders with different vectors.

    For an object that is not ours, it is a digest of its class and of its normalised, rounded vectors of two texts.
    """
    if isinstance(embedder, BatchEmbedder):
        return str(embedder.fingerprint)
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
    """A vector for each question, in one pass if the embedder supports it."""
    from retrievers.embedders.token_limits import shorten

    questions = [shorten(embedder, question) for question in questions]
    if isinstance(embedder, BatchEmbedder):
        return embedder.embed_queries(questions)
    return [embedder.embed_query(encodable(question)) for question in questions]
