"""Embedders from settings and the caller's own objects."""

from pathlib import Path
from typing import Any

import pytest
import torch
from embedders import WordEmbedder, save_tiny_embedder

from common.errors import UserError
from retrievers.config import EmbedderConfig, StoreConfig
from retrievers.embedders import embed_questions, fingerprint, make_embedder


def test_equal_settings_share_one_model(tmp_path: Path) -> None:
    folder = str(save_tiny_embedder(tmp_path))
    first = make_embedder(EmbedderConfig(model=folder))
    assert make_embedder(EmbedderConfig(model=folder)) is first
    assert make_embedder(EmbedderConfig(model=folder, query_prompt="query: ")) is not first


def test_a_store_keeps_to_the_type_that_auto_was_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = EmbedderConfig(model=str(save_tiny_embedder(tmp_path / "tiny")))
    store = StoreConfig(path=str(tmp_path / "store"))

    def embedder(config: EmbedderConfig = tiny, *, measured: torch.dtype, into: StoreConfig = store) -> Any:
        chosen = str(measured).removeprefix("torch.")
        monkeypatch.setattr("retrievers.embedders._fastest_dtype", lambda: chosen)
        return make_embedder(config, into)

    for first, other in ((torch.bfloat16, torch.float32), (torch.float32, torch.bfloat16)):
        into = StoreConfig(path=str(tmp_path / str(first)))
        before = embedder(measured=first, into=into).fingerprint
        assert embedder(measured=other, into=into).fingerprint == before
    assert embedder(measured=torch.float32).model.dtype == torch.float32
    # What is set is set, and what was kept and cannot be read is chosen anew.
    monkeypatch.undo()
    explicit = EmbedderConfig(model=tiny.model, dtype="bfloat16")
    assert make_embedder(explicit, store).model.dtype == torch.bfloat16  # type: ignore[attr-defined]
    (tmp_path / "store/auto_dtype.txt").write_bytes(b"\xff")
    assert embedder(measured=torch.bfloat16).model.dtype == torch.bfloat16
    assert (tmp_path / "store/auto_dtype.txt").read_text() == "bfloat16\n"


def test_a_store_that_cannot_be_written_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    tiny = str(save_tiny_embedder(tmp_path / "tiny"))
    assert make_embedder(EmbedderConfig(model=tiny), StoreConfig(path=str(tmp_path / "file"))) is not None


def test_the_packaged_model_is_the_default() -> None:
    vector = make_embedder(EmbedderConfig()).embed_query("Does aspirin lower the risk of stroke?")
    assert len(vector) == 384
    assert sum(value * value for value in vector) == pytest.approx(1, abs=0.01)


def test_a_callers_object_is_known_by_its_vectors() -> None:
    assert fingerprint(WordEmbedder()) == fingerprint(WordEmbedder())
    others = [WordEmbedder(size=32), WordEmbedder(salt="x")]
    assert len({fingerprint(WordEmbedder()), *(fingerprint(other) for other in others)}) == 3


def test_a_callers_object_is_known_by_its_passage_vectors_too() -> None:
    class Prompted(WordEmbedder):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            prompt = getattr(self, "prompt", "")
            return super().embed_documents([prompt + text for text in texts])

    one, two = Prompted(), Prompted()
    assert fingerprint(one) == fingerprint(two)
    two.prompt = "passage: "  # type: ignore[attr-defined]
    assert fingerprint(one) != fingerprint(two)


def test_questions_of_a_callers_object() -> None:
    embedder = WordEmbedder()
    assert embed_questions(embedder, ["aspirin", "statin"]) == [
        embedder.embed_query("aspirin"),
        embedder.embed_query("statin"),
    ]


@pytest.mark.parametrize("setting", [{"query_prompt": "q "}, {"passage_prompt": "p "}, {"dtype": "bfloat16"}])
def test_chromas_default_takes_no_such_setting(setting: dict[str, str]) -> None:
    with pytest.raises(UserError, match="takes no prompts and computes in float32"):
        make_embedder(EmbedderConfig.model_validate({"model": "chroma-default", **setting}))
