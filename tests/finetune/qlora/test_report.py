"""finetune/qlora/report.py: the card and the plot."""

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
    "examples_per_second": 5.5,
    "tokens_per_second": 500,
    "peak_memory": 3 << 29,
    "trainable_parameters": 1234,
    "parameters": 56789,
    "compute": "float32",
    "substitutions": ("llm.dtype: float32 for float16",),
    "recipe": {"model": "embedded", "quantization": "4bit"},
}


def test_a_card_is_filled_from_the_run() -> None:
    text = card(SUMMARY)
    for part in (
        "QLoRA adapter for `embedded`",
        "0.500 before, 0.800 after",
        "step 6 of 9",
        "1,234 of 56,789",
        "1.50 GiB",
    ):
        assert part in text
    assert "- llm.dtype: float32 for float16" in text
    assert "--set llm.adapter=DIR --set llm.quantization=4bit" in text
    assert "base_model" not in text  # the header names bases of the hub only
    assert "repeated in other splits" not in text


def test_a_base_of_the_hub_stands_in_the_header() -> None:
    text = card({**SUMMARY, "recipe": {"model": "someone/model", "quantization": "none"}})
    assert "base_model: someone/model" in text.split("---")[1]
    assert "# LoRA adapter for `someone/model`" in text


def test_a_full_model_has_no_adapter() -> None:
    text = card({**SUMMARY, "method": "full"})
    assert "library_name: transformers" in text
    assert "--set llm.model=DIR" in text
    assert "adapter" not in text


def test_repeated_premises_are_warned_of() -> None:
    assert "(1 in dev)" in card({**SUMMARY, "repeated_premises": {"dev": ["Seen."], "test": None}})


def test_a_plot_is_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "plot.png"
    plot([{"step": 3, "loss": 1.0}, {"step": 3, "eval_loss": 0.9, "eval_accuracy": 0.5}], path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 5000


@pytest.mark.parametrize("count", [None, 1 << 30])
def test_memory_may_be_unknown(count: int | None) -> None:
    assert ("unknown" if count is None else "1.00 GiB") in card({**SUMMARY, "peak_memory": count})
