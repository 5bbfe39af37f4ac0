"""Embedders: loading from settings, fingerprints, and embedding of questions."""

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
# Texts whose vectors are the fingerprint of a user-defined embedder.
PROBES = ("Does aspirin lower the risk of stroke?", "Blood pressure fell by 12 mmHg in the treated group (p=0.03).")


def make_embedder(config: EmbedderConfig, store: StoreConfig | None = None) -> Embeddings:
    """The embedder of ``config``; equal settings share one object, so a model is loaded once.

    With ``store``, the first choice for ``dtype: auto`` is kept in the store's folder: on a busy machine, a later
    measurement might choose another dtype, and all passages would be embedded again.

    Raises:
        UserError: the model is absent, gated, unreachable or not an embedding model.
    """
    is_auto = config.dtype == "auto" and config.model != "chroma-default"
    if store is not None and is_auto and not isinstance(config, EmbedderClassConfig):
        config = config.model_copy(update={"dtype": _stored_dtype(store)})
    return _make(config)


def _stored_dtype(store: StoreConfig) -> Dtype:
    """The dtype for ``auto`` from a file in the store's folder, which the first call writes."""
    path = Path(store.path).expanduser() / DTYPE_FILE
    with suppress(OSError, UnicodeError):
        match path.read_text(encoding="utf-8").strip():
            case "float32" | "bfloat16" as stored:
                return stored
    dtype = _fastest_dtype()
    with suppress(OSError):  # if the file cannot be written, the next command measures again
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, f"{dtype}\n")
    return dtype


def _fastest_dtype() -> Dtype:
    """The dtype for ``auto`` on this machine; torch is imported only if the dtype may be bfloat16."""
    from retrievers.embedders.minilm import may_have_gpu

    if not may_have_gpu() and not has_bfloat16():
        return "float32"
    from sentence_transformers.util import get_device_name

    from retrievers.embedders.sentence import resolve_dtype

    return "bfloat16" if str(resolve_dtype("auto", get_device_name())) == "torch.bfloat16" else "float32"


@cache
def _make(config: EmbedderConfig) -> Embeddings:
    if isinstance(config, EmbedderClassConfig):
        embedder_class = import_class(config.model, Embeddings, "embedder model")  # type: ignore[type-abstract]
        try:
            return embedder_class(**config.arguments)
        except (TypeError, ValueError, ImportError) as error:
            raise UserError(f"Embedder {config.model} cannot be made from its settings: {error}") from error
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


def fingerprint(embedder: Embeddings) -> str:
    """A text that differs between embedders with different vectors.

    For a user-defined embedder it is a digest of the class's name and of the normalised, rounded vectors of ``PROBES``.
    """
    if isinstance(embedder, BatchEmbedder):
        return str(embedder.fingerprint)
    import numpy as np

    embedder_class = type(embedder)
    digest = hashlib.sha256(f"{embedder_class.__module__}.{embedder_class.__qualname__}".encode())
    for probe in PROBES:
        for vector in (embedder.embed_query(probe), embedder.embed_documents([probe])[0]):
            values = np.asarray(vector, dtype=np.float64)
            scale = float(np.sqrt(np.mean(values**2))) or 1.0
            digest.update(np.round(values / scale, 1).astype(np.float32).tobytes())
    return digest.hexdigest()


def embed_questions(embedder: Embeddings, questions: list[str]) -> list[list[float]]:
    """A vector for each question, in one call if the embedder supports this."""
    from retrievers.embedders.token_limits import shorten

    questions = [shorten(embedder, question) for question in questions]
    if isinstance(embedder, BatchEmbedder):
        return embedder.embed_queries(questions)
    return [embedder.embed_query(encodable(question)) for question in questions]
