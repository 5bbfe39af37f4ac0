"""What a run's settings say about a task, in the lm-evaluation-harness's words."""

import re
from collections.abc import Mapping
from typing import Any

from eval.runs import Run

_FEW_SHOT = re.compile(r"nli_(\d+)shot")  # what a grid calls pairs judged after so many examples of each label
_TUNED = "nli_tuned"  # and pairs judged with nli.adapter; the grid's other tasks of pairs are without


def model_args(task: str, run: Run) -> dict[str, Any]:
    """What did the task, as the harness's ``model_args`` name it."""
    config = run.config_of(task)
    llm, nli = config.get("llm") or {}, config.get("nli") or {}
    if _judges(task) and nli.get("kind") == "encoder":
        return {"pretrained": nli.get("model")}
    if llm.get("base_url"):
        return {"model": llm.get("model"), "base_url": llm["base_url"]}
    args = {"pretrained": llm.get("model"), "dtype": llm.get("dtype")}
    with_adapter = task == _TUNED or (task == "nli" and _TUNED not in run.tasks)
    if adapter := (with_adapter and nli.get("adapter")) or llm.get("adapter"):
        args["peft"] = adapter
    if llm.get("quantization") in ("4bit", "8bit"):
        args[f"load_in_{llm['quantization']}"] = True
    return args


def model_name(args: Mapping[str, Any]) -> str:
    """The name under which the harness lists a model: the adapter's where there is one."""
    name = next((str(args[key]) for key in ("peft", "pretrained", "model") if args.get(key)), "unnamed")
    return "medground-tiny" if name == "embedded" else name


def shots_of(task: str, config: Mapping[str, Any]) -> int:
    """How many examples a prompt shows: so many of each label, and before pairs alone."""
    if not _judges(task):
        return 0
    few = _FEW_SHOT.fullmatch(task)
    of_each = int(few[1] if few else (config.get("prompt") or {}).get("shots") or 0)
    return of_each * len(set(((config.get("pairs") or {}).get("labels") or {}).values()))


def data_of(task: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of the data that the task is over."""
    data: Mapping[str, Any] = config.get("pairs" if _judges(task) else "data") or {}
    return data


def _judges(task: str) -> bool:
    return task == "nli" or task.startswith("nli_")
