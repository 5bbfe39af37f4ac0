"""Texts that a model generates for prompts."""

from collections.abc import Sequence
from typing import Any

from chains.models.batching import in_order
from chains.models.generation import Continuation, continuation_batches


def generate_texts(model: Any, tokenizer: Any, prompts: Sequence[list[int]], **options: Any) -> list[str]:
    """The texts of ``continuation_batches(model, tokenizer, prompts, **options)`` in the order of ``prompts``."""
    generated: list[Continuation] = in_order(continuation_batches(model, tokenizer, prompts, **options))
    return [generation.text for generation in generated]
