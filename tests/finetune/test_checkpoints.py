"""finetune/checkpoints.py: complete checkpoints, resuming and publishing."""

import json
from pathlib import Path

import pytest

from common.errors import UserError
from finetune.checkpoints import (
    RUN_FILE,
    SUMMARY_FILE,
    complete_checkpoints,
    damaged_checkpoints,
    find_resumable,
    is_finished,
    mark_complete,
    publish,
    publish_best,
    remove_incomplete,
    rotate,
)

RECIPE = {"learning_rate": 0.001, "rank": 8}


def make_checkpoint(output: Path, step: int, *, complete: bool = True) -> Path:
    folder = output / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_text(f"weights {step}")
    (folder / "optimizer.pt").write_text("optimizer state")
    (folder / "rng_state_0.pth").write_text("random state")
    if complete:
        mark_complete(folder, {"recipe": RECIPE, "seconds": 1.5})
    return folder


def complete_steps(output: Path) -> list[int]:
    return [checkpoint.step for checkpoint in complete_checkpoints(output)]


def test_incomplete_checkpoints_are_ignored_and_removed(tmp_path: Path) -> None:
    for step in (100, 20, 3):
        make_checkpoint(tmp_path, step)
    make_checkpoint(tmp_path, 200, complete=False)
    (make_checkpoint(tmp_path, 300, complete=False) / RUN_FILE).write_text('{"recipe": {"learn')
    (tmp_path / "checkpoint-best").mkdir()
    assert complete_steps(tmp_path) == [3, 20, 100]
    resumed = find_resumable(tmp_path, RECIPE)
    assert resumed is not None
    assert (resumed.step, resumed.run["seconds"]) == (100, 1.5)
    remove_incomplete(tmp_path)
    assert {path.name.removeprefix("checkpoint-") for path in tmp_path.iterdir()} == {"3", "20", "100", "best"}


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "optimizer.pt"])
@pytest.mark.parametrize("content", [None, "wei"], ids=["absent", "truncated"])
def test_a_run_resumes_from_the_last_checkpoint_that_is_not_damaged(
    tmp_path: Path, file: str, content: str | None
) -> None:
    for step in (3, 20):
        make_checkpoint(tmp_path, step)
    damaged = tmp_path / "checkpoint-20" / file
    damaged.unlink()
    if content is not None:
        damaged.write_text(content)
    assert damaged_checkpoints(tmp_path) == ["checkpoint-20"]
    resumed = find_resumable(tmp_path, RECIPE)
    assert resumed is not None
    assert resumed.step == 3
    with pytest.raises(UserError, match="another recipe"):
        find_resumable(tmp_path, {**RECIPE, "rank": 4})


def test_an_empty_folder_is_neither_resumable_nor_finished(tmp_path: Path) -> None:
    assert find_resumable(tmp_path, RECIPE) is None
    assert not is_finished(tmp_path, RECIPE)


def test_another_recipe_is_refused_with_the_differing_settings(tmp_path: Path) -> None:
    make_checkpoint(tmp_path, 3)
    with pytest.raises(UserError, match=r"learning_rate was 0\.001 and is 0\.002\. Choose another --output"):
        find_resumable(tmp_path, {**RECIPE, "learning_rate": 0.002})
    (tmp_path / SUMMARY_FILE).write_text(json.dumps({"recipe": RECIPE}))
    assert is_finished(tmp_path, RECIPE)
    with pytest.raises(UserError, match="rank was 8 and is 16"):
        is_finished(tmp_path, {**RECIPE, "rank": 16})


# ``keep`` of the steps 1 to 4 remain, always with the best and the last step; None keeps all.
@pytest.mark.parametrize(
    ("keep", "best", "remaining"),
    [
        (None, 1, [1, 2, 3, 4]),  # no limit
        (1, 2, [2, 4]),  # best and last, although the limit is 1
        (2, 2, [2, 4]),
        (3, 1, [1, 3, 4]),
        (1, 4, [4]),  # the last is the best
        (1, None, [4]),  # no best
    ],
)
def test_rotate_keeps_the_best_and_the_last(
    tmp_path: Path, keep: int | None, best: int | None, remaining: list[int]
) -> None:
    for step in (1, 2, 3, 4):
        make_checkpoint(tmp_path, step)
    rotate(tmp_path, keep, best)
    assert complete_steps(tmp_path) == remaining


def test_publish_leaves_out_files_that_only_resuming_needs(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, 7)
    (tmp_path / "adapter_model.safetensors").write_text("older weights")
    publish(folder, tmp_path)
    assert (tmp_path / "adapter_model.safetensors").read_text() == "weights 7"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter_model.safetensors", "checkpoint-7"]
    assert complete_steps(tmp_path) == [7]


def test_publish_includes_module_folders_of_sentence_transformers(tmp_path: Path) -> None:
    for step in (3, 6):
        folder = make_checkpoint(tmp_path, step)
        for name in ("2_Dense", "optimizer_0"):
            (folder / name).mkdir()
            (folder / name / "model.safetensors").write_text(f"{name} {step}")
        publish(folder, tmp_path)
        assert (tmp_path / "2_Dense" / "model.safetensors").read_text() == f"2_Dense {step}"
    assert not (tmp_path / "optimizer_0").exists()


def test_publish_best_falls_back_to_the_last_checkpoint_and_returns_none_if_nothing_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert publish_best(tmp_path, 3) is None
    for step in (3, 6):
        make_checkpoint(tmp_path, step)
    for step, expected in ((3, 3), (None, 6), (4, 6)):  # there is no checkpoint-4
        published = publish_best(tmp_path, step)
        assert published is not None
        assert published.step == expected
        assert (tmp_path / "adapter_model.safetensors").read_text() == f"weights {expected}"

    def fail(*_: object) -> None:
        raise OSError

    monkeypatch.setattr("finetune.checkpoints.publish", fail)
    assert publish_best(tmp_path, 3) is None


def test_the_model_name_may_differ_from_the_recipe_only_if_the_weights_are_equal(tmp_path: Path) -> None:
    recipe = {"model": "./base", "weights": "aa", "rank": 4}
    summary = tmp_path / SUMMARY_FILE
    summary.write_text(json.dumps({"recipe": recipe}))
    assert is_finished(tmp_path, {**recipe, "model": "/home/x/base"})
    with pytest.raises(UserError, match="weights was 'aa' and is 'bb'"):
        is_finished(tmp_path, {**recipe, "weights": "bb"})
    summary.write_text(json.dumps({"recipe": {"model": "./base", "rank": 4}}))
    with pytest.raises(UserError, match="weights was None"):
        is_finished(tmp_path, recipe)
