"""What a run leaves beside the classifier: its figures as JSON and a model card."""

from collections import Counter
from collections.abc import Mapping
from itertools import islice
from typing import Any

from eval.results import versions
from finetune.callbacks import measurements
from finetune.checkpoints import Checkpoint
from finetune.encoder.examples import Lesson
from finetune.encoder.trainer import EncoderTrainer
from finetune.process import peak_memory
from finetune.repeated import warning


def summarise(
    trainer: EncoderTrainer, lesson: Lesson, recipe: Mapping[str, Any], taken: Checkpoint, wall: float
) -> dict[str, Any]:
    """Everything that ``summary.json`` holds.

    Args:
        trainer: after training.
        lesson: what was taught.
        recipe: what decides the result.
        taken: the checkpoint that became the result.
        wall: seconds that this process took, loading included.
    """
    state, seconds = trainer.state, max(trainer.seconds, 1e-9)
    measured = {int(entry["step"]): entry for entry in measurements(state.log_history)}
    result = measured.get(taken.step, {})
    counts = Counter(lesson.labels[one.label] for one in lesson.train)
    seen = list(islice(trainer.course, state.global_step * trainer.args.per_device_train_batch_size))
    tokens = sum(len(lesson.train[number].inputs["input_ids"]) for number in seen)
    parameters = list(trainer.model.parameters())
    return {
        "labels": lesson.labels,
        "train_examples": {label: counts[label] for label in lesson.labels},
        "dev_examples": len(lesson.dev),
        "shortened": lesson.shortened,
        "left_out": lesson.left_out,
        "repeated_premises": lesson.repeated,
        "step": taken.step,
        "steps": state.global_step,
        "dev_accuracy": result.get("eval_accuracy"),
        "dev_macro_f1": result.get("eval_macro_f1"),
        "dev_loss": result.get("eval_loss"),
        "parameters": sum(one.numel() for one in parameters),
        "trainable_parameters": sum(one.numel() for one in parameters if one.requires_grad),
        "examples_per_second": round(len(seen) / seconds, 2),
        "tokens_per_second": round(tokens / seconds, 1),
        "seconds_training": round(seconds, 1),
        "seconds": round(wall, 1),
        "peak_memory": peak_memory(),
        "recipe": recipe,
        "versions": versions(),
        "log": state.log_history,
    }


def card(summary: Mapping[str, Any]) -> str:
    """The text of ``README.md`` in the classifier's folder, filled from the summary."""
    recipe: Mapping[str, Any] = summary["recipe"]
    base, of_questions = recipe["model"], recipe["task"] == "qa"
    header = ["---", "library_name: transformers"]
    if base.count("/") == 1 and not base.startswith((".", "/", "~")):
        header.append(f"base_model: {base}")
    header += ["pipeline_tag: text-classification", f"tags: [{recipe['task']}, medground]", "---"]
    known = "all-MiniLM-L6-v2" if base == "embedded" else base
    if of_questions:
        does = "Answers a question (first text) from a text (second text)"
        longer = f"Of longer texts the {recipe['keep_text']} is read, cut between sentences."
        use = "`chains.encoder.classifier.classifier_chain(DIR)` is a chain that `eval.qa.evaluate_qa` measures."
    else:
        does = "Says how a statement (second text) relates to a text (first text)"
        longer = "Longer texts are judged in parts of whole sentences."
        use = "    medground eval nli --set nli.kind=encoder --set nli.model=DIR"
    counts = ", ".join(f"{label} {count}" for label, count in summary["train_examples"].items())
    lines = [
        *header,
        "",
        f"# `{known}` as a classifier of {'questions with their text' if of_questions else 'pairs of texts'}",
        "",
        f"{does}: {', '.join(summary['labels'])}. It reads up to {recipe['max_length']} tokens. {longer}",
        "",
        "## How to use it",
        "",
        use,
        "",
        "## Training",
        "",
        "| | |",
        "| --- | --- |",
        f"| examples | {counts} |",
        f"| of them cut to fit | {summary['shortened']} |",
        f"| left out because they cannot be made to fit | {summary['left_out']} |",
        f"| dev examples, for choosing the checkpoint | {summary['dev_examples']} |",
        f"| dev accuracy, macro F1 | {_figure(summary['dev_accuracy'])}, {_figure(summary['dev_macro_f1'])} |",
        f"| checkpoint taken | step {summary['step']} of {summary['steps']} |",
        f"| trained parameters | {summary['trainable_parameters']:,} of {summary['parameters']:,} |",
        f"| speed | {summary['examples_per_second']} examples/s, {summary['tokens_per_second']} tokens/s |",
        f"| time | {summary['seconds_training']} s of training, {summary['seconds']} s in all |",
        "",
        *([f"**{flatters}**", ""] if (flatters := warning(summary["repeated_premises"])) else []),
        "`summary.json` has all figures and settings.",
        "",
    ]
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"
