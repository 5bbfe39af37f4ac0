"""Greedy continuation of many prompts at a time."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from chains.scoring import batches

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def generate_texts(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[list[int]],
    *,
    max_new_tokens: int,
    batch_tokens: int,
) -> list[str]:
    """The most probable continuation of each prompt, token by token, without special tokens; in the prompts' order.

    Args:
        model: a causal model in evaluation mode whose generation settings name its end and padding tokens.
        tokenizer: the model's own.
        prompts: the prompts' token ids.
        max_new_tokens: where a continuation is cut at the latest.
        batch_tokens: the most tokens, padding and continuation included, that go through the model at once.
    """
    import torch

    generate: Any = model.generate
    texts = [""] * len(prompts)
    for batch in batches([len(ids) + max_new_tokens for ids in prompts], batch_tokens):
        width = max(len(prompts[index]) for index in batch)
        pad = tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (width - len(prompts[index])) + prompts[index] for index in batch])
        mask = torch.tensor([[0] * (width - len(prompts[index])) + [1] * len(prompts[index]) for index in batch])
        with torch.inference_mode():
            output = generate(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                max_new_tokens=max_new_tokens,
                do_sample=False,
            )
        decoded = tokenizer.batch_decode(output[:, width:], skip_special_tokens=True)
        for index, text in zip(batch, decoded, strict=True):
            texts[index] = text
    return texts
