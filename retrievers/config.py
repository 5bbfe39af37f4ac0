"""The settings of this room: embedders, retrievers and the store."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self, assert_never

from pydantic import BaseModel, ConfigDict, Field, model_validator

Dtype = Literal["auto", "float32", "bfloat16", "float16"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EmbedderConfig(_Section):
    """One embedder.

    Attributes:
        model: ``embedded`` (the packaged all-MiniLM-L6-v2), ``chroma-default`` (Chroma's own default function), a
            sentence-transformers id of the hub, or a folder.
        dtype: the weights' type. ``auto`` is bfloat16 where the processor or the card is faster in it, else float32; a
            store keeps to what it came to first.
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


PartKind = Literal["sentence", "section"]


class ParentConfig(_Section):
    """Search by embedding in parts of the documents; a document is as near as its nearest part, and comes back whole.

    Attributes:
        parts: a ``sentence``, or a ``section``: a line, as PubMedQA's abstracts have one for each.
        embedder: a name from the embedders section.
    """

    kind: Literal["parent"] = "parent"
    parts: PartKind = "sentence"
    embedder: str = "minilm"
    top_k: int = Field(default=5, ge=1, strict=True)


Fusion = Literal["zscore", "minmax", "rrf"]


class HybridConfig(_Section):
    """What several retrievers find, put together.

    Attributes:
        retrievers: their names, and what each counts.
        fusion: which sum of what they say decides: ``zscore`` or ``minmax`` of their scores among the candidates of a
            question, or ``rrf``, reciprocal ranks.
        k: of ``rrf``: how little the first ranks stand out.
        candidates: how many passages each of them is asked for at least.
    """

    kind: Literal["hybrid"] = "hybrid"
    retrievers: Mapping[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(min_length=1)
    fusion: Fusion = "zscore"
    k: float = Field(default=60, ge=0, allow_inf_nan=False)
    candidates: int = Field(default=100, ge=1, strict=True)
    top_k: int = Field(default=5, ge=1, strict=True)


class MMRConfig(_Section):
    """Passages that are near the question and unlike each other (maximal marginal relevance).

    Attributes:
        retriever: the name of the one that finds the candidates.
        embedder: tells how near texts are, by cosine; a name from the embedders section.
        relevance: 1 looks at the question alone, 0 at what is already chosen alone.
        candidates: how many passages are chosen from.
    """

    kind: Literal["mmr"] = "mmr"
    retriever: str
    embedder: str = "minilm"
    relevance: float = Field(default=0.7, ge=0, le=1)
    candidates: int = Field(default=50, ge=1, strict=True)
    top_k: int = Field(default=5, ge=1, strict=True)


class MultiQueryConfig(_Section):
    """The question is asked in other words too; the language model of section ``llm`` finds them.

    Attributes:
        retriever: the name of the one that is asked.
        rewrites: how many other wordings.
        k: of the reciprocal rank fusion that puts what they find together.
        candidates: how many passages each wording brings at least.
    """

    kind: Literal["multi_query"] = "multi_query"
    retriever: str
    rewrites: int = Field(default=3, ge=1, strict=True)
    k: float = Field(default=60, ge=0, allow_inf_nan=False)
    candidates: int = Field(default=50, ge=1, strict=True)
    top_k: int = Field(default=5, ge=1, strict=True)


class RerankConfig(_Section):
    """A cross-encoder reads question and passage together and puts the first candidates in a new order.

    Attributes:
        retriever: the name of the one that finds the candidates.
        model: a cross-encoder or sequence classifier: a hub id or a folder, such as ``train encoder`` makes.
        dtype: as an embedder's.
        against: labels of a classifier that speak against a passage; its score is one less their probability. A model
            of one output scores by that.
        candidates: how many passages it reads for a question at least.
    """

    kind: Literal["rerank"] = "rerank"
    retriever: str
    model: str = Field(min_length=1)
    dtype: Dtype = "auto"
    against: tuple[str, ...] = ("maybe", "neutral")
    candidates: int = Field(default=20, ge=1, strict=True)
    top_k: int = Field(default=5, ge=1, strict=True)


class FilterConfig(_Section):
    """Only passages that fit: all conditions that are set must hold.

    Attributes:
        retriever: the name of the one that finds them.
        min_score: the least score, on that retriever's scale.
        year_from, year_to: the metadata's ``year``, both ends included.
        mesh: one of these is among the metadata's ``mesh`` headings; case does not count.
        source: the metadata's ``source`` matches one of these patterns, such as ``trials/*.pdf``.
    """

    kind: Literal["filter"] = "filter"
    retriever: str
    min_score: float | None = Field(default=None, allow_inf_nan=False)
    year_from: int | None = None
    year_to: int | None = None
    mesh: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    top_k: int = Field(default=5, ge=1, strict=True)

    @model_validator(mode="after")
    def _years_in_order(self) -> Self:
        if self.year_from is not None and self.year_to is not None and self.year_from > self.year_to:
            raise ValueError(f"year_from {self.year_from} is after year_to {self.year_to}")
        return self


class PubMedConfig(_Section):
    """Search PubMed itself, online: every question is sent to the server at ``url``. Never used unless configured.

    Without an API key (environment variable ``NCBI_API_KEY``) NCBI answers three requests a second.

    Attributes:
        url: of the E-utilities.
    """

    kind: Literal["pubmed"] = "pubmed"
    url: str = Field(default="https://eutils.ncbi.nlm.nih.gov/entrez/eutils", pattern="^https?://[^?#]+$")
    top_k: int = Field(default=5, ge=1, le=100, strict=True)


RetrieverConfig = Annotated[
    DenseConfig
    | BM25Config
    | ParentConfig
    | HybridConfig
    | MMRConfig
    | MultiQueryConfig
    | RerankConfig
    | FilterConfig
    | PubMedConfig,
    Field(discriminator="kind"),
]


def referred(config: RetrieverConfig) -> tuple[str, ...]:
    """The names of the retrievers that one builds on."""
    match config:
        case HybridConfig():
            return tuple(config.retrievers)
        case MMRConfig() | MultiQueryConfig() | RerankConfig() | FilterConfig():
            return (config.retriever,)
        case DenseConfig() | BM25Config() | ParentConfig() | PubMedConfig():
            return ()
        case _:
            assert_never(config)


def find_cycle(references: Mapping[str, Any]) -> list[str] | None:
    """A chain of names that leads back to its beginning, which is its last name too; None where there is none.

    Args:
        references: by name, the names that it refers to; those that are no keys refer to nothing.
    """
    for name in references:
        for path in _paths(references, [name]):
            if path[-1] == name and len(path) > 1:
                return path
    return None


def _paths(references: Mapping[str, Any], path: list[str]) -> Iterator[list[str]]:
    for name in references.get(path[-1], ()):
        longer = [*path, name]
        yield longer
        if name not in path:
            yield from _paths(references, longer)


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
