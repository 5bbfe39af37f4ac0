"""finetune/qlora/report.py: the model card and the plot."""

from pathlib import Path
from typing import Any

import pytest

from finetune.qlora.report import card, plot

SUMMARY: dict[str, Any] = {
    "method": "lora",
    "labels": ["entailment", "neutral"],
    "train_pairs": 30,
    "answer_pairs": 6,
    "dev_pairs": 10,
    "left_out": {"train": 1, "dev": 0},
    "repeated_premises": {"dev": [], "test": None},
    "steps": 9,
    "step": 6,
    "dev_accuracy": {"before": 0.5, "result": 0.8, "last": 0.7},
    "seconds": 20.1,
    "seconds_training": 10.2,
    "resumed": False,
    "examples_per_second": 5.5,
    "tokens_per_second": 500,
    "peak_memory": 3 << 29,
    "trainable_parameters": 1234,
    "parameters": 56789,
    "compute": "float32",
    "substitutions": ("llm.dtype: float32 for float16",),
    "recipe": {"model": "embedded", "quantization": "4bit"},
}


def test_the_card_has_the_figures_of_the_summary() -> None:
    text = card(SUMMARY)
    for fragment in (
        "QLoRA adapter for `embedded`",
        "--set llm.adapter=DIR --set llm.quantization=4bit",
        "0.500 before, 0.800 after",
        "- llm.dtype: float32 for float16",
    ):
        assert fragment in text
    assert "base_model" not in text  # only for a base on the hub
    assert "repeated in other splits" not in text


def test_a_base_on_the_hub_is_in_the_front_matter_and_a_folder_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    summary = {**SUMMARY, "recipe": {"model": "someone/model", "quantization": "none"}}
    assert "base_model: someone/model" in card(summary).split("---")[1]
    assert "# LoRA adapter for `someone/model`" in card(summary)
    (tmp_path / "someone" / "model").mkdir(parents=True)
    assert "base_model" not in card(summary)


def test_the_card_of_full_fine_tuning_describes_a_model() -> None:
    text = card({**SUMMARY, "method": "full"})
    assert "library_name: transformers" in text
    assert "--set llm.model=DIR" in text
    assert "adapter" not in text


def test_plot_writes_a_png(tmp_path: Path) -> None:
    path = tmp_path / "plot.png"
    plot([{"step": 3, "loss": 1.0}, {"step": 3, "eval_loss": 0.9, "eval_accuracy": 0.5}], path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 5000  # bytes; an empty PNG is smaller


def test_an_unknown_peak_memory_is_stated_in_the_card() -> None:
    assert "| peak memory | unknown |" in card({**SUMMARY, "peak_memory": None})
