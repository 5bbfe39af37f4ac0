"""Embedder with Chroma's default embedding function."""

import socket
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from retrievers.embedders.chroma_default import ChromaDefaultEmbedder


def test_a_failed_download_is_reported_with_an_alternative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from chromadb.utils.embedding_functions.onnx_mini_lm_l6_v2 import ONNXMiniLM_L6_V2

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(ONNXMiniLM_L6_V2, "DOWNLOAD_PATH", tmp_path / "onnx")
    monkeypatch.setattr(ONNXMiniLM_L6_V2, "MODEL_DOWNLOAD_URL", f"http://127.0.0.1:{port}/onnx.tar.gz")
    with pytest.raises(UserError, match=r"could not be fetched .* use model: embedded"):
        ChromaDefaultEmbedder()


@pytest.mark.network
def test_a_question_is_nearest_to_its_passage() -> None:
    embedder = ChromaDefaultEmbedder()
    question = embedder.embed_query("Does aspirin lower the risk of stroke?")
    passages = embedder.embed_documents(["Aspirin lowered the risk of stroke.", "The vaccine was safe in children."])
    related, unrelated = np.array(passages) @ question
    assert related > unrelated
