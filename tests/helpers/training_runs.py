"""The three training methods behind one interface, each with a tiny model and small data."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qlora_runs
from qlora_runs import summary  # noqa: F401  (for tests of this module's methods)

from corpus.config import PairsConfig
from corpus.records import QARecord
from finetune.config import EmbedderTrainConfig, EncoderConfig
from finetune.embedder.train import train_embedder
from finetune.embedder.trainer import EmbedderTrainer
from finetune.encoder.train import train_encoder
from finetune.encoder.trainer import EncoderTrainer
from finetune.qlora.trainer import PairTrainer
from finetune.trainer import BaseTrainer

PAIRS = PairsConfig(limit=48)  # the first pairs of the embedded sample
QUICK: dict[str, Any] = {"epochs": 2, "batch_size": 8, "every": 4, "report_to": (), "learning_rate": 3e-3}
WORDS = ["aspirin", "statin", "vaccine", "placebo", "surgery", "stroke"]
WORDS += ["mortality", "pressure", "diabetes", "children", "adults", "pain"]


def records(first: int, count: int) -> list[QARecord]:
    """Records whose question, context and conclusion share a pair of words, so that an embedder can learn to match."""
    result = []
    for number in range(first, first + count):
        drug, outcome = WORDS[number % 12], WORDS[(number * 5 + number // 12 + 1) % 12]
        question, context = f"does {drug} lower {outcome}?", f"{drug} {outcome} was in the treated group."
        result.append(QARecord(str(number), question, (context,), None, conclusion=f"{drug} fell {outcome}"))
    return result


TRAIN, DEV = records(0, 24), records(24, 8)


@dataclass(frozen=True)
class Method:
    """A training method.

    Attributes:
        train: ``train(output, **config)`` trains for 9 to 13 steps and saves a checkpoint every 3 or 4.
        trainer: the class of its trainer.
        weights_file: the name of the file of trained weights.
        section: its section of the settings.
    """

    train: Callable[..., Path]
    trainer: type[BaseTrainer]
    weights_file: str
    section: str

    def distance(self, run: Path, other_run: Path) -> float:
        """The largest absolute difference between the weights of two runs."""
        return qlora_runs.distance(run, other_run, self.weights_file)


def encoder_config(base: Path, **settings: Any) -> EncoderConfig:
    """Settings of 12 steps on ``PAIRS``, overridden by ``settings``."""
    return EncoderConfig.model_validate({**QUICK, "model": str(base), "max_length": 48, **settings})


def embedder_config(base: Path, **settings: Any) -> EmbedderTrainConfig:
    """Settings of about 13 steps on ``TRAIN``, overridden by ``settings``."""
    return EmbedderTrainConfig.model_validate({**QUICK, "model": str(base), "max_length": 16, **settings})


def qlora(base: Path, pairs: Path) -> Method:
    """QLoRA of the chat model ``base`` in 4 bits on ``pairs``, a folder in MedNLI's format."""

    def run(output: Path, *, quiet: bool = True, **config: Any) -> Path:
        return qlora_runs.train(base, pairs, output, llm={"quantization": "4bit"}, quiet=quiet, **config)

    return Method(run, PairTrainer, "adapter_model.safetensors", "train.qlora")


def encoder(base: Path) -> Method:
    """Training of an encoder on ``PAIRS``, the first pairs of the sample."""

    def run(output: Path, *, quiet: bool = True, **config: Any) -> Path:
        return train_encoder(encoder_config(base, **config), output, pairs=PAIRS, quiet=quiet)

    return Method(run, EncoderTrainer, "model.safetensors", "train.encoder")


def embedder(base: Path) -> Method:
    """Training of an embedder on ``TRAIN`` and ``DEV``."""

    def run(output: Path, *, quiet: bool = True, **config: Any) -> Path:
        return train_embedder(embedder_config(base, **config), output, train=TRAIN, dev=DEV, quiet=quiet)

    return Method(run, EmbedderTrainer, "model.safetensors", "train.embedder")
