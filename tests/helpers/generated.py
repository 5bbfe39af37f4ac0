"""The texts of ``continuation_batches`` in the prompts' order."""

from collections.abc import Sequence
from typing import Any

from chains.models.batching import in_order
from chains.models.generation import Continuation, continuation_batches


def generate_texts(model: Any, tokenizer: Any, prompts: Sequence[list[int]], **options: Any) -> list[str]:
    written: list[Continuation] = in_order(continuation_batches(model, tokenizer, prompts, **options))
    return [one.text for one in written]
