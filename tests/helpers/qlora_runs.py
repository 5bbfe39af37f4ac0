"""QLoRA training runs of nine steps, and comparisons of their adapters."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from chains.config import LLMConfig, PromptConfig
from corpus.config import PairsConfig
from finetune.config import QLoRAConfig
from finetune.qlora.train import train_qlora

LABELS = ("entailment", "neutral", "contradiction")
QUICK: dict[str, Any] = {
    "rank": 4,
    "batch_size": 4,
    "max_steps": 9,
    "every": 3,
    "learning_rate": 5e-3,
    "report_to": (),
    "dropout": 0.1,
}
TOLERANCE = 1e-6  # largest difference of weights, which are about 0.05, between a resumed and an uninterrupted run


def write_pairs(folder: Path, split: str, count: int, labels: tuple[str, ...] = LABELS) -> Path:
    """Write ``count`` pairs of a split in MedNLI's format, with the labels in turn; returns the file."""
    rows = [
        {
            "sentence1": f"{split} patient {number} was given {'aspirin ' * (number % 5)}.",
            "sentence2": f"It was {labels[number % len(labels)][:3]}.",
            "gold_label": labels[number % len(labels)],
        }
        for number in range(count)
    ]
    folder.mkdir(exist_ok=True)
    path = folder / f"mli_{split}_v1.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def train(
    base: Path, pairs: Path, output: Path, *, llm: dict[str, Any] | None = None, quiet: bool = True, **config: Any
) -> Path:
    """Train with ``QUICK`` overridden by ``config``; returns the output folder."""
    return train_qlora(
        LLMConfig(model=str(base), device_map="cpu", **{"dtype": "float32", **(llm or {})}),
        PromptConfig(),
        PairsConfig(path=str(pairs)),
        QLoRAConfig(**{**QUICK, **config}),
        output,
        quiet=quiet,
    )


def summary(output: Path) -> dict[str, Any]:
    """The run's ``summary.json``."""
    figures: dict[str, Any] = json.loads((output / "summary.json").read_text())
    return figures


def weights(output: Path) -> dict[str, torch.Tensor]:
    """The weights of the trained adapter."""
    return load_file(output / "adapter_model.safetensors")


def distance(run: Path, other_run: Path, weights_file: str = "adapter_model.safetensors") -> float:
    """The largest absolute difference between the weights of two runs."""
    tensors, others = load_file(run / weights_file), load_file(other_run / weights_file)
    assert tensors.keys() == others.keys()
    return max((tensor - others[name]).abs().max().item() for name, tensor in tensors.items())
