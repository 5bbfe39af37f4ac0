"""Chroma's own default embedding function."""

import socket
from pathlib import Path

import pytest

from common.errors import UserError
from retrievers.embedders.chroma_default import ChromaDefaultEmbedder


def test_without_a_connection_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from chromadb.utils.embedding_functions.onnx_mini_lm_l6_v2 import ONNXMiniLM_L6_V2

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(ONNXMiniLM_L6_V2, "DOWNLOAD_PATH", tmp_path / "onnx")
    monkeypatch.setattr(ONNXMiniLM_L6_V2, "MODEL_DOWNLOAD_URL", f"http://127.0.0.1:{port}/onnx.tar.gz")
    with pytest.raises(UserError, match=r"could not be fetched .* use model: embedded"):
        ChromaDefaultEmbedder()


@pytest.mark.network
def test_embeds() -> None:
    embedder = ChromaDefaultEmbedder()
    question = embedder.embed_query("Does aspirin lower the risk of stroke?")
    near, far = embedder.embed_documents(["Aspirin lowered the risk of stroke.", "The vaccine was safe in children."])
    assert sum(a * b for a, b in zip(question, near, strict=True)) > sum(
        a * b for a, b in zip(question, far, strict=True)
    )
