"""The settings of retrieval."""

import pytest
from pydantic import TypeAdapter, ValidationError

from retrievers.config import BM25Config, DenseConfig, EmbedderConfig, RetrieverConfig, StoreConfig

ADAPTER: TypeAdapter[RetrieverConfig] = TypeAdapter(RetrieverConfig)


def test_the_kind_chooses_the_section() -> None:
    assert ADAPTER.validate_python({"kind": "dense", "top_k": 3}) == DenseConfig(top_k=3)
    assert ADAPTER.validate_python({"kind": "bm25", "b": 0.5}) == BM25Config(b=0.5)


@pytest.mark.parametrize(
    "section",
    [
        {"kind": "hybird"},
        {"top_k": 3},
        {"kind": "dense", "k1": 1.2},
        {"kind": "dense", "top_k": 0},
        {"kind": "bm25", "b": 1.5},
        {"kind": "bm25", "k1": -1},
        {"kind": "bm25", "embedder": "minilm"},
    ],
)
def test_what_makes_no_sense_is_refused(section: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(section)


def test_sections_are_frozen_and_closed() -> None:
    with pytest.raises(ValidationError):
        EmbedderConfig.model_validate({"model": "embedded", "normalize": True})
    with pytest.raises(ValidationError):
        StoreConfig(path="")
    with pytest.raises(ValidationError):
        EmbedderConfig().model = "x"  # type: ignore[misc]
