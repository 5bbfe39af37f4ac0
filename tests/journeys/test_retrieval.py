"""Accuracy@1 of retrievers on the real PubMedQA, whose 1,000 questions each have one abstract."""

import os
from pathlib import Path

import pytest

from common.cpu import computes_bfloat16
from corpus.pubmedqa import read_records
from corpus.records import QARecord, documents
from medground.settings import Settings, load_settings
from retrievers import make_retrievers
from retrievers.config import StoreConfig

FOLDER = Path(os.environ.get("MEDGROUND_PUBMEDQA", Path(__file__).parents[3] / "shared/data/pubmedqa"))
DATA = FOLDER / "ori_pqal.json"

pytestmark = pytest.mark.skipif(not DATA.is_file(), reason=f"{DATA} is missing; set MEDGROUND_PUBMEDQA to its folder")


@pytest.fixture(scope="module")
def records() -> list[QARecord]:
    return list(read_records(DATA))


def accuracy(records: list[QARecord], store: Path, settings: Settings) -> float:
    """Share of questions whose abstract the retriever of the settings ranks first."""
    retriever = make_retrievers(
        settings.retrievers,
        [settings.retriever],
        documents(records),
        corpus="pubmedqa",
        embedders=settings.embedders,
        store=StoreConfig(path=str(store)),
        quiet=True,
    )[settings.retriever]
    results = retriever.search([record.question for record in records], 1)
    correct = [bool(hits) and hits[0].id == record.id for hits, record in zip(results, records, strict=True)]
    return sum(correct) / len(correct)


# The limits are a little below the measured figures, because rounding differs between processors.


def test_bm25_reaches_its_measured_accuracy(records: list[QARecord], tmp_path: Path) -> None:
    assert accuracy(records, tmp_path, load_settings(None, {"retriever": "bm25"})) >= 0.955


@pytest.mark.slow
def test_dense_reaches_its_measured_accuracy(records: list[QARecord], tmp_path: Path) -> None:
    assert accuracy(records, tmp_path, load_settings(None)) >= 0.966


@pytest.mark.slow
@pytest.mark.skipif(not computes_bfloat16(), reason="without bfloat16 in the processor, its emulation takes 30 minutes")
def test_bfloat16_is_as_accurate_as_float32(records: list[QARecord], tmp_path: Path) -> None:
    bfloat16, float32 = (
        accuracy(records, tmp_path, load_settings(None, {"embedders.minilm.dtype": dtype}))
        for dtype in ("bfloat16", "float32")
    )
    assert bfloat16 >= float32 - 0.002


@pytest.mark.slow
def test_hybrid_reaches_its_measured_accuracy(records: list[QARecord], tmp_path: Path) -> None:
    settings = load_settings(Path(__file__).parents[2] / "configs/hybrid.yaml")
    assert accuracy(records, tmp_path, settings) >= 0.980
