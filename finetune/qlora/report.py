"""Plot and model card of a QLoRA run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from finetune.report import dev_figure, model_card

PLOT_FILE = "training.png"


def plot(log: Sequence[Mapping[str, float]], path: Path) -> None:
    """Plot training loss, dev loss and dev accuracy by step as a PNG."""
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(7, 4), layout="constrained")
    losses = canvas.subplots()
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
    canvas.savefig(path, dpi=120)


def card(summary: Mapping[str, Any]) -> str:
    """The model card of the adapter or model."""
    recipe: Mapping[str, Any] = summary["recipe"]
    base, is_adapter, dev = recipe["model"], summary["method"] == "lora", summary["dev_accuracy"]
    usage = ["    medground eval nli --set llm.model=DIR"]
    kind = "Fine-tuned from"
    if is_adapter:
        kind = f"{'QLoRA' if recipe['quantization'] == '4bit' else 'LoRA'} adapter for"
        usage = [
            f"    medground eval nli --set llm.model={base} --set llm.adapter=DIR "
            f"--set llm.quantization={recipe['quantization']}",
            "",
            "Any program with PEFT loads it on the loaded base: `PeftModel.from_pretrained(base, DIR)`."
            + " The base `embedded` is medground-tiny, in the package's `chains/embedded`." * (base == "embedded"),
        ]
    substitutions = [f"- {text}" for text in summary["substitutions"]]
    return model_card(
        summary,
        library="peft" if is_adapter else "transformers",
        task="text-generation",
        tags=("nli", "medground"),
        title=f"{kind} `{base}`: natural language inference",
        about=[
            f"Classifies the relation of a statement to a text: {', '.join(summary['labels'])}. Trained and measured "
            "by medground, with one prompt template for training, evaluation and use."
        ],
        usage=usage,
        rows={
            "pairs": f"{summary['train_pairs']} for training, {summary['dev_pairs']} for choosing the checkpoint",
            "pairs made from questions": summary["answer_pairs"],
            "pairs left out as too long": f"{summary['left_out']['train']} and {summary['left_out']['dev']}",
            "dev accuracy": f"{dev_figure(dev['before'])} before, {dev_figure(dev['result'])} after",
            "number format": summary["compute"],
        },
        speed=f"{summary['examples_per_second']} examples/s, {summary['tokens_per_second']} tokens/s",
        notes=["Settings that were replaced on this device:", "", *substitutions, ""] * bool(substitutions)
        + [f"`{PLOT_FILE}` shows the losses and the dev accuracy."],
    )
