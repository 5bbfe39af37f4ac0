from pathlib import Path
from typing import Any

import pytest
from answered_runs import config, nli_task, qa_task, written

from eval.export.harness_model import data_of, model_args, model_name, shots_of
from eval.results import TaskResult

BASE = {"pretrained": "org/model", "dtype": "auto"}
ADAPTED = {**BASE, "peft": "adapters/nli"}
NLI = {"nli": {"adapter": "adapters/nli"}}


def _task(name: str) -> TaskResult:
    return nli_task(["neutral"], ["neutral"], name) if name.startswith("nli") else qa_task(name, ["yes"], ["yes"])


@pytest.mark.parametrize(
    ("names", "task", "changed", "args"),
    [
        (["qa_gold"], "qa_gold", {}, BASE),
        (["qa_gold"], "qa_gold", {"llm": {"quantization": "4bit"}}, {**BASE, "load_in_4bit": True}),
        (["qa_gold"], "qa_gold", {"llm": {"adapter": "x"}}, {**BASE, "peft": "x"}),
        (["qa_gold"], "qa_gold", NLI, BASE),  # questions are answered with it off
        (["qa_gold"], "qa_gold", {"nli": {"kind": "encoder", "model": "m"}}, BASE),
        (["nli"], "nli", NLI, ADAPTED),
        (["nli"], "nli", {"nli": {"kind": "encoder", "model": "m"}}, {"pretrained": "m"}),
        (["nli", "nli_3shot", "nli_tuned"], "nli", NLI, BASE),  # a grid measures without first
        (["nli", "nli_3shot", "nli_tuned"], "nli_3shot", NLI, BASE),
        (["nli", "nli_3shot", "nli_tuned"], "nli_tuned", NLI, ADAPTED),
        (["qa_gold"], "qa_gold", {"llm": {"base_url": "http://x"}}, {"model": "org/model", "base_url": "http://x"}),
    ],
)
def test_what_did_a_task(
    names: list[str], task: str, changed: dict[str, Any], args: dict[str, Any], tmp_path: Path
) -> None:
    run = written(tmp_path, [_task(name) for name in names], config(**changed))
    assert model_args(task, run) == args


@pytest.mark.parametrize(
    ("args", "name"),
    [
        (ADAPTED, "adapters/nli"),
        (BASE, "org/model"),
        ({"pretrained": "embedded"}, "medground-tiny"),
        ({"model": "served"}, "served"),
        ({"pretrained": None}, "unnamed"),
    ],
)
def test_the_name_of_a_model(args: dict[str, Any], name: str) -> None:
    assert model_name(args) == name


@pytest.mark.parametrize(("task", "shots"), [("nli", 6), ("nli_3shot", 9), ("nli_tuned", 6), ("qa_gold", 0)])
def test_examples_are_of_each_label_and_before_pairs(task: str, shots: int) -> None:
    assert shots_of(task, config(prompt={"shots": 2})) == shots


def test_data_are_pairs_or_records() -> None:
    assert data_of("nli_tuned", config())["limit"] == 2
    assert data_of("verified_gold", config())["path"] == "ori_pqal.json"
    assert data_of("qa_gold", {}) == {}
