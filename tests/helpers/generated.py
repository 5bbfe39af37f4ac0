"""Texts that a model generates for prompts."""

from collections.abc import Sequence
from typing import Any

from chains.models.batching import in_order
from chains.models.generation import Written, written_batches


def generate_texts(model: Any, tokenizer: Any, prompts: Sequence[list[int]], **options: Any) -> list[str]:
    """The texts of ``written_batches(model, tokenizer, prompts, **options)`` in the order of ``prompts``."""
    generated: list[Written] = in_order(written_batches(model, tokenizer, prompts, **options))
    return [generation.text for generation in generated]
