"""Texts that a model generates for prompts, and the sizes of its forward passes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from chains.models.batching import in_order
from chains.models.generation import Continuation, continuation_batches


def generate_texts(model: Any, tokenizer: Any, prompts: Sequence[list[int]], **options: Any) -> list[str]:
    """The texts of ``continuation_batches(model, tokenizer, prompts, **options)`` in the order of ``prompts``."""
    generated: list[Continuation] = in_order(continuation_batches(model, tokenizer, prompts, **options))
    return [generation.text for generation in generated]


@contextmanager
def forward_sizes(model: Any, check: Callable[[int], object] = lambda _: None) -> Iterator[list[int]]:
    """Yields a list that gets the token count of each forward pass in the block.

    Before a pass, ``check`` is called with its count.
    """
    sizes: list[int] = []

    def record(_: object, args: tuple, kwargs: dict) -> None:
        size = kwargs["input_ids"].numel()
        check(size)
        sizes.append(size)

    handle = model.register_forward_pre_hook(record, with_kwargs=True)
    try:
        yield sizes
    finally:
        handle.remove()
