"""A task's model, data and number of shots in the terms of the lm-evaluation-harness."""

from collections.abc import Mapping
from typing import Any

from eval.tasks import NLITask, Task


def model_args(task: Task, config: Mapping[str, Any]) -> dict[str, Any]:
    """The harness's ``model_args`` for the model of a task, given the run's settings."""
    llm, nli = config.get("llm") or {}, config.get("nli") or {}
    if isinstance(task, NLITask) and nli.get("kind") == "encoder":
        return {"pretrained": nli.get("model")}
    if llm.get("base_url"):
        return {"model": llm.get("model"), "base_url": llm["base_url"]}
    args = {"pretrained": llm.get("model"), "dtype": llm.get("dtype")}
    with_adapter = isinstance(task, NLITask) and task.tuned is not False
    if adapter := (with_adapter and nli.get("adapter")) or llm.get("adapter"):
        args["peft"] = adapter
    if llm.get("quantization") in ("4bit", "8bit"):
        args[f"load_in_{llm['quantization']}"] = True
    return args


def model_name(args: Mapping[str, Any]) -> str:
    """The name under which the harness lists a model: the adapter's where there is one."""
    name = next((str(args[key]) for key in ("peft", "pretrained", "model") if args.get(key)), "unnamed")
    return "medground-tiny" if name == "embedded" else name


def shots_of(task: Task, config: Mapping[str, Any]) -> int:
    """The number of examples in a prompt: only tasks on pairs have any, so many of each label."""
    if not isinstance(task, NLITask):
        return 0
    of_each = int((config.get("prompt") or {}).get("shots") or 0) if task.shots is None else task.shots
    return of_each * len(set(((config.get("pairs") or {}).get("labels") or {}).values()))


def data_of(task: Task, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of the task's data."""
    data: Mapping[str, Any] = config.get(task.section.data) or {}
    return data
