"""``medground train encoder``: fine-tunes a sequence classifier on pairs or questions."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from chains.encoder.sequence import SequenceClassifier
from common.fingerprints import weights_digest
from corpus.config import DataConfig, PairsConfig
from finetune.config import EncoderConfig
from finetune.distributed import processes
from finetune.encoder.data import EncoderData, Example, encode_texts, read_texts
from finetune.encoder.model import load_base
from finetune.encoder.schedule import Schedule, Stage
from finetune.encoder.trainer import EncoderTrainer, evaluate_classifier, label_weights, weighted_loss
from finetune.report import base_name, dev_figure, model_card
from finetune.run import Job, Run, digest
from finetune.trainer import evaluations


def train_encoder(
    config: EncoderConfig,
    output: Path,
    *,
    pairs: PairsConfig | None = None,
    data: DataConfig | None = None,
    quiet: bool = False,
) -> Path:
    """Fine-tune a sequence classifier and save it in ``output`` with its model card and measurements (see ``Run``).

    ``pairs`` is the source of the pairs of task ``nli``. ``data`` is the source of the records of task ``qa``, and of
    those for the setting ``answer_pairs``. Each is the package's sample by default.

    Raises:
        UserError: the data, the model or ``output`` cannot be used, or see ``Run.train``.
    """
    run = Run(output, config, "train.encoder", quiet=quiet)
    texts = read_texts(config, pairs, data)
    classifier = load_base(config, texts.labels)
    examples = encode_texts(texts, classifier.texts)
    if examples.leakage.search_error:
        run.print(examples.leakage.search_error)
    if examples.shortened:
        run.print(
            f"{examples.shortened} of {len(examples.train)} training texts are cut to fit {config.max_length} tokens "
            "(train.encoder.max_length), by whole sentences where possible."
        )
    if examples.left_out:
        run.print(f"{examples.left_out} texts do not fit {config.max_length} tokens and are left out.")
    return run.train(EncoderJob(config, classifier, examples))


@dataclass(frozen=True)
class EncoderJob(Job[EncoderTrainer]):
    """Training of a sequence classifier."""

    config: EncoderConfig
    classifier: SequenceClassifier
    data: EncoderData

    def recipe(self) -> dict[str, Any]:
        """Digests of the base weights and the examples, and the labels."""
        return {
            "weights": weights_digest(self.classifier.model)[:16],
            "labels": self.classifier.labels,
            "training examples": _digest(self.data.train),
            "dev examples": _digest(self.data.dev),
        }

    def make_trainer(self, arguments: dict[str, Any], **kwargs: Any) -> EncoderTrainer:
        """The trainer on the schedule of ``config``."""
        config, data = self.config, self.data
        arguments |= {
            "learning_rate": 1.0,  # a factor: the sampler, a ``Schedule``, has the rates
            "num_train_epochs": 1,  # the sampler runs through all epochs as one
            "remove_unused_columns": False,
            "average_tokens_across_devices": False,  # the loss is a mean over the examples of a device
        }
        return EncoderTrainer(
            model=self.classifier.model,
            args=TrainingArguments(**arguments),
            train_dataset=[{**example.inputs, "label": example.label} for example in data.train],
            processing_class=self.classifier.tokenizer,
            sampler=_make_sampler(config, data),
            compute_loss_func=partial(
                weighted_loss,
                weights=label_weights(data.train, len(self.classifier.labels), config.class_weight),
                smoothing=config.label_smoothing,
            ),
            evaluate_model=lambda _: evaluate_classifier(self.classifier, data.dev),
            **kwargs,
        )

    def figures(self, trainer: EncoderTrainer, step: int) -> dict[str, Any]:
        """Counts of the examples, dev figures and speed."""
        data, labels, state, seconds = self.data, self.classifier.labels, trainer.state, max(trainer.seconds, 1e-9)
        result = evaluations(state.log_history).get(step, {})
        counts = Counter(labels[example.label] for example in data.train)
        trained = list(islice(trainer.sampler, state.global_step * self.config.batch_size * processes()))
        tokens = sum(len(data.train[index].inputs["input_ids"]) for index in trained)
        return {
            "labels": labels,
            "train_examples": {label: counts[label] for label in labels},
            "dev_examples": len(data.dev),
            "shortened": data.shortened,
            "left_out": data.left_out,
            "repeated_premises": data.leakage.repeated_premises,
            "dev_accuracy": result.get("eval_accuracy"),
            "dev_macro_f1": result.get("eval_macro_f1"),
            "examples_per_second": round(len(trained) / seconds, 2),
            "tokens_per_second": round(tokens / seconds, 1),
        }

    @staticmethod
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
                "dev accuracy, macro F1": ", ".join(
                    dev_figure(summary[name]) for name in ("dev_accuracy", "dev_macro_f1")
                ),
            },
            speed=f"{summary['examples_per_second']} examples/s, {summary['tokens_per_second']} tokens/s",
        )


def _make_sampler(config: EncoderConfig, data: EncoderData) -> Schedule:
    """The sampler of a stage on all examples, after a stage on the conclusions if there are any.

    ``config.conclusions`` is the number of epochs on the conclusions.
    """
    conclusion_indices = tuple(index for index, example in enumerate(data.train) if example.is_conclusion)
    stages = [Stage(conclusion_indices, config.conclusions, config.conclusion_rate)] if conclusion_indices else []
    return Schedule(
        [*stages, Stage(tuple(range(len(data.train))), config.epochs, config.learning_rate)],
        [len(example.inputs["input_ids"]) for example in data.train],
        batch_size=config.batch_size,
        processes=processes(),
        warmup=config.warmup,
        seed=config.seed,
    )


def _digest(examples: tuple[Example, ...]) -> str:
    return digest([(example.inputs, example.label) for example in examples])
