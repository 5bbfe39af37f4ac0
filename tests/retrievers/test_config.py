"""Settings of embedders, retrievers and the store."""

import pytest
from pydantic import TypeAdapter, ValidationError

from retrievers.config import EmbedderConfig, RetrieverConfig, StoreConfig, find_cycle
from retrievers.kinds.bm25 import BM25Config
from retrievers.kinds.dense import DenseConfig
from retrievers.kinds.hybrid import HybridConfig
from retrievers.kinds.mmr import MMRConfig
from retrievers.kinds.pubmed import PubMedConfig

ADAPTER: TypeAdapter[RetrieverConfig] = TypeAdapter(RetrieverConfig)


def test_the_kind_selects_the_settings_class() -> None:
    assert ADAPTER.validate_python({"kind": "dense", "top_k": 3}) == DenseConfig(top_k=3)
    assert ADAPTER.validate_python({"kind": "bm25", "b": 0.5}) == BM25Config(b=0.5)


@pytest.mark.parametrize(
    "section",
    [
        {"kind": "hybird"},
        {"kind": "lone surrogate \ud800"},
        {"top_k": 3},
        {"kind": "dense", "k1": 1.2},
        {"kind": "dense", "top_k": 0},
        {"kind": "bm25", "b": 1.5},
        {"kind": "bm25", "k1": -1},
        {"kind": "bm25", "embedder": "minilm"},
        {"kind": "hybrid"},
        {"kind": "hybrid", "retrievers": {}},
        {"kind": "hybrid", "retrievers": {"dense": 0}},
        {"kind": "hybrid", "retrievers": {"dense": 1}, "fusion": "sum"},
        {"kind": "mmr", "retriever": "dense", "relevance": 1.5},
        {"kind": "multi_query", "retriever": "dense", "rewrites": 0},
        {"kind": "rerank", "retriever": "dense"},
        {"kind": "parent", "parts": "word"},
        {"kind": "filter", "retriever": "dense", "min_score": float("nan")},
        {"kind": "pubmed", "url": "file:///etc"},
        {"kind": "pubmed", "top_k": 101},
    ],
)
def test_invalid_settings_are_rejected(section: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as raised:
        ADAPTER.validate_python(section)
    assert raised.value.errors()


def test_unknown_settings_empty_paths_and_changes_are_rejected() -> None:
    with pytest.raises(ValidationError):
        EmbedderConfig.model_validate({"model": "embedded", "normalize": True})
    with pytest.raises(ValidationError):
        StoreConfig(path="")
    with pytest.raises(ValidationError):
        EmbedderConfig().model = "x"  # type: ignore[misc]


def test_builds_on_names_the_inner_retrievers() -> None:
    assert HybridConfig(retrievers={"b": 1, "a": 2}).builds_on() == ("b", "a")
    assert MMRConfig(retriever="dense").builds_on() == ("dense",)
    assert PubMedConfig().builds_on() == ()


@pytest.mark.parametrize(
    ("references", "cycle"),
    [
        ({}, None),
        ({"a": ["b", "c"], "b": ["c"], "c": []}, None),
        ({"a": ["gone"]}, None),
        ({"a": ["a"]}, ["a", "a"]),
        ({"a": ["b"], "b": ["c", "d"], "c": [], "d": ["b"]}, ["b", "d", "b"]),
    ],
)
def test_find_cycle_starts_with_the_first_name_of_the_cycle(
    references: dict[str, list[str]], cycle: list[str] | None
) -> None:
    assert find_cycle(references) == cycle
