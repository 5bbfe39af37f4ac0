"""MiniLM on onnxruntime compared with sentence-transformers."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from retrievers.embedders.minilm import MiniLMEmbedder
from retrievers.embedders.packaged import packaged_minilm
from retrievers.embedders.sentence import SentenceEmbedder
from retrievers.embedders.token_limits import window_of

TEXTS = ["", "Does aspirin lower the risk of stroke?", "Blood pressure fell by 12 mmHg (p=0.03). " * 40, "脳卒中 🩺"]


@pytest.fixture(scope="module")
def reference() -> SentenceEmbedder:
    return SentenceEmbedder(str(packaged_minilm()), dtype="float32", query_prompt="query: ")


def test_vectors_equal_vectors_of_sentence_transformers(reference: SentenceEmbedder) -> None:
    embedder = MiniLMEmbedder("float32", query_prompt="query: ")
    for method in ("embed_documents", "embed_queries"):
        vectors, expected = getattr(embedder, method)(TEXTS), getattr(reference, method)(TEXTS)
        assert np.abs(np.array(vectors) - np.array(expected)).max() < 1e-5


def test_fingerprints_equal_fingerprints_of_sentence_transformers(reference: SentenceEmbedder) -> None:
    assert MiniLMEmbedder("float32", query_prompt="query: ").fingerprint == reference.fingerprint
    in_bfloat16 = SentenceEmbedder(str(packaged_minilm()), dtype="bfloat16")
    assert MiniLMEmbedder("bfloat16").fingerprint == in_bfloat16.fingerprint


def test_token_window_equals_the_window_of_sentence_transformers(reference: SentenceEmbedder) -> None:
    window, expected = window_of(MiniLMEmbedder("float32")), window_of(reference)
    assert window is not None
    assert expected is not None
    assert (window.limit, window.fingerprint, window.count(TEXTS)) == (
        expected.limit,
        expected.fingerprint,
        expected.count(TEXTS),
    )


def test_bfloat16_vectors_are_near_float32_vectors(reference: SentenceEmbedder) -> None:
    vectors = MiniLMEmbedder("bfloat16").embed_documents(TEXTS)
    cosines = (np.array(vectors) * np.array(reference.embed_documents(TEXTS))).sum(axis=1)
    assert cosines.min() > 0.99


def test_torch_embeds_batches_of_questions_after_many_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrievers.embedders.minilm.ONNX_MAX_TEXTS", 2 * len(TEXTS) - 1)
    embedder = MiniLMEmbedder("bfloat16", query_prompt="query: ")
    by_onnx, by_torch = embedder.embed_queries(TEXTS), embedder.embed_queries(TEXTS)
    expected = SentenceEmbedder(str(packaged_minilm()), dtype="bfloat16", query_prompt="query: ").embed_queries(TEXTS)
    assert by_torch == expected
    assert by_onnx != by_torch
    assert (np.array(by_onnx) * np.array(by_torch)).sum(axis=1).min() > 0.99
    assert embedder.embed_query(TEXTS[1]) == pytest.approx(by_onnx[1], abs=1e-5)  # a single question: still ONNX


def test_concurrent_threads_load_the_torch_embedder_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []

    class SlowlyLoadedEmbedder(SentenceEmbedder):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            loaded.append(self)
            time.sleep(0.2)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr("retrievers.embedders.minilm.ONNX_MAX_TEXTS", 0)
    monkeypatch.setattr("retrievers.embedders.sentence.SentenceEmbedder", SlowlyLoadedEmbedder)
    embedder = MiniLMEmbedder("bfloat16")
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(embedder.embed_documents, [TEXTS] * 4))
    assert len(loaded) == 1
    assert all(vectors == results[0] for vectors in results)
