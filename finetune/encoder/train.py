"""``medground train encoder``: fine-tunes a sequence classifier on pairs or questions."""

from collections import Counter
from dataclasses import dataclass
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
from finetune.encoder.report import card
from finetune.encoder.schedule import Schedule, Stage
from finetune.encoder.trainer import EncoderTrainer, Loss, evaluate_classifier, label_weights
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
    """Fine-tune a sequence classifier and save it in ``output`` with its model card and figures (see ``Run``).

    ``pairs`` is the source of the pairs of task ``nli``, ``data`` the source of the records of task ``qa`` and of
    ``answer_pairs``; the default of either is the embedded sample.

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
            "labels": self.data.labels,
            "training examples": _digest(self.data.train),
            "dev examples": _digest(self.data.dev),
        }

    def make_trainer(self, arguments: dict[str, Any], **kwargs: Any) -> EncoderTrainer:
        """The trainer on the schedule of ``config``."""
        config, data = self.config, self.data
        arguments |= {
            "learning_rate": 1.0,  # the schedule sets the rates and counts the epochs
            "num_train_epochs": 1,
            "remove_unused_columns": False,
            "average_tokens_across_devices": False,  # the loss is a mean over the examples of a device
        }
        return EncoderTrainer(
            classifier=self.classifier,
            args=TrainingArguments(**arguments),
            train=data.train,
            schedule=_schedule(config, data),
            compute_loss_func=Loss(
                label_weights(data.train, len(data.labels), config.class_weight), config.label_smoothing
            ),
            evaluate_model=lambda _: evaluate_classifier(self.classifier, data.dev),
            **kwargs,
        )

    def figures(self, trainer: EncoderTrainer, step: int) -> dict[str, Any]:
        """Counts of the examples, dev figures and speed."""
        data, state, seconds = self.data, trainer.state, max(trainer.seconds, 1e-9)
        result = evaluations(state.log_history).get(step, {})
        counts = Counter(data.labels[example.label] for example in data.train)
        trained = list(islice(trainer.schedule, state.global_step * self.config.batch_size * processes()))
        tokens = sum(len(data.train[index].inputs["input_ids"]) for index in trained)
        return {
            "labels": data.labels,
            "train_examples": {label: counts[label] for label in data.labels},
            "dev_examples": len(data.dev),
            "shortened": data.shortened,
            "left_out": data.left_out,
            "repeated_premises": data.leakage.repeated_premises,
            "dev_accuracy": result.get("eval_accuracy"),
            "dev_macro_f1": result.get("eval_macro_f1"),
            "examples_per_second": round(len(trained) / seconds, 2),
            "tokens_per_second": round(tokens / seconds, 1),
        }

    card = staticmethod(card)


def _schedule(config: EncoderConfig, data: EncoderData) -> Schedule:
    """A first stage on the conclusions, if there are any, then all examples."""
    conclusions = tuple(index for index, example in enumerate(data.train) if example.is_conclusion)
    stages = [Stage(conclusions, config.conclusions, config.conclusion_rate)] if conclusions else []
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
