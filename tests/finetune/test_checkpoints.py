"""finetune/checkpoints.py: what counts as a checkpoint, and what is taken up again."""

import json
from pathlib import Path

import pytest

from common.errors import UserError
from finetune.checkpoints import (
    RUN_FILE,
    SUMMARY_FILE,
    checkpoints,
    finished,
    mark,
    publish,
    remove_halves,
    rotate,
    to_resume,
)

RECIPE = {"learning_rate": 0.001, "rank": 8}


def make(output: Path, step: int, *, whole: bool = True) -> Path:
    folder = output / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_text(f"weights {step}")
    (folder / "optimizer.pt").write_text("moments")
    (folder / "rng_state_0.pth").write_text("dice")
    if whole:
        mark(folder, {"recipe": RECIPE, "seconds": 1.5})
    return folder


def steps(output: Path) -> list[int]:
    return [one.step for one in checkpoints(output)]


def test_by_step_and_whole_ones_only(tmp_path: Path) -> None:
    for step in (100, 20, 3):
        make(tmp_path, step)
    make(tmp_path, 200, whole=False)
    (make(tmp_path, 300, whole=False) / RUN_FILE).write_text('{"recipe": {"learn')
    (tmp_path / "checkpoint-best").mkdir()
    assert steps(tmp_path) == [3, 20, 100]
    resumed = to_resume(tmp_path, RECIPE)
    assert resumed is not None
    assert (resumed.step, resumed.run["seconds"]) == (100, 1.5)
    remove_halves(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-100",
        "checkpoint-20",
        "checkpoint-3",
        "checkpoint-best",
    ]


def test_nothing_to_resume(tmp_path: Path) -> None:
    assert to_resume(tmp_path, RECIPE) is None
    assert not finished(tmp_path, RECIPE)


def test_another_recipe_is_refused_and_what_differs_is_named(tmp_path: Path) -> None:
    make(tmp_path, 3)
    with pytest.raises(UserError, match=r"learning_rate was 0\.001 and is 0\.002\. Name another --output"):
        to_resume(tmp_path, {**RECIPE, "learning_rate": 0.002})
    (tmp_path / SUMMARY_FILE).write_text(json.dumps({"recipe": RECIPE}))
    assert finished(tmp_path, RECIPE)
    with pytest.raises(UserError, match="rank was 8 and is 16"):
        finished(tmp_path, {**RECIPE, "rank": 16})


@pytest.mark.parametrize(
    ("keep", "best", "left"),
    [(None, 1, [1, 2, 3, 4]), (1, 2, [2, 4]), (2, 2, [2, 4]), (3, 1, [1, 3, 4]), (1, 4, [4]), (1, None, [4])],
)
def test_the_best_and_the_last_stay(tmp_path: Path, keep: int | None, best: int | None, left: list[int]) -> None:
    for step in (1, 2, 3, 4):
        make(tmp_path, step)
    rotate(tmp_path, keep, best)
    assert steps(tmp_path) == left


def test_publish_leaves_out_what_only_resumes(tmp_path: Path) -> None:
    folder = make(tmp_path, 7)
    (tmp_path / "adapter_model.safetensors").write_text("an older one")
    publish(folder, tmp_path)
    assert (tmp_path / "adapter_model.safetensors").read_text() == "weights 7"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter_model.safetensors", "checkpoint-7"]
    assert steps(tmp_path) == [7]
