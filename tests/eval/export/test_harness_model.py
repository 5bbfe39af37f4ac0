from typing import Any

import pytest
from answered_runs import config

from eval.export.harness import data_of, model_args, model_name, shots_of
from eval.tasks import recorded_tasks, task_from_name

BASE = {"pretrained": "org/model", "dtype": "auto"}
ADAPTED = {**BASE, "peft": "adapters/nli"}
NLI = {"nli": {"adapter": "adapters/nli"}}


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
def test_the_model_of_a_task(names: list[str], task: str, changed: dict[str, Any], args: dict[str, Any]) -> None:
    assert model_args(recorded_tasks(names, {})[task], config(**changed)) == args


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
    assert shots_of(task_from_name(task), config(prompt={"shots": 2})) == shots


def test_data_are_pairs_or_records() -> None:
    assert data_of(task_from_name("nli_tuned"), config())["limit"] == 2
    assert data_of(task_from_name("verified_gold"), config())["path"] == "ori_pqal.json"
    assert data_of(task_from_name("qa_gold"), {}) == {}
