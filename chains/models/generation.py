"""Greedy continuation of many prompts at a time."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from chains.models.architectures import batches_together, is_recurrent, puts_tokens_before
from chains.models.batching import MODEL_TOO_LARGE, in_batches, in_order

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def generate_texts(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[list[int]],
    *,
    max_new_tokens: int,
    batch_tokens: int,
    share: bool = True,
) -> list[str]:
    """The most probable continuation of each prompt, in the prompts' order.

    Arguments and errors are those of ``written_batches``.
    """
    return in_order(
        written_batches(
            model, tokenizer, prompts, max_new_tokens=max_new_tokens, batch_tokens=batch_tokens, share=share
        )
    )


def written_batches(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[list[int]],
    *,
    max_new_tokens: int,
    batch_tokens: int,
    share: bool = True,
) -> Iterator[tuple[list[int], Sequence[str]]]:
    """The most probable continuation, token by token, without special tokens: indices of prompts and texts, by batches.

    Args:
        model: a causal model in evaluation mode whose generation settings name its end and padding tokens.
        tokenizer: the model's own.
        prompts: the prompts' token ids.
        max_new_tokens: where a continuation is cut at the latest.
        batch_tokens: the most tokens, padding and continuation included, that go through the model at once.
        share: False puts each prompt through the model whole, for comparison.

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

    @cache  # read where the first batch is written, so that memory that does not suffice is noticed there
    def prefix() -> SharedPrefix:
        return SharedPrefix(model, prompts[0][:shared])

    def write(batch: list[int]) -> list[str]:
        import torch

        width = max(len(prompts[index]) for index in batch)
        ids, mask = [], []
        for index in batch:
            first, own = prompts[index][:shared], prompts[index][shared:]
            padding = width - shared - len(own)  # after the prefix, whose keys and values are at one place for all
            ids.append([*first, *[pad] * padding, *own])
            mask.append([1] * shared + [0] * padding + [1] * len(own))
        with torch.inference_mode():
            output = generate(
                input_ids=torch.tensor(ids, device=model.device),
                attention_mask=torch.tensor(mask, device=model.device),
                max_new_tokens=max_new_tokens,
                do_sample=False,
                **({"past_key_values": prefix().cache(keep=True)} if shared else {}),
            )
        texts: list[str] = tokenizer.batch_decode(output[:, width:], skip_special_tokens=True)
        return texts

    lengths = [len(ids) - shared + shared // ATTENDED + max_new_tokens for ids in prompts]
    return in_batches(lengths, batch_tokens, write, MODEL_TOO_LARGE)
