"""Embedders from settings and the caller's own objects."""

from pathlib import Path

import pytest
from embedders import WordEmbedder, save_tiny_embedder

from corpus.errors import UserError
from retrievers.config import EmbedderConfig
from retrievers.embedders import embed_questions, fingerprint, make_embedder


def test_equal_settings_share_one_model(tmp_path: Path) -> None:
    folder = str(save_tiny_embedder(tmp_path))
    first = make_embedder(EmbedderConfig(model=folder))
    assert make_embedder(EmbedderConfig(model=folder)) is first
    assert make_embedder(EmbedderConfig(model=folder, query_prompt="query: ")) is not first


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
