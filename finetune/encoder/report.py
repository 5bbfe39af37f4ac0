"""Model card of an encoder run."""

from collections.abc import Mapping
from typing import Any

from finetune.report import base_name, dev_figure, model_card


def card(summary: Mapping[str, Any]) -> str:
    """The model card."""
    recipe: Mapping[str, Any] = summary["recipe"]
    labels = ", ".join(summary["labels"])
    if recipe["task"] == "qa":
        inputs = "questions with their text"
        purpose = "Answers a question (first text) from a text (second text)"
        truncation = f"Longer texts are truncated between sentences; the {recipe['keep_text']} is kept."
        usage = "`chains.encoder.classifier.classifier_chain(DIR)` is a chain for `eval.tasks.QATask`."
    else:
        inputs = "pairs of texts"
        purpose = "Classifies the relation of a statement (second text) to a text (first text)"
        truncation = "Longer texts are classified in parts of whole sentences."
        usage = "    medground eval nli --set nli.kind=encoder --set nli.model=DIR"
    return model_card(
        summary,
        library="transformers",
        task="text-classification",
        tags=(recipe["task"], "medground"),
        title=f"`{base_name(recipe['model'])}` as a classifier of {inputs}",
        about=[f"{purpose}: {labels}. It reads up to {recipe['max_length']} tokens. {truncation}"],
        usage=[usage],
        rows={
            "examples": ", ".join(f"{label} {count}" for label, count in summary["train_examples"].items()),
            "examples cut to fit": summary["shortened"],
            "texts left out as too long": summary["left_out"],
            "dev examples, for choosing the checkpoint": summary["dev_examples"],
            "dev accuracy, macro F1": f"{dev_figure(summary['dev_accuracy'])}, {dev_figure(summary['dev_macro_f1'])}",
        },
        speed=f"{summary['examples_per_second']} examples/s, {summary['tokens_per_second']} tokens/s",
    )
