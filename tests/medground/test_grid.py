"""Evaluation of a grid of two small models: results files, caching, resumption and failures."""

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoints
import pytest

from common.errors import UserError
from common.result_cache import CACHE_FILE, ResultCache
from medground.grid import Grid, measure_grid
from medground.settings import load_settings

RECORDS = 6  # in each task


@pytest.fixture(scope="module")
def grid_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The setting ``eval.grid.llms``: a model with an adapter for all parts, and one for NLI only."""
    root = tmp_path_factory.mktemp("models")
    chat = checkpoints.make_chat(root / "chat")
    return {
        "tuned": {"model": str(chat), "nli_adapter": str(checkpoints.make_adapter(chat, root / "adapter"))},
        "plain": {"model": str(checkpoints.make_llama2(root / "llama")), "tasks": ["nli"]},
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("store"))


def run_grid(models: dict[str, Any], store: str, output: Path, **overrides: Any) -> Grid:
    defaults = {
        "eval.grid.llms": {name: {**model, "dtype": "float32", "batch_tokens": 700} for name, model in models.items()},
        "eval.grid.shots": [0, 1],
        "eval.grid.retrievers": ["bm25"],
        "data.limit": RECORDS,
        "pairs.limit": RECORDS,
        "store.path": store,
    }
    return measure_grid(load_settings(None, defaults, overrides), output, quiet=True)


def read_results(folder: Path) -> dict[str, Any]:
    """The figures by "MODEL TASK"."""
    return {
        f"{file.parent.name} {task}": figures
        for file in sorted(folder.glob("*/results.json"))
        for task, figures in json.loads(file.read_text())["results"].items()
    }


def read_samples(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {
        f"{file.parent.name}/{file.stem}": [json.loads(line) for line in file.read_text().splitlines()]
        for file in sorted(folder.glob("*/samples_*.jsonl"))
    }


@pytest.fixture(scope="module")
def complete_run(grid_models: dict[str, Any], store: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("complete_run")
    assert run_grid(grid_models, store, output).failures == {}
    return output


def test_results_have_all_tasks_and_the_cells_of_the_grid_have_their_figures(complete_run: Path) -> None:
    assert set(read_results(complete_run)) == {
        "retrieval retrieval_bm25",
        *(f"tuned {task}" for task in ("qa_none", "qa_retrieved_bm25", "qa_gold", "nli", "nli_1shot", "nli_tuned")),
        *(f"plain {task}" for task in ("nli", "nli_1shot")),
    }
    cells = json.loads((complete_run / "grid.json").read_text())["cells"]
    places = {(cell["part"], cell["row"], cell["column"]) for cell in cells}
    assert {("retrieval", "bm25", "all"), ("qa", "retrieved_bm25", "tuned"), ("nli", "tuned", "1-shot")} <= places
    for cell in cells:
        figures = read_results(complete_run)[f"{cell['run']} {cell['task']}"]
        assert cell["estimate"]["value"] == figures[cell["metric"]]
        assert cell["n"] == RECORDS
    assert all(len(samples) == RECORDS for samples in read_samples(complete_run).values())


def test_adapter_is_enabled_only_for_the_task_nli_tuned(complete_run: Path) -> None:
    samples = read_samples(complete_run)
    base, tuned = (samples[f"tuned/samples_{task}"] for task in ("nli", "nli_tuned"))
    assert [sample["prompt"] for sample in base] == [sample["prompt"] for sample in tuned]
    assert all(one["label_scores"] != other["label_scores"] for one, other in zip(base, tuned, strict=True))
    assert base[0]["key"] != tuned[0]["key"]
    identity = json.loads((complete_run / "tuned" / "results.json").read_text())["identity"]
    assert identity["nli"]["nli"] == identity["nli_1shot"]["nli"] == identity["qa_gold"]["llm"]
    assert identity["nli_tuned"]["nli"] != identity["nli"]["nli"]
    assert {task_identity["dtype"] for task_identity in identity.values()} <= {"float32", "bfloat16"}


def test_equal_prompts_of_two_tasks_are_computed_once(complete_run: Path) -> None:
    results = json.loads((complete_run / "tuned" / "results.json").read_text())
    samples = read_samples(complete_run)
    retrieved, gold = samples["tuned/samples_qa_retrieved_bm25"], samples["tuned/samples_qa_gold"]
    equal_prompts = sum(one["prompt"] == other["prompt"] for one, other in zip(retrieved, gold, strict=True))
    assert equal_prompts > 0  # bm25 finds gold abstracts
    assert (results["computed"], results["reused"]) == (6 * RECORDS - equal_prompts, equal_prompts)  # six tasks


def test_second_run_reuses_all_results(grid_models: dict[str, Any], store: str, complete_run: Path) -> None:
    before = read_samples(complete_run)
    size = (complete_run / CACHE_FILE).stat().st_size
    again = run_grid(grid_models, store, complete_run)
    assert (again.computed, again.reused) == (0, 9 * RECORDS)  # nine tasks
    assert read_samples(complete_run) == before
    assert (complete_run / CACHE_FILE).stat().st_size == size


def test_run_interrupted_ten_times_has_the_results_of_a_complete_run(
    grid_models: dict[str, Any], store: str, complete_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(3)
    put, writes_left = ResultCache.put, 0

    def interrupting_put(self: ResultCache, values: dict[str, Any]) -> None:
        nonlocal writes_left
        writes_left -= 1
        if writes_left < 0:
            raise KeyboardInterrupt
        put(self, values)

    monkeypatch.setattr(ResultCache, "put", interrupting_put)
    for _ in range(10):
        writes_left = rng.choice([1, 1, 2])
        with pytest.raises(KeyboardInterrupt):
            run_grid(grid_models, store, tmp_path)
    writes_left = 1000
    grid = run_grid(grid_models, store, tmp_path)
    keys = [json.loads(line)["key"] for line in (tmp_path / CACHE_FILE).read_text().splitlines()]
    assert len(keys) == len(set(keys))  # no result was computed twice
    assert grid.computed + grid.reused == 9 * RECORDS  # nine tasks
    assert_same_results(tmp_path, complete_run)


def assert_same_results(folder: Path, reference: Path) -> None:
    """Compare two runs up to rounding errors, which depend on the composition of batches."""
    samples_by_task, reference_samples = read_samples(folder), read_samples(reference)
    assert samples_by_task.keys() == reference_samples.keys()
    for name, samples in samples_by_task.items():
        for sample, expected in zip(samples, reference_samples[name], strict=True):
            assert sample.pop("label_scores") == pytest.approx(expected.pop("label_scores"), abs=1e-5)
            assert sample == expected
    for name, figures in read_results(folder).items():
        assert figures == pytest.approx(read_results(reference)[name], abs=1e-5)


def test_models_that_cannot_be_loaded_are_reported_and_the_others_measured(
    grid_models: dict[str, Any], store: str, tmp_path: Path
) -> None:
    broken = {"absent": {"model": str(tmp_path / "nowhere")}, **grid_models}
    broken["tuned"] = {**grid_models["tuned"], "nli_adapter": str(tmp_path / "no-adapter")}
    grid = run_grid(broken, store, tmp_path / "out", **{"eval.grid.shots": [0]})
    assert set(grid.failures) == {"absent", "tuned"}
    assert "nowhere" in grid.failures["absent"]
    assert {"tuned qa_gold", "tuned nli", "plain nli"} <= set(read_results(tmp_path / "out"))
    assert json.loads((tmp_path / "out" / "grid.json").read_text())["failures"] == grid.failures


def test_changed_record_is_computed_again(grid_models: dict[str, Any], store: str, tmp_path: Path) -> None:
    models = {"tuned": {**grid_models["tuned"], "tasks": ["qa"]}}
    records = {
        str(number): {"QUESTION": f"Is it {number}?", "CONTEXTS": [f"Text {number}."], "final_decision": "yes"}
        for number in range(4)
    }
    file = tmp_path / "data.json"
    data = {"data.path": str(file), "data.split": "all", "eval.grid.parts": ["qa"], "eval.grid.contexts": ["gold"]}
    file.write_text(json.dumps(records))
    assert run_grid(models, store, tmp_path / "out", **data).computed == 4
    records["2"]["CONTEXTS"] = ["Another text."]
    records["3"]["final_decision"] = "no"  # changes the target, but not the prompt
    file.write_text(json.dumps(records))
    changed = run_grid(models, store, tmp_path / "out", **data)
    assert (changed.computed, changed.reused) == (1, 3)
    samples = read_samples(tmp_path / "out")["tuned/samples_qa_gold"]
    assert "Another text." in samples[2]["prompt"]
    assert samples[3]["target"] == "no"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"eval.grid.encoders": {"tuned": "x"}}, "is used twice"),
        ({"eval.grid.encoders": {"retrieval": "x"}}, "is used twice"),
        ({"eval.grid.encoders": {"a/b": "x"}}, "becomes a file name"),
        ({"eval.grid.retrievers": ["bm26"]}, "there is no retriever 'bm26'"),
        ({"pairs.path": "nowhere"}, "nowhere"),
        ({"prompt.shots": 0, "eval.grid.shots": [-1]}, "eval.grid.shots"),
    ],
)
def test_invalid_settings_are_reported_before_any_results_are_written(
    grid_models: dict[str, Any], store: str, tmp_path: Path, overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run_grid(grid_models, store, tmp_path / "out", **overrides)
    assert not list(tmp_path.glob("out/*/results.json"))


def test_command_prints_published_figures_and_has_exit_status_1_if_a_model_failed(
    command: Callable[..., Any], grid_models: dict[str, Any], store: str, tmp_path: Path
) -> None:
    llms = {"plain": grid_models["plain"], "absent": {"model": "./nowhere"}}
    published = {"source": "someone's thesis", "nli": {"plain": {"zero-shot": 0.333}}}
    file = tmp_path / "grid.yaml"
    file.write_text(json.dumps({"eval": {"grid": {"parts": ["nli"], "llms": llms, "published": published}}}))
    outcome = command("eval", "grid", "--config", str(file), "--limit", "4", "--output", "out", "--quiet")
    assert outcome.status == 1
    assert "[0.333]" in outcome.out
    assert "n = 4; in brackets: someone's thesis" in " ".join(outcome.out.split())
    assert "the evaluation of absent failed" in outcome.err
    assert "4 results were computed, 0 were cached" in outcome.err


def test_unwritable_output_folder_and_full_disk_are_reported(
    command: Callable[..., Any], grid_models: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    arguments = ("eval", "nli", "--set", f"llm.model={grid_models['plain']['model']}", "--limit", "4", "--quiet")
    outcome = command(*arguments, "--output", "file/out")
    assert outcome.status == 1
    assert "Results cannot be written" in outcome.err

    def raise_full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", raise_full)
        outcome = command(*arguments, "--output", "out")
    assert outcome.status == 1
    assert "No space left on device" in outcome.err
    assert "to continue" in outcome.err
    assert command(*arguments, "--output", "out").status == 0
