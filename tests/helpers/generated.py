"""The texts of ``written_batches`` in the prompts' order."""

from collections.abc import Sequence
from typing import Any

from chains.models.batching import in_order
from chains.models.generation import Written, written_batches


def generate_texts(model: Any, tokenizer: Any, prompts: Sequence[list[int]], **options: Any) -> list[str]:
    written: list[Written] = in_order(written_batches(model, tokenizer, prompts, **options))
    return [one.text for one in written]
