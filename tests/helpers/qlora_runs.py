"""Short training runs: a tiny chat model, two dozen pairs, nine steps."""

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
TOLERANCE = 1e-6  # of weights of about 0.05, between a resumed run and an unbroken one


def write_pairs(folder: Path, split: str, count: int, labels: tuple[str, ...] = LABELS) -> Path:
    """A split's file in MedNLI's format, its labels in turn."""
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
    """A run of ``QUICK`` with what ``config`` changes."""
    return train_qlora(
        LLMConfig(model=str(base), device_map="cpu", **{"dtype": "float32", **(llm or {})}),
        PromptConfig(),
        PairsConfig(path=str(pairs)),
        QLoRAConfig(**{**QUICK, **config}),
        output,
        quiet=quiet,
    )


def summary(output: Path) -> dict[str, Any]:
    """The figures that a run left."""
    return json.loads((output / "summary.json").read_text())


def weights(output: Path) -> dict[str, torch.Tensor]:
    """The adapter that a run left."""
    return load_file(output / "adapter_model.safetensors")


def distance(one: Path, other: Path) -> float:
    """The largest difference between two adapters' weights."""
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    return max((value - theirs[key]).abs().max().item() for key, value in ours.items())
