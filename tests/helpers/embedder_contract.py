"""What every embedder promises, as tests: a subclass gives the fixture ``embedder``.

LangChain's standard tests of embedders are among them. Classes of this project and of a user are held to the same.
"""

import math
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings
from langchain_tests.integration_tests import EmbeddingsIntegrationTests

from retrievers.embedders import embed_questions, fingerprint

TEXTS = ["Aspirin lowered the risk of stroke.", "Statin therapy did not change mortality.", "It was safe in children."]


class EmbedderContract(EmbeddingsIntegrationTests):
    """``embedder`` gives the object; LangChain's tests make no new one."""

    @pytest.fixture
    def model(self, embedder: Embeddings) -> Embeddings:
        return embedder

    @property
    def embeddings_class(self) -> type[Embeddings]:
        return Embeddings

    def test_vectors_are_finite_and_of_one_length(self, embedder: Embeddings) -> None:
        vectors = [*embedder.embed_documents(TEXTS), *embed_questions(embedder, TEXTS)]
        assert len({len(vector) for vector in vectors}) == 1
        assert all(math.isfinite(value) for vector in vectors for value in vector)
        assert all(any(vector) for vector in vectors)

    def test_different_texts_have_different_vectors(self, embedder: Embeddings) -> None:
        first, second, third = np.asarray(embedder.embed_documents(TEXTS))
        assert not np.allclose(first, second)
        assert not np.allclose(second, third)

    def test_a_vector_is_its_text_s_alone(self, embedder: Embeddings) -> None:
        """Whatever is embedded with it; half-precision rounds differently in batches of other shapes."""
        together = np.asarray(embedder.embed_documents([*TEXTS, " ".join(TEXTS * 5)]))
        for text, vector in zip(TEXTS, together, strict=False):
            assert _cosine(embedder.embed_documents([text])[0], vector) > 0.999

    def test_questions_in_one_pass_are_those_one_by_one(self, embedder: Embeddings) -> None:
        for text, vector in zip(TEXTS, embed_questions(embedder, TEXTS), strict=True):
            assert _cosine(embedder.embed_query(text), vector) > 0.999

    def test_no_texts(self, embedder: Embeddings) -> None:
        assert list(embedder.embed_documents([])) == []
        assert embed_questions(embedder, []) == []

    @pytest.mark.parametrize("text", ["a\ud800b", "\x00\x07", "脳 🩺", "a" * 20_000, "?"], ids=ascii)
    def test_strange_questions_have_a_vector(self, embedder: Embeddings, text: str) -> None:
        (vector,) = embed_questions(embedder, [text])
        assert all(math.isfinite(value) for value in vector)

    def test_the_fingerprint_is_stable(self, embedder: Embeddings) -> None:
        assert fingerprint(embedder) == fingerprint(embedder)
        assert fingerprint(embedder)


def _cosine(one: Any, other: Any) -> float:
    return float(np.dot(one, other) / (np.linalg.norm(one) * np.linalg.norm(other)))
