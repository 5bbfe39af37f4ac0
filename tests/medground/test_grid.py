"""A grid over small real models: its tables and files, what is computed once, and what becomes of a run that stops."""

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

N = 6


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("models")
    chat = checkpoints.make_chat(root / "chat")
    return {
        "tuned": {"model": str(chat), "nli_adapter": str(checkpoints.make_adapter(chat, root / "adapter"))},
        "plain": {"model": str(checkpoints.make_llama2(root / "llama")), "tasks": ["nli"]},
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("store"))


def grid(models: dict[str, Any], store: str, output: Path, **over: Any) -> Grid:
    settings = load_settings(
        None,
        {
            "eval": {
                "grid": {
                    "llms": {name: {**one, "dtype": "float32", "batch_tokens": 700} for name, one in models.items()}
                }
            },
            "eval.grid.shots": [0, 1],
            "eval.grid.retrievers": ["bm25"],
            "data.limit": N,
            "pairs.limit": N,
            "store.path": store,
        },
        over,
    )
    return measure_grid(settings, output, quiet=True)


def results_of(folder: Path) -> dict[str, Any]:
    return {
        f"{file.parent.name} {task}": figures
        for file in sorted(folder.glob("*/results.json"))
        for task, figures in json.loads(file.read_text())["results"].items()
    }


def samples_of(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {
        f"{file.parent.name}/{file.stem}": [json.loads(line) for line in file.read_text().splitlines()]
        for file in sorted(folder.glob("*/samples_*.jsonl"))
    }


@pytest.fixture(scope="module")
def unbroken(models: dict[str, Any], store: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("unbroken")
    assert grid(models, store, output).failures == {}
    return output


def test_every_model_has_its_folder_and_every_figure_its_cell(unbroken: Path) -> None:
    assert set(results_of(unbroken)) == {
        "retrieval retrieval_bm25",
        *(f"tuned {task}" for task in ("qa_none", "qa_retrieved_bm25", "qa_gold", "nli", "nli_1shot", "nli_tuned")),
        *(f"plain {task}" for task in ("nli", "nli_1shot")),
    }
    cells = json.loads((unbroken / "grid.json").read_text())["cells"]
    shown = {(cell["part"], cell["row"], cell["column"]) for cell in cells}
    assert {("retrieval", "bm25", "all"), ("qa", "retrieved_bm25", "tuned"), ("nli", "tuned", "1-shot")} <= shown
    for cell in cells:
        figures = results_of(unbroken)[f"{cell['run']} {cell['task']}"]
        assert cell["estimate"]["value"] == figures[cell["metric"]]
        assert cell["n"] == N
    assert all(len(samples) == N for samples in samples_of(unbroken).values())


def test_the_adapter_is_on_for_the_tuned_column_alone(unbroken: Path) -> None:
    samples = samples_of(unbroken)
    before, after = (samples[f"tuned/samples_{task}"] for task in ("nli", "nli_tuned"))
    assert [one["prompt"] for one in before] == [one["prompt"] for one in after]
    assert all(a["label_scores"] != b["label_scores"] for a, b in zip(before, after, strict=True))
    assert before[0]["key"] != after[0]["key"]
    identity = json.loads((unbroken / "tuned" / "results.json").read_text())["identity"]
    assert identity["nli"]["nli"] == identity["nli_1shot"]["nli"] == identity["qa_gold"]["llm"]
    assert identity["nli_tuned"]["nli"] != identity["nli"]["nli"]
    assert {of_task["dtype"] for of_task in identity.values()} <= {"float32", "bfloat16"}


def test_an_equal_prompt_is_answered_once(unbroken: Path) -> None:
    """bm25 finds the sample's own abstracts, so the prompts of both contexts are the same."""
    results = json.loads((unbroken / "tuned" / "results.json").read_text())
    found, gold = (samples_of(unbroken)[f"tuned/samples_qa_{name}"] for name in ("retrieved_bm25", "gold"))
    same = sum(a["prompt"] == b["prompt"] for a, b in zip(found, gold, strict=True))
    assert same > 0
    assert (results["computed"], results["reused"]) == (6 * N - same, same)


def test_a_second_run_computes_nothing(models: dict[str, Any], store: str, unbroken: Path) -> None:
    before = samples_of(unbroken)
    size = (unbroken / CACHE_FILE).stat().st_size
    again = grid(models, store, unbroken)
    assert (again.computed, again.reused) == (0, 9 * N)
    assert samples_of(unbroken) == before
    assert (unbroken / CACHE_FILE).stat().st_size == size


def test_a_run_stopped_ten_times_ends_as_the_unbroken_one(
    models: dict[str, Any], store: str, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(3)
    put, left = ResultCache.put, [0]

    def stopping(self: ResultCache, values: dict[str, Any]) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        put(self, values)

    monkeypatch.setattr(ResultCache, "put", stopping)
    stops = 0
    while True:
        left[0] = rng.choice([1, 1, 2]) if stops < 10 else 1000
        try:
            finished = grid(models, store, tmp_path)
        except KeyboardInterrupt:
            stops += 1
            continue
        break
    assert stops == 10
    keys = [json.loads(line)["key"] for line in (tmp_path / CACHE_FILE).read_text().splitlines()]
    assert len(keys) == len(set(keys))  # nothing that was finished was computed again
    assert finished.computed + finished.reused == 9 * N
    assert_same(tmp_path, unbroken)


def assert_same(folder: Path, reference: Path) -> None:
    """Equal save for rounding, since other batches go through the model together."""
    ours, theirs = samples_of(folder), samples_of(reference)
    assert ours.keys() == theirs.keys()
    for name, samples in ours.items():
        for a, b in zip(samples, theirs[name], strict=True):
            assert a.pop("label_scores") == pytest.approx(b.pop("label_scores"), abs=1e-5)
            assert a == b
    for name, figures in results_of(folder).items():
        assert figures == pytest.approx(results_of(reference)[name], abs=1e-5)


def test_a_model_that_cannot_be_had_is_told_and_the_others_are_measured(
    models: dict[str, Any], store: str, tmp_path: Path
) -> None:
    broken = {"absent": {"model": str(tmp_path / "nowhere")}, **models}
    broken["tuned"] = {**models["tuned"], "nli_adapter": str(tmp_path / "no-adapter")}
    measured = grid(broken, store, tmp_path / "out", **{"eval.grid.shots": [0]})
    assert set(measured.failures) == {"absent", "tuned"}
    assert "nowhere" in measured.failures["absent"]
    assert {"tuned qa_gold", "tuned nli", "plain nli"} <= set(results_of(tmp_path / "out"))
    assert json.loads((tmp_path / "out" / "grid.json").read_text())["failures"] == measured.failures


def test_data_changed_under_a_run_is_measured_anew(models: dict[str, Any], store: str, tmp_path: Path) -> None:
    only = {"tuned": {**models["tuned"], "tasks": ["qa"]}}
    records = {
        str(number): {"QUESTION": f"Is it {number}?", "CONTEXTS": [f"Text {number}."], "final_decision": "yes"}
        for number in range(4)
    }
    file = tmp_path / "data.json"
    over = {"data.path": str(file), "data.split": "all", "eval.grid.parts": ["qa"], "eval.grid.contexts": ["gold"]}
    file.write_text(json.dumps(records))
    assert grid(only, store, tmp_path / "out", **over).computed == 4
    records["2"]["CONTEXTS"] = ["Another text."]
    records["3"]["final_decision"] = "no"
    file.write_text(json.dumps(records))
    changed = grid(only, store, tmp_path / "out", **over)
    assert (changed.computed, changed.reused) == (1, 3)
    samples = samples_of(tmp_path / "out")["tuned/samples_qa_gold"]
    assert "Another text." in samples[2]["prompt"]
    assert samples[3]["target"] == "no"


@pytest.mark.parametrize(
    ("over", "told"),
    [
        ({"eval.grid.encoders": {"tuned": "x"}}, "is used twice"),
        ({"eval.grid.encoders": {"retrieval": "x"}}, "is used twice"),
        ({"eval.grid.encoders": {"a/b": "x"}}, "becomes a file name"),
        ({"eval.grid.retrievers": ["bm26"]}, "there is no retriever 'bm26'"),
        ({"pairs.path": "nowhere"}, "nowhere"),
        ({"prompt.shots": 0, "eval.grid.shots": [-1]}, "eval.grid.shots"),
    ],
)
def test_mistakes_show_before_a_model_is_loaded(
    models: dict[str, Any], store: str, tmp_path: Path, over: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        grid(models, store, tmp_path / "out", **over)
    assert not list(tmp_path.glob("out/*/results.json"))


def test_the_command_shows_published_figures_beside_and_ends_with_1_where_a_model_failed(
    command: Callable[..., Any], models: dict[str, Any], store: str, tmp_path: Path
) -> None:
    llms = {"plain": models["plain"], "absent": {"model": "./nowhere"}}
    published = {"source": "someone's thesis", "nli": {"plain": {"zero-shot": 0.333}}}
    file = tmp_path / "grid.yaml"
    file.write_text(json.dumps({"eval": {"grid": {"parts": ["nli"], "llms": llms, "published": published}}}))
    outcome = command("eval", "grid", "--config", str(file), "--limit", "4", "--output", "out", "--quiet")
    assert outcome.status == 1
    assert "[0.333]" in outcome.out
    assert "n = 4; in brackets: someone's thesis" in " ".join(outcome.out.split())
    assert "the evaluation of absent failed" in outcome.err
    assert "4 results were computed, 0 were cached" in outcome.err


def test_a_folder_without_write_permission_and_a_full_disk(
    command: Callable[..., Any], models: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    arguments = ("eval", "nli", "--set", f"llm.model={models['plain']['model']}", "--limit", "4", "--quiet")
    told = command(*arguments, "--output", "file/out")
    assert (told.status, "Results cannot be written" in told.err) == (1, True)

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        told = command(*arguments, "--output", "out")
    assert told.status == 1
    assert "No space left on device" in told.err
    assert "to continue" in told.err
    assert command(*arguments, "--output", "out").status == 0
