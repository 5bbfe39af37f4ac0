"""The settings of this room: embedders, retrievers and the store."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Dtype = Literal["auto", "float32", "bfloat16", "float16"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EmbedderConfig(_Section):
    """One embedder.

    Attributes:
        model: ``embedded`` (the packaged all-MiniLM-L6-v2), ``chroma-default`` (Chroma's own default function), a
            sentence-transformers id of the hub, or a folder.
        dtype: the weights' type. ``auto`` is bfloat16 where the processor or the card is faster in it, else float32.
        query_prompt: text put before every question; null takes the prompt the model ships, if any.
        passage_prompt: the same for passages.
    """

    model: str = Field(default="embedded", min_length=1)
    dtype: Dtype = "auto"
    query_prompt: str | None = None
    passage_prompt: str | None = None


class DenseConfig(_Section):
    """Search by embedding (cosine) in the vector store; ``embedder`` is a name from the embedders section."""

    kind: Literal["dense"] = "dense"
    embedder: str = "minilm"
    top_k: int = Field(default=5, ge=1, strict=True)


class BM25Config(_Section):
    """Search by words: BM25 as Lucene scores it (``k1`` saturates term counts, ``b`` weighs a text's length)."""

    kind: Literal["bm25"] = "bm25"
    top_k: int = Field(default=5, ge=1, strict=True)
    k1: float = Field(default=1.5, ge=0, allow_inf_nan=False)
    b: float = Field(default=0.75, ge=0, le=1)


RetrieverConfig = Annotated[DenseConfig | BM25Config, Field(discriminator="kind")]


class StoreConfig(_Section):
    """Where Chroma keeps its collections: the folder ``path``, or the Chroma server at ``url`` where one is given."""

    path: str = Field(default=".medground/store", min_length=1)
    url: str | None = None


def default_embedders() -> dict[str, EmbedderConfig]:
    """The embedders of the embedded default, by name."""
    return {"minilm": EmbedderConfig()}


def default_retrievers() -> dict[str, RetrieverConfig]:
    """The retrievers of the embedded default, by name."""
    return {"dense": DenseConfig(), "bm25": BM25Config()}
