from typing import Any

import pytest
from written_runs import config

from eval.export.harness import data_of, model_args, model_name, shots_of
from eval.tasks import CheckTask, recorded_tasks, task_from_name

BASE_ARGS = {"pretrained": "org/model", "dtype": "auto"}
ADAPTER_ARGS = {**BASE_ARGS, "peft": "adapters/nli"}
NLI_ADAPTER = {"nli": {"adapter": "adapters/nli"}}
GRID_TASKS = ["nli", "nli_3shot", "nli_tuned"]


@pytest.mark.parametrize(
    ("names", "task", "sections", "args"),
    [
        (["qa_gold"], "qa_gold", {}, BASE_ARGS),
        (["qa_gold"], "qa_gold", {"llm": {"quantization": "4bit"}}, {**BASE_ARGS, "load_in_4bit": True}),
        (["qa_gold"], "qa_gold", {"llm": {"adapter": "x"}}, {**BASE_ARGS, "peft": "x"}),
        (["qa_gold"], "qa_gold", NLI_ADAPTER, BASE_ARGS),  # nli.adapter is not used for questions
        (["qa_gold"], "qa_gold", {"nli": {"kind": "encoder", "model": "m"}}, BASE_ARGS),
        (["nli"], "nli", NLI_ADAPTER, ADAPTER_ARGS),
        (["nli"], "nli", {"nli": {"kind": "encoder", "model": "m"}}, {"pretrained": "m"}),
        (GRID_TASKS, "nli", NLI_ADAPTER, BASE_ARGS),  # beside nli_tuned, "nli" is measured without the adapter
        (GRID_TASKS, "nli_3shot", NLI_ADAPTER, BASE_ARGS),
        (GRID_TASKS, "nli_tuned", NLI_ADAPTER, ADAPTER_ARGS),
        (["qa_gold"], "qa_gold", {"llm": {"base_url": "http://x"}}, {"model": "org/model", "base_url": "http://x"}),
    ],
)
def test_model_args_depend_on_task_and_settings(
    names: list[str], task: str, sections: dict[str, Any], args: dict[str, Any]
) -> None:
    assert model_args(recorded_tasks(names, {})[task], config(**sections)) == args


def test_checked_claims_have_model_args_and_shots_of_the_judge() -> None:
    settings = config(**NLI_ADAPTER, prompt={"shots": 2})
    assert (model_args(CheckTask(), settings), shots_of(CheckTask(), settings)) == (ADAPTER_ARGS, 6)
    encoder = config(nli={"kind": "encoder", "model": "m"}, prompt={"shots": 2})
    assert (model_args(CheckTask(), encoder), shots_of(CheckTask(), encoder)) == ({"pretrained": "m"}, 0)


@pytest.mark.parametrize(
    ("args", "name"),
    [
        (ADAPTER_ARGS, "adapters/nli"),
        (BASE_ARGS, "org/model"),
        ({"pretrained": "embedded"}, "medground-tiny"),
        ({"model": "served"}, "served"),
        ({"pretrained": None}, "unnamed"),
    ],
)
def test_model_is_named_after_its_adapter_if_it_has_one(args: dict[str, Any], name: str) -> None:
    assert model_name(args) == name


@pytest.mark.parametrize(("task", "shots"), [("nli", 6), ("nli_3shot", 9), ("nli_tuned", 6), ("qa_gold", 0)])
def test_shots_are_counted_over_all_labels_and_only_for_inference(task: str, shots: int) -> None:
    assert shots_of(task_from_name(task), config(prompt={"shots": 2})) == shots


def test_settings_of_the_data_come_from_the_section_of_the_task() -> None:
    assert data_of(task_from_name("nli_tuned"), config())["limit"] == 2
    assert data_of(task_from_name("verified_gold"), config())["path"] == "ori_pqal.json"
    assert data_of(task_from_name("qa_gold"), {}) == {}
