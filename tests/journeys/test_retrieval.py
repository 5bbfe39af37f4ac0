"""The real PubMedQA: each question brings back its own abstract first, as often as promised."""

import os
from pathlib import Path

import pytest

from common.cpu import computes_bfloat16
from corpus.pubmedqa import read_records
from corpus.records import QARecord, documents
from medground.settings import load_settings
from retrievers import make_retriever, make_retrievers
from retrievers.config import EmbedderConfig, RetrieverConfig, StoreConfig
from retrievers.kinds.bm25 import BM25Config
from retrievers.kinds.dense import DenseConfig

FOLDER = Path(os.environ.get("MEDGROUND_PUBMEDQA", Path(__file__).parents[3] / "shared/data/pubmedqa"))
DATA = FOLDER / "ori_pqal.json"

pytestmark = pytest.mark.skipif(not DATA.is_file(), reason=f"{DATA} is not there (MEDGROUND_PUBMEDQA names its folder)")


@pytest.fixture(scope="module")
def records() -> list[QARecord]:
    return list(read_records(DATA))


def accuracy(config: RetrieverConfig, records: list[QARecord], store: Path, embedder: EmbedderConfig) -> float:
    retriever = make_retriever(
        config,
        documents(records),
        corpus="pubmedqa",
        embedders={"minilm": embedder},
        store=StoreConfig(path=str(store)),
        quiet=True,
    )
    found = retriever.search([record.question for record in records], 1)
    right = [bool(best) and best[0].id == record.id for best, record in zip(found, records, strict=True)]
    return sum(right) / len(right)


def test_bm25(records: list[QARecord], tmp_path: Path) -> None:
    assert accuracy(BM25Config(), records, tmp_path, EmbedderConfig()) >= 0.955


@pytest.mark.slow
def test_dense(records: list[QARecord], tmp_path: Path) -> None:
    assert accuracy(DenseConfig(), records, tmp_path, EmbedderConfig()) >= 0.966


@pytest.mark.slow
@pytest.mark.skipif(not computes_bfloat16(), reason="the processor has no bfloat16, and imitates it for half an hour")
def test_bfloat16_finds_as_much_as_float32(records: list[QARecord], tmp_path: Path) -> None:
    fast = accuracy(DenseConfig(), records, tmp_path, EmbedderConfig(dtype="bfloat16"))
    assert fast >= accuracy(DenseConfig(), records, tmp_path, EmbedderConfig(dtype="float32")) - 0.002


@pytest.mark.slow
def test_hybrid(records: list[QARecord], tmp_path: Path) -> None:
    settings = load_settings(Path(__file__).parents[2] / "configs/hybrid.yaml")
    found = make_retrievers(
        settings.retrievers,
        [settings.retriever],
        documents(records),
        corpus="pubmedqa",
        embedders=settings.embedders,
        store=StoreConfig(path=str(tmp_path)),
        quiet=True,
    )[settings.retriever].search([record.question for record in records], 1)
    right = [best[0].id == record.id for best, record in zip(found, records, strict=True)]
    assert sum(right) / len(right) >= 0.980
