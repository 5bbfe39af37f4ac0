"""Summary and model card of a run."""

from collections.abc import Mapping, Sequence
from typing import Any

from chains.models.adapters import is_hub_id
from eval.results import versions
from finetune.checkpoints import Checkpoint
from finetune.distributed import peak_memory
from finetune.leakage import leakage_warning
from finetune.trainer import BaseTrainer, evaluations


def common_figures(
    trainer: BaseTrainer, recipe: Mapping[str, Any], result: Checkpoint, resumed: Checkpoint | None, wall_seconds: float
) -> dict[str, Any]:
    """The part of ``summary.json`` common to all training methods.

    ``resumed`` is the checkpoint that this process resumed from, if it did. ``wall_seconds`` is the run time of this
    process, including the loading of data and model.
    """
    state, model = trainer.state, trainer.accelerator.unwrap_model(trainer.model)
    peaks = [peak for peak in (peak_memory(), resumed and resumed.run.get("peak_memory")) if peak]
    num_parameters = getattr(model, "num_parameters", None)  # preferred: numel() counts two packed 4-bit weights as one
    return {
        "step": result.step,
        "steps": state.global_step,
        "stopped_early": state.global_step < state.max_steps,
        "dev_loss": evaluations(state.log_history).get(result.step, {}).get("eval_loss"),
        "parameters": num_parameters() if num_parameters else sum(weights.numel() for weights in model.parameters()),
        "trainable_parameters": sum(weights.numel() for weights in model.parameters() if weights.requires_grad),
        "seconds_training": round(trainer.seconds, 1),
        "seconds": round(wall_seconds, 1),
        "peak_memory": max(peaks, default=None),
        "resumed": resumed is not None,
        "recipe": recipe,
        "versions": versions(),
        "log": state.log_history,
    }


def model_card(
    summary: Mapping[str, Any],
    *,
    library: str,
    task: str,
    tags: Sequence[str],
    title: str,
    usage: Sequence[str],
    rows: Mapping[str, object],
    speed: str,
    about: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> str:
    """The text of ``README.md`` in the result's folder: the front matter of the model hub, usage and training.

    Args:
        summary: the content of ``summary.json``.
        library: the hub's ``library_name``.
        task: the hub's ``pipeline_tag``.
        tags: the hub's tags.
        title: the heading.
        usage: lines on how to use the model.
        rows: the first rows of the training table, before the rows common to all methods.
        speed: the value of the table's row ``speed``.
        about: lines below the heading.
        notes: lines below the table.
    """
    base = summary["recipe"]["model"]
    warning = leakage_warning(summary.get("repeated_premises", {}))
    peak = summary["peak_memory"]
    table = {
        **rows,
        "checkpoint": f"step {summary['step']} of {summary['steps']}",
        "trained parameters": f"{summary['trainable_parameters']:,} of {summary['parameters']:,}",
        "speed": speed,
        "time": f"{summary['seconds_training']} s of training, {summary['seconds']} s "
        + ("since it was resumed" if summary["resumed"] else "in all"),
        "peak memory": "unknown" if peak is None else f"{peak / 2**30:.2f} GiB",
    }
    blocks = [
        ["---", f"library_name: {library}"],
        [f"base_model: {base}"] if is_hub_id(base) else [],
        [f"pipeline_tag: {task}", f"tags: [{', '.join(tags)}]", "---", ""],
        [f"# {title}", ""],
        [*about, ""] if about else [],
        ["## How to use it", "", *usage, ""],
        ["## Training", "", "| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in table.items()), ""],
        [*notes, ""] if notes else [],
        [f"**{warning}**", ""] if warning else [],
        ["`summary.json` has all figures and settings.", ""],
    ]
    return "\n".join(line for block in blocks for line in block)


def dev_figure(value: float | None) -> str:
    """A dev accuracy or F1 as text in a card."""
    return "not measured" if value is None else f"{value:.3f}"


def base_name(model: str) -> str:
    """The base encoder's or embedder's name for a card."""
    return "all-MiniLM-L6-v2" if model == "embedded" else model
