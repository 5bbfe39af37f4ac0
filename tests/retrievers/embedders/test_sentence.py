"""The sentence-transformers embedder: vectors, batches, prompts, fingerprints and errors."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from embedders import VOCABULARY, save_tiny_embedder

from common.errors import UserError
from retrievers.embedders.base import batches_by_length
from retrievers.embedders.sentence import SentenceEmbedder, resolve_dtype

PROMPTS = {"query": "query: ", "passage": "passage: "}


def make_texts(count: int) -> list[str]:
    """Random texts of the tiny embedder's vocabulary, and three that are empty or of other characters."""
    rng = random.Random(5)
    words = VOCABULARY.split()
    return [" ".join(rng.choices(words, k=rng.randrange(1, 30))) for _ in range(count)] + ["", "?", "naïve 脳 \ud800"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_embedder(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def prompted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_embedder(tmp_path_factory.mktemp("prompted"), prompts=PROMPTS)


def cosines(left: Any, right: Any) -> np.ndarray:
    left, right = np.asarray(left), np.asarray(right)
    return (left * right).sum(1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)  # type: ignore[no-any-return]


def test_vectors_equal_vectors_of_sentence_transformers(plain: Path) -> None:
    from sentence_transformers import SentenceTransformer

    texts = make_texts(60)
    expected = SentenceTransformer(str(plain), device="cpu").encode([text.replace("\ud800", "?") for text in texts])
    embedder = SentenceEmbedder(str(plain), dtype="float32")
    assert np.allclose(embedder.embed_documents(texts), expected, atol=1e-4)
    assert np.allclose(embedder.embed_queries(texts), expected, atol=1e-4)
    assert np.allclose(embedder.embed_query(texts[3]), expected[3], atol=1e-4)


def test_bfloat16_vectors_are_near_float32_vectors(plain: Path) -> None:
    texts = make_texts(60)
    in_float32 = SentenceEmbedder(str(plain), dtype="float32").embed_documents(texts)
    in_bfloat16 = SentenceEmbedder(str(plain), dtype="bfloat16").embed_documents(texts)
    assert cosines(in_float32, in_bfloat16).min() > 0.99


def test_batches_contain_each_text_once_within_the_budget() -> None:
    texts = make_texts(50)
    batches = list(batches_by_length(texts, 16, 40))
    assert sorted(i for batch in batches for i in batch) == list(range(len(texts)))
    assert len(batches) > 5
    for batch in batches:
        longest = max(len(texts[i]) for i in batch)
        assert len(batch) * min(16, longest // 4 + 3) <= 40  # the estimate of tokens with padding


@pytest.mark.parametrize(
    ("arguments", "query_prompt", "passage_prompt"),
    [({}, "query: ", "passage: "), ({"query_prompt": "", "passage_prompt": "trial "}, "", "trial ")],
    ids=["model", "arguments"],  # the source of the prompts
)
def test_texts_are_embedded_under_the_prompts(
    prompted: Path, plain: Path, arguments: dict[str, str], query_prompt: str, passage_prompt: str
) -> None:
    embedder = SentenceEmbedder(str(prompted), dtype="float32", **arguments)  # type: ignore[arg-type]
    without_prompts = SentenceEmbedder(str(plain), dtype="float32")
    expected = without_prompts.embed_queries([f"{query_prompt}aspirin", f"{passage_prompt}aspirin"])
    assert np.allclose(embedder.embed_query("aspirin"), expected[0], atol=1e-5)
    assert np.allclose(embedder.embed_documents(["aspirin"]), expected[1:], atol=1e-5)


def test_embedders_with_different_vectors_have_different_fingerprints(
    plain: Path, prompted: Path, tmp_path: Path
) -> None:
    other = save_tiny_embedder(tmp_path, seed=1)
    embedders = [SentenceEmbedder(str(folder), dtype="float32") for folder in (plain, plain, prompted, other)]
    embedders[1].model.max_seq_length = 8
    embedders.append(SentenceEmbedder(str(plain), dtype="bfloat16"))
    embedders.append(SentenceEmbedder(str(plain), dtype="float32", query_prompt="query: "))
    embedders.append(SentenceEmbedder(str(plain), dtype="float32", passage_prompt="query: "))
    fingerprints = [embedder.fingerprint for embedder in embedders]
    assert len(set(fingerprints)) == len(fingerprints)
    assert SentenceEmbedder(str(plain), dtype="float32").fingerprint == fingerprints[0]


def test_fingerprint_depends_on_the_tokenizer_and_not_on_the_folder(plain: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(plain, tmp_path / "copy")
    before = SentenceEmbedder(str(folder)).fingerprint
    assert before == SentenceEmbedder(str(plain)).fingerprint  # it does not depend on the folder's path
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["normalizer"]["lowercase"] = False
    path.write_text(json.dumps(tokenizer))
    assert SentenceEmbedder(str(folder)).fingerprint != before


def test_dtype_auto_depends_on_the_device() -> None:
    assert resolve_dtype("float16", "cpu") == torch.float16
    assert resolve_dtype("auto", "mps") == torch.float32
    assert resolve_dtype("auto", "cpu") in (torch.float32, torch.bfloat16)


def test_a_missing_folder_and_a_folder_without_a_model_are_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no model that can be loaded"):
        SentenceEmbedder(str(tmp_path))
    with pytest.raises(UserError, match="there is no such folder"):
        SentenceEmbedder(str(tmp_path / "absent"))


def test_truncated_weights_are_reported(plain: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(plain, tmp_path / "copy")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UserError, match="weights file is broken"):
        SentenceEmbedder(str(folder))
