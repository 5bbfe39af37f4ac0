"""The three training methods behind one interface, each with a model and data of a moment."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qlora_runs
from safetensors.torch import load_file

from corpus.config import PairsConfig
from corpus.records import QARecord
from finetune.config import EmbedderTrainConfig, EncoderConfig
from finetune.embedder.train import train_embedder
from finetune.embedder.trainer import EmbedderTrainer
from finetune.encoder.train import train_encoder
from finetune.encoder.trainer import EncoderTrainer
from finetune.qlora.trainer import PairTrainer
from finetune.trainer import BaseTrainer

PAIRS = PairsConfig(limit=48)
WORDS = ["aspirin", "statin", "vaccine", "placebo", "surgery", "stroke"]
WORDS += ["mortality", "pressure", "diabetes", "children", "adults", "pain"]


def records(first: int, count: int) -> list[QARecord]:
    """Each about a pair of words, which the question names by other words, so that there is something to learn."""
    made = []
    for number in range(first, first + count):
        one, two = WORDS[number % 12], WORDS[(number * 5 + number // 12 + 1) % 12]
        text = f"{one} {two} was in the treated group."
        made.append(QARecord(str(number), f"does {one} lower {two}?", (text,), None, conclusion=f"{one} fell {two}"))
    return made


TRAIN, DEV = records(0, 24), records(24, 8)


@dataclass(frozen=True)
class Method:
    """A method of training.

    Attributes:
        train: ``train(output, **config)`` runs it, for 9 to 13 steps with a checkpoint every few.
        trainer: the class of its trainer.
        weights_file: the file of the trained weights.
        section: the settings.
    """

    train: Callable[..., Path]
    trainer: type[BaseTrainer]
    weights_file: str
    section: str

    def distance(self, one: Path, other: Path) -> float:
        """The largest difference between two results' weights."""
        ours, theirs = load_file(one / self.weights_file), load_file(other / self.weights_file)
        assert ours.keys() == theirs.keys()
        return max((value - theirs[name]).abs().max().item() for name, value in ours.items())


def summary(output: Path) -> dict[str, Any]:
    """The figures that a run left."""
    figures: dict[str, Any] = json.loads((output / "summary.json").read_text())
    return figures


def encoder_config(base: Path, **settings: Any) -> EncoderConfig:
    """Settings of 12 steps on ``PAIRS``."""
    usual = {"model": str(base), "epochs": 2, "batch_size": 8, "max_length": 48, "every": 4, "report_to": ()}
    return EncoderConfig.model_validate({**usual, "learning_rate": 3e-3, **settings})


def embedder_config(base: Path, **settings: Any) -> EmbedderTrainConfig:
    """Settings of about 13 steps on ``TRAIN``."""
    usual = {"model": str(base), "epochs": 2, "batch_size": 8, "max_length": 16, "every": 4, "report_to": ()}
    return EmbedderTrainConfig.model_validate({**usual, "learning_rate": 3e-3, **settings})


def qlora(base: Path, pairs: Path) -> Method:
    """QLoRA in 4 bits."""

    def run(output: Path, *, quiet: bool = True, **config: Any) -> Path:
        return qlora_runs.train(base, pairs, output, llm={"quantization": "4bit"}, quiet=quiet, **config)

    return Method(run, PairTrainer, "adapter_model.safetensors", "train.qlora")


def encoder(base: Path) -> Method:
    """An encoder on the sample's pairs."""

    def run(output: Path, *, quiet: bool = True, **config: Any) -> Path:
        return train_encoder(encoder_config(base, **config), output, pairs=PAIRS, quiet=quiet)

    return Method(run, EncoderTrainer, "model.safetensors", "train.encoder")


def embedder(base: Path) -> Method:
    """An embedder on ``TRAIN`` and ``DEV``."""

    def run(output: Path, *, quiet: bool = True, **config: Any) -> Path:
        return train_embedder(embedder_config(base, **config), output, train=TRAIN, dev=DEV, quiet=quiet)

    return Method(run, EmbedderTrainer, "model.safetensors", "train.embedder")
