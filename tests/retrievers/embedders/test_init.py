"""Embedders from settings, and fingerprints of user-defined embedders."""

from pathlib import Path
from typing import Any

import pytest
import torch
from embedders import WordEmbedder, save_tiny_embedder

from common.errors import UserError
from retrievers.config import EmbedderConfig, StoreConfig
from retrievers.embedders import fingerprint, make_embedder


def test_embedders_with_equal_settings_are_one_object(tmp_path: Path) -> None:
    folder = str(save_tiny_embedder(tmp_path))
    first = make_embedder(EmbedderConfig(model=folder))
    assert make_embedder(EmbedderConfig(model=folder)) is first
    assert make_embedder(EmbedderConfig(model=folder, query_prompt="query: ")) is not first


@pytest.mark.parametrize(("first", "second"), [("bfloat16", "float32"), ("float32", "bfloat16")])
def test_dtype_auto_is_chosen_once_per_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    config = EmbedderConfig(model=str(save_tiny_embedder(tmp_path / "tiny")))
    store = StoreConfig(path=str(tmp_path / "store"))

    def make_with_fastest(dtype: str) -> Any:
        monkeypatch.setattr("retrievers.embedders._fastest_dtype", lambda: dtype)
        return make_embedder(config, store)

    assert make_with_fastest(first).model.dtype == getattr(torch, first)
    assert make_with_fastest(second).model.dtype == getattr(torch, first)  # the stored choice
    explicit: Any = make_embedder(config.model_copy(update={"dtype": second}), store)
    assert explicit.model.dtype == getattr(torch, second)
    (tmp_path / "store/auto_dtype.txt").write_bytes(b"\xff")  # an unreadable choice is replaced
    assert make_with_fastest(second).model.dtype == getattr(torch, second)
    assert (tmp_path / "store/auto_dtype.txt").read_text() == f"{second}\n"


def test_embedder_is_loaded_even_if_the_store_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    tiny = str(save_tiny_embedder(tmp_path / "tiny"))
    assert make_embedder(EmbedderConfig(model=tiny), StoreConfig(path=str(tmp_path / "file"))) is not None


def test_the_default_embedder_has_normalized_vectors_of_384_numbers() -> None:
    vector = make_embedder(EmbedderConfig()).embed_query("Does aspirin lower the risk of stroke?")
    assert len(vector) == 384
    assert sum(value * value for value in vector) == pytest.approx(1, abs=0.01)


def test_fingerprint_of_user_defined_embedder_depends_on_question_vectors() -> None:
    assert fingerprint(WordEmbedder()) == fingerprint(WordEmbedder())
    others = [WordEmbedder(size=32), WordEmbedder(salt="x")]
    assert len({fingerprint(WordEmbedder()), *(fingerprint(other) for other in others)}) == 3


def test_fingerprint_of_user_defined_embedder_depends_on_passage_vectors() -> None:
    class PromptedEmbedder(WordEmbedder):
        prompt = ""

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return super().embed_documents([self.prompt + text for text in texts])

    without_prompt, with_prompt = PromptedEmbedder(), PromptedEmbedder()
    assert fingerprint(without_prompt) == fingerprint(with_prompt)
    with_prompt.prompt = "passage: "
    assert fingerprint(without_prompt) != fingerprint(with_prompt)


@pytest.mark.parametrize("setting", [{"query_prompt": "q "}, {"passage_prompt": "p "}, {"dtype": "bfloat16"}])
def test_chroma_default_rejects_prompts_and_other_dtypes(setting: dict[str, str]) -> None:
    with pytest.raises(UserError, match="takes no prompts and computes in float32"):
        make_embedder(EmbedderConfig.model_validate({"model": "chroma-default", **setting}))
