"""What a run leaves beside the adapter: figures as JSON, a plot of them, and a model card."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.results import versions
from finetune.callbacks import measurements
from finetune.checkpoints import Checkpoint
from finetune.process import peak_memory
from finetune.qlora.device import Fitted
from finetune.qlora.lesson import Lesson
from finetune.qlora.trainer import PairTrainer
from finetune.repeated import warning

PLOT_FILE = "training.png"


def summarise(
    trainer: PairTrainer,
    lesson: Lesson,
    fitted: Fitted,
    recipe: Mapping[str, Any],
    taken: Checkpoint,
    resumed: Checkpoint | None,
    wall: float,
) -> dict[str, Any]:
    """Everything that ``summary.json`` holds.

    Args:
        trainer: after training.
        lesson: what was taught.
        fitted: the settings as they were carried out.
        recipe: see ``lesson.recipe_of``.
        taken: the checkpoint that became the result.
        resumed: the one that this process went on from.
        wall: seconds that this process took, loading included.
    """
    log, state = trainer.state.log_history, trainer.state
    seconds = max(trainer.seconds, 1e-9)
    measured = {int(entry["step"]): entry["eval_accuracy"] for entry in log if "eval_accuracy" in entry}
    parameters = list(trainer.model.parameters())
    peaks = [peak for peak in (peak_memory(), resumed and resumed.run["peak_memory"]) if peak]
    return {
        "method": fitted.config.method,
        "labels": lesson.labels,
        "train_pairs": len(lesson.train.examples),
        "answer_pairs": lesson.of_answers,
        "dev_pairs": len(lesson.dev.examples),
        "left_out": {"train": lesson.train.left_out, "dev": lesson.dev.left_out},
        "repeated_premises": lesson.repeated,
        "steps": state.global_step,
        "step": taken.step,
        "stopped_early": state.global_step < state.max_steps,
        "dev_accuracy": {
            "before": measured.get(0),
            "result": measured.get(taken.step),
            "last": measurements(log)[-1]["eval_accuracy"],
        },
        "seconds": round(wall, 1),
        "seconds_training": round(seconds, 1),
        "examples_per_second": round((state.epoch or 0) * len(lesson.train.examples) / seconds, 1),
        "tokens_per_second": round(state.num_input_tokens_seen / seconds),
        "peak_memory": max(peaks, default=None),
        "trainable_parameters": sum(value.numel() for value in parameters if value.requires_grad),
        "parameters": trainer.accelerator.unwrap_model(trainer.model).num_parameters(),
        "compute": recipe["dtype"],
        "substitutions": fitted.substitutions,
        "resumed": resumed is not None,
        "recipe": recipe,
        "versions": versions(),
    }


def plot(log: Sequence[Mapping[str, float]], path: Path) -> None:
    """Training loss, dev loss and dev accuracy by step, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    losses = figure.subplots()
    accuracy = losses.twinx()
    lines = []
    for axes, name, colour, label in (
        (losses, "loss", "tab:blue", "training loss (nats a token)"),
        (losses, "eval_loss", "tab:orange", "dev loss (nats a pair)"),
        (accuracy, "eval_accuracy", "tab:green", "dev accuracy"),
    ):
        points = [(entry["step"], entry[name]) for entry in log if name in entry]
        if points:
            steps, values = zip(*points, strict=True)
            lines += axes.plot(steps, values, color=colour, marker="." if name != "loss" else None, label=label)
    losses.set_xlabel("step")
    losses.set_ylabel("loss")
    losses.set_ylim(bottom=0)
    accuracy.set_ylabel("accuracy")
    accuracy.set_ylim(0, 1)
    losses.legend(lines, [str(line.get_label()) for line in lines], loc="center right")
    figure.savefig(path, dpi=120)


def card(summary: Mapping[str, Any]) -> str:
    """The text of ``README.md`` in the folder of the adapter or the model, filled from the summary."""
    recipe: Mapping[str, Any] = summary["recipe"]
    base, adapter = recipe["model"], summary["method"] == "lora"
    header = ["---", "library_name: " + ("peft" if adapter else "transformers")]
    if base.count("/") == 1 and not base.startswith((".", "/", "~")):
        header.append(f"base_model: {base}")
    header += ["pipeline_tag: text-generation", "tags: [nli, medground]", "---"]
    kind = f"{'QLoRA' if recipe['quantization'] == '4bit' else 'LoRA'} adapter for" if adapter else "Fine-tuned from"
    setting = "llm.adapter" if adapter else "llm.model"
    dev = summary["dev_accuracy"]
    lines = [
        *header,
        "",
        f"# {kind} `{base}`: natural language inference",
        "",
        f"Says how a statement relates to a text: {', '.join(summary['labels'])}. Trained and measured by medground, "
        "with one prompt template for training, evaluation and use.",
        "",
        "## How to use it",
        "",
        f"    medground eval nli --set llm.model={base if adapter else 'DIR'}"
        + (f" --set {setting}=DIR --set llm.quantization={recipe['quantization']}" if adapter else ""),
        "",
        *(
            [
                "Any program with PEFT loads it on the loaded base: `PeftModel.from_pretrained(base, DIR)`."
                + (
                    " The base `embedded` is medground-tiny, in the package's `chains/embedded`." * (base == "embedded")
                ),
                "",
            ]
            if adapter
            else []
        ),
        "## Training",
        "",
        "| | |",
        "| --- | --- |",
        f"| pairs | {summary['train_pairs']} for training, {summary['dev_pairs']} for choosing the checkpoint |",
        f"| of them made of questions | {summary['answer_pairs']} |",
        f"| left out because too long | {summary['left_out']['train']} and {summary['left_out']['dev']} |",
        f"| dev accuracy | {_figure(dev['before'])} before, {_figure(dev['result'])} after |",
        f"| checkpoint taken | step {summary['step']} of {summary['steps']} |",
        f"| trained parameters | {summary['trainable_parameters']:,} of {summary['parameters']:,} |",
        f"| speed | {summary['examples_per_second']} examples/s, {summary['tokens_per_second']} tokens/s |",
        f"| time | {summary['seconds_training']} s of training, {summary['seconds']} s in all |",
        f"| peak memory | {_bytes(summary['peak_memory'])} |",
        f"| computed in | {summary['compute']} |",
        "",
    ]
    if summary["substitutions"]:
        lines += ["This device could not do all that the settings asked:", ""]
        lines += [f"- {one}" for one in summary["substitutions"]] + [""]
    if flatters := warning(summary["repeated_premises"]):
        lines += [f"**{flatters}**", ""]
    lines += ["`summary.json` has all figures and settings, `training.png` the course of the loss.", ""]
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"


def _bytes(count: int | None) -> str:
    return "unknown" if count is None else f"{count / 2**30:.2f} GiB"
