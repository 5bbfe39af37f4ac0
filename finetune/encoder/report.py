"""Figures and model card of an encoder run."""

from collections import Counter
from collections.abc import Mapping
from itertools import islice
from typing import Any

from finetune.encoder.data import EncoderData
from finetune.encoder.trainer import EncoderTrainer
from finetune.report import base_name, figure, model_card
from finetune.trainer import evaluations


def figures(trainer: EncoderTrainer, data: EncoderData, step: int) -> dict[str, Any]:
    """The encoder's part of ``summary.json``; ``step`` is the step of the saved model."""
    state, seconds = trainer.state, max(trainer.seconds, 1e-9)
    result = evaluations(state.log_history).get(step, {})
    counts = Counter(data.labels[one.label] for one in data.train)
    seen = list(islice(trainer.schedule, state.global_step * trainer.args.per_device_train_batch_size))
    tokens = sum(len(data.train[index].inputs["input_ids"]) for index in seen)
    return {
        "labels": data.labels,
        "train_examples": {label: counts[label] for label in data.labels},
        "dev_examples": len(data.dev),
        "shortened": data.shortened,
        "left_out": data.left_out,
        "repeated_premises": data.leakage,
        "dev_accuracy": result.get("eval_accuracy"),
        "dev_macro_f1": result.get("eval_macro_f1"),
        "examples_per_second": round(len(seen) / seconds, 2),
        "tokens_per_second": round(tokens / seconds, 1),
    }


def card(summary: Mapping[str, Any]) -> str:
    """The model card."""
    recipe: Mapping[str, Any] = summary["recipe"]
    if recipe["task"] == "qa":
        kind = "questions with their text"
        does = "Answers a question (first text) from a text (second text)"
        longer = f"Longer texts are truncated between sentences; the {recipe['keep_text']} is kept."
        use = "`chains.encoder.classifier.classifier_chain(DIR)` is a chain for `eval.tasks.QATask`."
    else:
        kind = "pairs of texts"
        does = "Classifies the relation of a statement (second text) to a text (first text)"
        longer = "Longer texts are classified in parts of whole sentences."
        use = "    medground eval nli --set nli.kind=encoder --set nli.model=DIR"
    return model_card(
        summary,
        library="transformers",
        task="text-classification",
        tags=(recipe["task"], "medground"),
        title=f"`{base_name(recipe['model'])}` as a classifier of {kind}",
        about=[f"{does}: {', '.join(summary['labels'])}. It reads up to {recipe['max_length']} tokens. {longer}"],
        usage=[use],
        rows={
            "examples": ", ".join(f"{label} {count}" for label, count in summary["train_examples"].items()),
            "examples cut to fit": summary["shortened"],
            "texts left out as too long": summary["left_out"],
            "dev examples, for choosing the checkpoint": summary["dev_examples"],
            "dev accuracy, macro F1": f"{figure(summary['dev_accuracy'])}, {figure(summary['dev_macro_f1'])}",
        },
        speed=f"{summary['examples_per_second']} examples/s, {summary['tokens_per_second']} tokens/s",
    )
