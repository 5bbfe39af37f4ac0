"""Contract tests of embedders, including LangChain's standard tests; a subclass provides the fixture ``embedder``."""

import math
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings
from langchain_tests.integration_tests import EmbeddingsIntegrationTests

from retrievers.embedders import embed_questions, fingerprint

TEXTS = ["Aspirin lowered the risk of stroke.", "Statin therapy did not change mortality.", "It was safe in children."]


class EmbedderContract(EmbeddingsIntegrationTests):
    @pytest.fixture
    def model(self, embedder: Embeddings) -> Embeddings:
        """The object that LangChain's tests use, in place of a new ``embeddings_class()``."""
        return embedder

    @property
    def embeddings_class(self) -> type[Embeddings]:
        return Embeddings

    def test_vectors_are_finite_nonzero_and_of_equal_length(self, embedder: Embeddings) -> None:
        vectors = [*embedder.embed_documents(TEXTS), *embed_questions(embedder, TEXTS)]
        assert len({len(vector) for vector in vectors}) == 1
        assert all(math.isfinite(value) for vector in vectors for value in vector)
        assert all(any(vector) for vector in vectors)

    def test_different_texts_have_different_vectors(self, embedder: Embeddings) -> None:
        first, second, third = np.asarray(embedder.embed_documents(TEXTS))
        assert not np.allclose(first, second)
        assert not np.allclose(second, third)

    def test_document_vectors_do_not_depend_on_the_batch(self, embedder: Embeddings) -> None:
        """The vectors are nearly equal: half precision rounds differently in batches of other shapes."""
        longer_text = " ".join(TEXTS * 5)  # pads the other texts of the batch
        *vectors, _ = embedder.embed_documents([*TEXTS, longer_text])
        for text, vector in zip(TEXTS, vectors, strict=True):
            assert _cosine(embedder.embed_documents([text])[0], vector) > 0.999

    def test_question_vectors_do_not_depend_on_the_batch(self, embedder: Embeddings) -> None:
        for text, vector in zip(TEXTS, embed_questions(embedder, TEXTS), strict=True):
            assert _cosine(embedder.embed_query(text), vector) > 0.999

    def test_empty_list_of_texts_has_no_vectors(self, embedder: Embeddings) -> None:
        assert list(embedder.embed_documents([])) == []
        assert embed_questions(embedder, []) == []

    @pytest.mark.parametrize("text", ["a\ud800b", "\x00\x07", "脳 🩺", "a" * 20_000, "?"], ids=ascii)
    def test_unusual_questions_have_finite_vectors(self, embedder: Embeddings, text: str) -> None:
        (vector,) = embed_questions(embedder, [text])
        assert all(math.isfinite(value) for value in vector)

    def test_fingerprint_is_stable(self, embedder: Embeddings) -> None:
        assert fingerprint(embedder) == fingerprint(embedder)
        assert fingerprint(embedder)


def _cosine(first: Any, second: Any) -> float:
    return float(np.dot(first, second) / (np.linalg.norm(first) * np.linalg.norm(second)))
