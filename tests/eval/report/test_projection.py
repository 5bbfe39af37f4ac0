from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from common.errors import UserError
from eval.report.projection import EmbeddingMap, MapPair, map_file_name, project

Vectors = NDArray[np.float32]


def pairs(n: int, text: str = "text") -> list[MapPair]:
    return [MapPair(f"id,{n}\n\ud800", f"question {n}", f"{text} {n}", None) for n in range(n)]


def vectors(n: int, calls: list[int]) -> Callable[[], tuple[Vectors, Vectors]]:
    def embed() -> tuple[Vectors, Vectors]:
        calls.append(n)
        made = np.random.default_rng(0).normal(size=(n, 8)).astype(np.float32)
        return made, made + 0.01

    return embed


def test_a_question_and_its_like_abstract_lie_together(tmp_path: Path) -> None:
    positions = np.array(project(pairs(40), vectors(40, []), tmp_path / "t.csv"))
    assert positions.shape == (40, 4)
    assert positions.min() == 0
    assert positions.max() == 1
    own = np.linalg.norm(positions[:, :2] - positions[:, 2:], axis=1)
    others = np.linalg.norm(positions[:, None, :2] - positions[None, :, 2:], axis=2)
    assert np.median(own) < np.median(others) / 5


def test_positions_are_kept_as_long_as_what_they_were_made_from(tmp_path: Path) -> None:
    calls: list[int] = []
    cache = tmp_path / "t.csv"
    first = project(pairs(5), vectors(5, calls), cache, embedder={"model": "a"})
    assert project(pairs(5), vectors(5, calls), cache, embedder={"model": "a"}) == first
    assert len(calls) == 1
    project(pairs(5), vectors(5, calls), cache, embedder={"model": "b"})
    assert len(calls) == 2
    project(pairs(5, "other"), vectors(5, calls), cache, embedder={"model": "b"})
    assert len(calls) == 3


@pytest.mark.parametrize("spoil", [lambda text: text[:-40], lambda text: text.replace("0.", "x."), lambda _: "\x00"])
def test_a_damaged_file_is_made_anew(tmp_path: Path, spoil: Callable[[str], str]) -> None:
    calls: list[int] = []
    cache = tmp_path / "t.csv"
    first = project(pairs(6), vectors(6, calls), cache)
    cache.write_text(spoil(cache.read_text()))
    assert project(pairs(6), vectors(6, calls), cache) == first
    assert len(calls) == 2


def test_the_same_texts_give_the_same_positions(tmp_path: Path) -> None:
    assert project(pairs(9), vectors(9, []), tmp_path / "a.csv") == project(
        pairs(9), vectors(9, []), tmp_path / "b.csv"
    )


@pytest.mark.parametrize("n", [3, 4])
def test_few_or_equal_texts_are_laid_out_too(tmp_path: Path, n: int) -> None:
    project(pairs(n), vectors(n, []), tmp_path / "few.csv")
    same = np.ones((n, 4), dtype=np.float32)
    positions = np.array(project(pairs(n), lambda: (same, same), tmp_path / "same.csv"))
    assert np.isfinite(positions).all()


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        project(pairs(3), vectors(3, []), tmp_path / "file" / "t.csv")


def test_a_name_becomes_a_file_name() -> None:
    assert map_file_name("mini/lm ../x") == "tsne_mini-lm-..-x"


def test_the_caption_tells_how_many_and_how() -> None:
    shown = EmbeddingMap("minilm", "all-MiniLM-L6-v2", "sample, all", pairs(5), 7, [(0, 0, 0, 0)] * 5)
    assert shown.caption == (
        "minilm (all-MiniLM-L6-v2) over sample, all: t-SNE by cosine of 5 questions and their abstracts, perplexity 3, "
        "seed 20240501; 7 more are left out."
    )
