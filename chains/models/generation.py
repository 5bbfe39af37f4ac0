"""Greedy continuation of many prompts at a time."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from chains.models.architectures import batches_together, is_recurrent, puts_tokens_before
from chains.models.batching import MODEL_TOO_LARGE, in_batches

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class Written(NamedTuple):
    """A continuation without special tokens, and how many tokens were generated for it, the end token included."""

    text: str
    tokens: int


def written_batches(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[list[int]],
    *,
    max_new_tokens: int,
    batch_tokens: int,
    share: bool = True,
    **generation: Any,
) -> Iterator[tuple[list[int], Sequence[Written]]]:
    """The most probable continuation of each prompt, token by token: indices of prompts and texts, by batches.

    Args:
        model: a causal model in evaluation mode whose generation settings name its end and padding tokens.
        tokenizer: the model's tokenizer.
        prompts: the prompts' token ids.
        max_new_tokens: the most tokens of a continuation.
        batch_tokens: the most tokens, padding and continuation included, that go through the model at once.
        share: False puts each prompt through the model whole, for comparison.
        generation: further arguments of the model's ``generate``.

    Raises:
        UserError: a single prompt does not fit in memory.
    """
    from chains.models.prefix import ATTENDED, SharedPrefix, sharable

    if not prompts:
        return iter(())
    together = batches_together(model, max(map(len, prompts)) + max_new_tokens)
    if is_recurrent(model) or puts_tokens_before(model) or not together:
        batch_tokens = 1  # without padding
    shared = sharable(model, prompts, max_new_tokens) if share else 0
    pad = tokenizer.pad_token_id
    generate: Any = model.generate

    @cache  # computed with the first batch, so that a lack of memory is noticed there
    def prefix() -> SharedPrefix:
        return SharedPrefix(model, prompts[0][:shared])

    def write(batch: list[int]) -> list[Written]:
        import torch

        width = max(len(prompts[index]) for index in batch)
        ids, mask = [], []
        for index in batch:
            first, rest = prompts[index][:shared], prompts[index][shared:]
            padding = width - shared - len(rest)  # after the prefix, whose keys and values are at one place for all
            ids.append([*first, *[pad] * padding, *rest])
            mask.append([1] * shared + [0] * padding + [1] * len(rest))
        with torch.inference_mode():
            output = generate(
                input_ids=torch.tensor(ids, device=model.device),
                attention_mask=torch.tensor(mask, device=model.device),
                max_new_tokens=max_new_tokens,
                do_sample=False,
                tokenizer=tokenizer,  # reads stop texts
                **({"past_key_values": prefix().cache(keep=True)} if shared else {}),
                **generation,
            )
        rows = output[:, width:]
        texts: list[str] = tokenizer.batch_decode(rows, skip_special_tokens=True)
        return [Written(text, _generated(row, model, pad)) for text, row in zip(texts, rows.tolist(), strict=True)]

    lengths = [len(ids) - shared + shared // ATTENDED + max_new_tokens for ids in prompts]
    return in_batches(lengths, batch_tokens, write, MODEL_TOO_LARGE)


def _generated(row: Sequence[int], model: "PreTrainedModel", pad: int) -> int:
    """How many tokens of a row were generated: up to its first end token, or without the padding after a stop text."""
    ends = getattr(model.generation_config, "eos_token_id", None)
    stops = set(ends if isinstance(ends, list) else [ends])
    first = next((place for place, token in enumerate(row) if token in stops), None)
    if first is not None:
        return first + 1
    count = len(row)
    while count and row[count - 1] == pad:
        count -= 1
    return count
