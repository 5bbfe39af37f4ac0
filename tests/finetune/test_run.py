"""finetune/run.py: behaviour that all training methods share."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import training_runs
from qlora_runs import TOLERANCE
from training_runs import Method, summary

from common.atomic_write import locked
from common.errors import UserError
from finetune.run import check_trackers
from finetune.trainer import best_step, evaluations


@pytest.fixture(scope="module", params=["qlora", "encoder", "embedder"])
def method(
    request: pytest.FixtureRequest, chat_base: Path, pair_folder: Path, encoder_base: Path, embedder_base: Path
) -> Method:
    makers: dict[str, Callable[[], Method]] = {
        "qlora": lambda: training_runs.qlora(chat_base, pair_folder),
        "encoder": lambda: training_runs.encoder(encoder_base),
        "embedder": lambda: training_runs.embedder(embedder_base),
    }
    return makers[request.param]()


@pytest.fixture(scope="module")
def finished(method: Method, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return method.train(tmp_path_factory.mktemp("run") / "out[nli]", keep_checkpoints=None)


def failing_step(step: int, error: BaseException) -> Callable[..., Any]:
    """A ``Trainer.training_step`` that raises ``error`` at a step."""

    def training_step(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == step:
            raise error
        return super(type(self), self).training_step(*args, **kwargs)

    return training_step


def test_the_best_checkpoint_is_published_with_summary_and_card(method: Method, finished: Path) -> None:
    figures = summary(finished)
    evaluated = [entry["step"] for entry in figures["log"] if entry["step"] > 0 and "eval_accuracy" in entry]
    assert sorted(int(path.name.split("-")[1]) for path in finished.glob("checkpoint-*")) == evaluated
    assert evaluated[-1] == figures["steps"]
    assert len(evaluated) >= 3
    assert figures["step"] == best_step(figures["log"])
    assert method.distance(finished, finished / f"checkpoint-{figures['step']}") == 0
    assert not [path.name for path in finished.iterdir() if path.name.startswith(("optimizer", "rng", "run.json"))]
    assert 0 < figures["trainable_parameters"] <= figures["parameters"]
    assert (figures["trainable_parameters"] < figures["parameters"]) == (method.section == "train.qlora")
    assert figures["peak_memory"] > 1 << 20
    assert figures["dev_loss"] > 0
    assert not figures["stopped_early"]
    assert not figures["resumed"]
    card = (finished / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: ")
    assert f"| checkpoint | step {figures['step']} of {figures['steps']} |" in card
    assert " s in all |" in card
    assert "None" not in card


def test_keep_last_publishes_the_last_checkpoint_and_a_quiet_run_prints_nothing(
    method: Method,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("finetune.run.best_step", lambda log: 4)  # not the last step
    capfd.readouterr()
    output = method.train(tmp_path / "out", keep="last", keep_checkpoints=1, report_to=("tensorboard",))
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")
    assert list(output.glob("runs/*/events.*"))
    assert summary(output)["step"] == summary(output)["steps"] == summary(finished)["steps"]
    last = f"checkpoint-{summary(output)['steps']}"
    assert method.distance(output, finished / last) <= TOLERANCE
    assert last in {path.name for path in output.glob("checkpoint-*")}
    assert len(list(output.glob("checkpoint-*"))) <= 2  # the last and the best, although keep_checkpoints is 1


def test_an_interrupted_run_has_the_result_of_an_uninterrupted_run(
    method: Method, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (5, 8):  # 5 is between two checkpoints, 8 in the second epoch
        with monkeypatch.context() as patch:
            patch.setattr(method.trainer, "training_step", failing_step(step, KeyboardInterrupt()), raising=False)
            with pytest.raises(KeyboardInterrupt):
                method.train(tmp_path, keep_checkpoints=None)
        assert (tmp_path / method.weights_file).is_file()  # the best checkpoint so far is published
        assert not (tmp_path / "summary.json").exists()
    incomplete = tmp_path / "checkpoint-100"
    incomplete.mkdir()
    (incomplete / method.weights_file).write_bytes(b"incomplete")
    method.train(tmp_path, keep_checkpoints=None)
    assert not incomplete.exists()
    assert summary(tmp_path)["resumed"]
    assert " s since it was resumed |" in (tmp_path / "README.md").read_text()
    assert summary(tmp_path)["step"] == summary(finished)["step"]
    assert method.distance(tmp_path, finished) <= TOLERANCE
    last = f"checkpoint-{summary(finished)['steps']}"
    assert method.distance(tmp_path / last, finished / last) <= TOLERANCE


def test_damaged_checkpoints_are_reported_and_not_used(
    method: Method,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = shutil.copytree(finished, tmp_path / "out")
    (output / "summary.json").unlink()
    best, *_, last = sorted(int(path.name.split("-")[1]) for path in output.glob("checkpoint-*"))
    monkeypatch.setattr("finetune.run.best_step", lambda log: best)
    (output / f"checkpoint-{best}" / "optimizer.pt").write_bytes(b"truncated")
    method.train(output, quiet=False, keep_checkpoints=None)
    printed = capsys.readouterr().err
    assert f"checkpoint-{best} is damaged and not used: a file is absent or has another size" in printed
    assert f"Resuming from checkpoint-{last}.\n" in printed
    assert f"The best checkpoint, checkpoint-{best}, is absent or damaged: checkpoint-{last} is used.\n" in printed
    assert summary(output)["step"] == last


def test_a_run_whose_only_checkpoint_is_damaged_starts_again(
    encoder_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = training_runs.encoder(encoder_base)
    with monkeypatch.context() as patch:
        patch.setattr(encoder.trainer, "training_step", failing_step(5, KeyboardInterrupt()), raising=False)
        with pytest.raises(KeyboardInterrupt):
            encoder.train(tmp_path)
    optimizer = tmp_path / "checkpoint-4" / "optimizer.pt"
    optimizer.write_bytes(bytes(optimizer.stat().st_size))  # a file of zeros, as a power failure may leave it
    with pytest.raises(UserError, match=r"checkpoint-4 cannot be loaded .* remove it and run the same command again"):
        encoder.train(tmp_path)
    optimizer.unlink()
    encoder.train(tmp_path, quiet=False)
    assert "checkpoint-4 is damaged" in (printed := capsys.readouterr().err)
    assert "There is no other checkpoint: the training starts again from the first step.\n" in printed
    assert not summary(tmp_path)["resumed"]


def test_a_finished_run_is_not_repeated_and_another_recipe_is_refused(
    method: Method, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = (finished / "summary.json").stat().st_mtime_ns
    method.train(finished, quiet=False, keep_checkpoints=None, report_to=("tensorboard",))
    assert f"{finished} already holds the result of this run. Remove it to train again.\n" in capsys.readouterr().err
    assert (finished / "summary.json").stat().st_mtime_ns == written
    with pytest.raises(UserError, match=r"with another recipe: learning_rate was .* and is 0\.25\. Choose another"):
        method.train(finished, learning_rate=0.25)


def test_a_folder_in_which_another_process_trains_is_refused(method: Method, tmp_path: Path) -> None:
    (tmp_path / "checkpoint-1").mkdir()  # a checkpoint that the other process is writing
    with locked(tmp_path), pytest.raises(UserError, match=r"Another process trains in .*choose another --output"):
        method.train(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-1"]


@pytest.mark.parametrize("stops_early", [False, True])
def test_a_run_interrupted_after_its_last_checkpoint_trains_no_further_step(
    method: Method, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stops_early: bool
) -> None:
    settings: dict[str, Any] = {}
    if stops_early:
        settings = {"patience": 1, "keep": "last"}
        monkeypatch.setattr("finetune.trainer.best_step", lambda log: min(filter(None, evaluations(log)), default=None))
    with monkeypatch.context() as patch:
        patch.setattr("finetune.run.publish_best", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            method.train(tmp_path, **settings)
    last = max(int(path.name.split("-")[1]) for path in tmp_path.glob("checkpoint-*"))
    monkeypatch.setattr(method.trainer, "training_step", lambda *_: pytest.fail("trained a further step"))
    method.train(tmp_path, **settings)
    assert (summary(tmp_path)["steps"], summary(tmp_path)["stopped_early"]) == (last, stops_early)


def test_a_result_that_cannot_be_copied_is_an_error(
    method: Method, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("finetune.checkpoints.publish", fail)
        with pytest.raises(UserError, match="could not be copied"):
            method.train(tmp_path)
    assert not (tmp_path / "summary.json").exists()
    method.train(tmp_path)
    assert (tmp_path / method.weights_file).is_file()


def test_a_full_disk_keeps_the_last_checkpoint(
    method: Method, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = sorted(int(path.name.split("-")[1]) for path in finished.glob("checkpoint-*"))[:2]
    save = torch.save

    def fail_in_second_checkpoint(content: Any, path: Any, *args: Any, **kwargs: Any) -> None:
        if f"checkpoint-{second}" in str(path):
            Path(path).write_bytes(b"incomplete")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        save(content, path, *args, **kwargs)

    monkeypatch.setattr(torch, "save", fail_in_second_checkpoint)
    with pytest.raises(
        UserError,
        match=rf"checkpoint-{second} could not be saved \(No space left on device\)\. The training up to "
        rf"checkpoint-{first} is kept.*it resumes from checkpoint-{first}\.",
    ):
        method.train(tmp_path)
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == [f"checkpoint-{first}"]
    assert method.distance(tmp_path, tmp_path / f"checkpoint-{first}") == 0


def test_too_little_gpu_memory_keeps_the_last_checkpoint(
    method: Method, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(method.trainer, "training_step", failing_step(4, torch.OutOfMemoryError()), raising=False)
    with pytest.raises(
        UserError, match=rf"memory is too small for batches of 5\. Set {method.section}\.batch_size lower"
    ):
        method.train(tmp_path, batch_size=5, every=3)
    assert method.distance(tmp_path, tmp_path / "checkpoint-3") == 0
    assert not (tmp_path / "summary.json").exists()


@pytest.mark.parametrize("rate", [1e38, 1e30])
def test_diverging_training_is_refused_with_advice_on_the_learning_rate(
    method: Method, tmp_path: Path, rate: float
) -> None:
    problem = rf"diverged by step \d+: the .*\. Choose another .* lower {method.section}\.learning_rate"
    with pytest.raises(UserError, match=problem):
        method.train(tmp_path, learning_rate=rate)
    assert not list(tmp_path.glob("checkpoint-*"))


def test_an_output_that_is_a_file_is_refused_before_data_is_loaded(
    method: Method, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    for name in (
        "finetune.qlora.train.load_llm",
        "finetune.encoder.train.read_texts",
        "finetune.embedder.train.make_data",
    ):
        monkeypatch.setattr(name, lambda *_: pytest.fail("data was loaded"))
    with pytest.raises(UserError, match="it is a file"):
        method.train(tmp_path / "file")


@pytest.mark.parametrize("file", ["config.json", "adapter_config.json", "modules.json"])
def test_the_folder_of_another_model_is_refused_and_not_changed(method: Method, tmp_path: Path, file: str) -> None:
    for name in (file, "README.md"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(UserError, match=rf"holds another model \({file}\), whose files this run would replace"):
        method.train(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {file: "{}", "README.md": "{}"}


def test_an_unknown_tracker_is_refused_before_training(method: Method, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"{method.section}\.report_to is nowhere, which is no tracker.*tensorboard"):
        method.train(tmp_path, report_to=("nowhere",))
    assert not list(tmp_path.glob("checkpoint-*"))


def test_a_tracker_that_is_not_installed_is_refused() -> None:
    with pytest.raises(UserError, match=r"report_to is comet_ml, whose package is not installed .*remove comet_ml"):
        check_trackers(("comet_ml",), "train.encoder.report_to")
