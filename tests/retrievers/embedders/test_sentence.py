"""The sentence-transformers embedder: its batching changes no vector, its identity misses nothing."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from embedders import VOCABULARY, save_tiny_embedder

from common.errors import UserError
from retrievers.embedders.sentence import SentenceEmbedder, resolve_dtype

PROMPTS = {"query": "query: ", "passage": "passage: "}


def texts(count: int) -> list[str]:
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


def test_vectors_are_sentence_transformers_own(plain: Path) -> None:
    from sentence_transformers import SentenceTransformer

    given = texts(60)
    reference = SentenceTransformer(str(plain), device="cpu").encode([text.replace("\ud800", "?") for text in given])
    embedder = SentenceEmbedder(str(plain), dtype="float32")
    assert np.allclose(embedder.embed_documents(given), reference, atol=1e-4)
    assert np.allclose(embedder.embed_queries(given), reference, atol=1e-4)
    assert np.allclose(embedder.embed_query(given[3]), reference[3], atol=1e-4)


def test_no_texts(plain: Path) -> None:
    assert SentenceEmbedder(str(plain)).embed_documents([]) == []


def test_bfloat16_stays_close(plain: Path) -> None:
    given = texts(60)
    exact = SentenceEmbedder(str(plain), dtype="float32").embed_documents(given)
    fast = SentenceEmbedder(str(plain), dtype="bfloat16").embed_documents(given)
    assert cosines(exact, fast).min() > 0.99


def test_batches_hold_every_text_once_and_no_more_than_the_budget(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrievers.embedders.sentence.CPU_TOKENS", 40)
    embedder = SentenceEmbedder(str(plain), device="cpu")
    given = texts(50)
    batches = list(embedder._batches(given))
    assert sorted(i for batch in batches for i in batch) == list(range(len(given)))
    assert len(batches) > 5
    for batch in batches:
        longest = max(len(given[i]) for i in batch)
        assert len(batch) * min(16, longest // 4 + 3) <= 40


def test_the_models_own_prompts_are_used(prompted: Path, plain: Path) -> None:
    own = SentenceEmbedder(str(prompted), dtype="float32")
    bare = SentenceEmbedder(str(plain), dtype="float32")
    assert np.allclose(own.embed_query("aspirin"), bare.embed_query("query: aspirin"), atol=1e-5)
    assert np.allclose(own.embed_documents(["aspirin"]), bare.embed_documents(["passage: aspirin"]), atol=1e-5)


def test_the_settings_prompts_come_first(prompted: Path, plain: Path) -> None:
    embedder = SentenceEmbedder(str(prompted), dtype="float32", query_prompt="", passage_prompt="trial ")
    bare = SentenceEmbedder(str(plain), dtype="float32")
    assert np.allclose(embedder.embed_query("aspirin"), bare.embed_query("aspirin"), atol=1e-5)
    assert np.allclose(embedder.embed_documents(["aspirin"]), bare.embed_documents(["trial aspirin"]), atol=1e-5)


def variants(plain: Path, prompted: Path, other: Path) -> Iterator[SentenceEmbedder]:
    yield SentenceEmbedder(str(plain), dtype="float32")
    yield SentenceEmbedder(str(plain), dtype="bfloat16")
    yield SentenceEmbedder(str(plain), dtype="float32", query_prompt="query: ")
    yield SentenceEmbedder(str(plain), dtype="float32", passage_prompt="query: ")
    yield SentenceEmbedder(str(prompted), dtype="float32")
    yield SentenceEmbedder(str(other), dtype="float32")
    shorter = SentenceEmbedder(str(plain), dtype="float32")
    shorter.model.max_seq_length = 8
    yield shorter


def test_whatever_changes_vectors_changes_the_fingerprint(plain: Path, prompted: Path, tmp_path: Path) -> None:
    other = save_tiny_embedder(tmp_path, seed=1)
    prints = [embedder.fingerprint for embedder in variants(plain, prompted, other)]
    assert len(set(prints)) == len(prints)
    assert SentenceEmbedder(str(plain), dtype="float32").fingerprint == prints[0]


def test_another_tokenizer_changes_the_fingerprint(plain: Path, tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(plain, tmp_path / "copy")
    before = SentenceEmbedder(str(folder)).fingerprint
    assert before == SentenceEmbedder(str(plain)).fingerprint  # a folder's place is no part of it
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["normalizer"]["lowercase"] = False
    path.write_text(json.dumps(tokenizer))
    assert SentenceEmbedder(str(folder)).fingerprint != before


def test_dtype_by_name_and_by_device() -> None:
    assert resolve_dtype("float16", "cpu") == torch.float16
    assert resolve_dtype("auto", "mps") == torch.float32
    assert resolve_dtype("auto", "cpu") in (torch.float32, torch.bfloat16)


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("hello")
    with pytest.raises(UserError, match="has no model that can be loaded"):
        SentenceEmbedder(str(tmp_path))


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such folder"):
        SentenceEmbedder(str(tmp_path / "absent"))


def test_cut_weights(plain: Path, tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(plain, tmp_path / "copy")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UserError, match="weights file is broken"):
        SentenceEmbedder(str(folder))
