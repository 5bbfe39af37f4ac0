from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from common.errors import UserError
from eval.report.projection import EmbeddingMap, MapPair, map_file_name, project

Vectors = NDArray[np.float32]


def make_pairs(n: int, text: str = "text") -> list[MapPair]:
    """Pairs whose ids have characters that a CSV file must quote, or that UTF-8 cannot encode."""
    return [MapPair(f"id,{index}\n\ud800", f"question {index}", f"{text} {index}", None) for index in range(n)]


def counting_embed(n: int, calls: list[int]) -> Callable[[], tuple[Vectors, Vectors]]:
    """Random vectors of questions, and similar ones of abstracts; each call appends to ``calls``."""

    def embed() -> tuple[Vectors, Vectors]:
        calls.append(n)
        questions = np.random.default_rng(0).normal(size=(n, 8)).astype(np.float32)
        return questions, questions + 0.01

    return embed


def test_questions_lie_near_their_similar_abstracts(tmp_path: Path) -> None:
    positions = np.array(project(make_pairs(40), counting_embed(40, []), tmp_path / "t.csv"))
    assert positions.shape == (40, 4)
    assert positions.min() == 0
    assert positions.max() == 1
    to_own_abstract = np.linalg.norm(positions[:, :2] - positions[:, 2:], axis=1)
    to_all_abstracts = np.linalg.norm(positions[:, None, :2] - positions[None, :, 2:], axis=2)
    assert np.median(to_own_abstract) < np.median(to_all_abstracts) / 5


def test_positions_are_cached_until_texts_or_settings_change(tmp_path: Path) -> None:
    calls: list[int] = []
    cache = tmp_path / "t.csv"
    first = project(make_pairs(5), counting_embed(5, calls), cache, embedder={"model": "a"})
    assert project(make_pairs(5), counting_embed(5, calls), cache, embedder={"model": "a"}) == first
    assert len(calls) == 1
    project(make_pairs(5), counting_embed(5, calls), cache, embedder={"model": "b"})
    assert len(calls) == 2
    project(make_pairs(5, "other"), counting_embed(5, calls), cache, embedder={"model": "b"})
    assert len(calls) == 3


@pytest.mark.parametrize("damage", [lambda text: text[:-40], lambda text: text.replace("0.", "x."), lambda _: "\x00"])
def test_a_damaged_cache_file_is_computed_again(tmp_path: Path, damage: Callable[[str], str]) -> None:
    calls: list[int] = []
    cache = tmp_path / "t.csv"
    first = project(make_pairs(6), counting_embed(6, calls), cache)
    cache.write_text(damage(cache.read_text()))
    assert project(make_pairs(6), counting_embed(6, calls), cache) == first
    assert len(calls) == 2


def test_the_same_texts_give_the_same_positions(tmp_path: Path) -> None:
    assert project(make_pairs(9), counting_embed(9, []), tmp_path / "a.csv") == project(
        make_pairs(9), counting_embed(9, []), tmp_path / "b.csv"
    )


@pytest.mark.parametrize("n", [3, 4])
def test_few_pairs_and_equal_vectors_have_finite_positions(tmp_path: Path, n: int) -> None:
    project(make_pairs(n), counting_embed(n, []), tmp_path / "few.csv")
    same = np.ones((n, 4), dtype=np.float32)
    positions = np.array(project(make_pairs(n), lambda: (same, same), tmp_path / "same.csv"))
    assert np.isfinite(positions).all()


def test_an_unwritable_cache_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        project(make_pairs(3), counting_embed(3, []), tmp_path / "file" / "t.csv")


def test_map_file_name_replaces_unsafe_characters() -> None:
    assert map_file_name("mini/lm ../x") == "tsne_mini-lm-..-x"


def test_caption_names_model_data_numbers_and_parameters() -> None:
    embedding_map = EmbeddingMap("minilm", "all-MiniLM-L6-v2", "sample, all", make_pairs(5), 7, [(0, 0, 0, 0)] * 5)
    assert embedding_map.caption == (
        "minilm (all-MiniLM-L6-v2) over sample, all: t-SNE by cosine of 5 questions and their abstracts, perplexity 3, "
        "seed 20240501; 7 more are left out."
    )
