"""MiniLM on onnxruntime against sentence-transformers."""

import time
from concurrent.futures import ThreadPoolExecutor

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


def test_vectors_are_those_of_sentence_transformers(reference: SentenceEmbedder) -> None:
    embedder = MiniLMEmbedder("float32", query_prompt="query: ")
    for method in ("embed_documents", "embed_queries"):
        found, expected = getattr(embedder, method)(TEXTS), getattr(reference, method)(TEXTS)
        assert np.abs(np.array(found) - np.array(expected)).max() < 1e-5
    assert embedder.embed_documents([]) == []


def test_a_store_is_valid_for_both(reference: SentenceEmbedder) -> None:
    assert MiniLMEmbedder("float32", query_prompt="query: ").fingerprint == reference.fingerprint
    rounded = SentenceEmbedder(str(packaged_minilm()), dtype="bfloat16")
    assert MiniLMEmbedder("bfloat16").fingerprint == rounded.fingerprint


def test_passages_are_cut_alike(reference: SentenceEmbedder) -> None:
    one, other = window_of(MiniLMEmbedder("float32")), window_of(reference)
    assert one is not None
    assert other is not None
    assert (one.limit, one.fingerprint, one.count(TEXTS)) == (other.limit, other.fingerprint, other.count(TEXTS))


def test_bfloat16_is_near(reference: SentenceEmbedder) -> None:
    vectors = MiniLMEmbedder("bfloat16").embed_documents(TEXTS)
    cosines = (np.array(vectors) * np.array(reference.embed_documents(TEXTS))).sum(axis=1)
    assert cosines.min() > 0.99


def test_batches_of_questions_are_embedded_in_bulk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrievers.embedders.minilm.FEW", 2 * len(TEXTS) - 1)
    embedder = MiniLMEmbedder("bfloat16", query_prompt="query: ")
    first, bulk = embedder.embed_queries(TEXTS), embedder.embed_queries(TEXTS)
    expected = SentenceEmbedder(str(packaged_minilm()), dtype="bfloat16", query_prompt="query: ").embed_queries(TEXTS)
    assert bulk == expected
    assert first != bulk
    assert (np.array(first) * np.array(bulk)).sum(axis=1).min() > 0.99
    assert embedder.embed_query(TEXTS[1]) == pytest.approx(first[1], abs=1e-5)


def test_threads_load_the_bulk_embedder_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []

    class Slow(SentenceEmbedder):
        def __init__(self, *arguments, **named) -> None:
            loaded.append(self)
            time.sleep(0.2)
            super().__init__(*arguments, **named)

    monkeypatch.setattr("retrievers.embedders.minilm.FEW", 0)
    monkeypatch.setattr("retrievers.embedders.sentence.SentenceEmbedder", Slow)
    embedder = MiniLMEmbedder("bfloat16")
    with ThreadPoolExecutor(4) as threads:
        vectors = list(threads.map(embedder.embed_documents, [TEXTS] * 4))
    assert len(loaded) == 1
    assert all(one == vectors[0] for one in vectors)
