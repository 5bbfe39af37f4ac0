"""The log-likelihood of each candidate label after each prompt, many prompts at a time."""

import copy
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from corpus.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from chains.packed import PackedLlama

_TAIL = 64  # characters: more than any tokenizer looks back to split what follows


@dataclass(frozen=True, slots=True)
class Scorable:
    """A prompt's token ids and, for each label, the ids that follow them.

    The prompt's ids are what it has in common with prompt and label tokenised together: where a tokenizer joins the
    prompt's last characters with the label's first, those characters belong to the label.
    """

    ids: list[int]
    labels: tuple[tuple[int, ...], ...]


def label_log_likelihoods(
    model: "PreTrainedModel", prompts: Sequence[Scorable], batch_tokens: int, packed: "PackedLlama | None" = None
) -> list[tuple[float, ...]]:
    """The natural log of each label's probability given its prompt, in the prompts' order.

    A label of several tokens has the sum over its tokens, so labels may share a first token or begin with one another.
    One forward pass over the prompts suffices where every label is one token; longer labels continue from that pass's
    key-value cache. The figures do not depend on how prompts are batched, save for rounding.

    Args:
        model: a causal model in evaluation mode.
        prompts: as ``with_labels`` makes them.
        batch_tokens: the most tokens, padding included, that go through the model in one pass.
        packed: the model's packed form, which is used where every label is one token.
    """
    import torch

    scores: list[tuple[float, ...]] = [()] * len(prompts)
    with torch.inference_mode():
        for batch in batches([len(prompt.ids) for prompt in prompts], batch_tokens):
            chosen = [prompts[index] for index in batch]
            single = all(len(label) == 1 for prompt in chosen for label in prompt.labels)
            rows = _single_token(model, chosen, packed) if single else _multi_token(model, chosen)
            for index, row in zip(batch, rows.tolist(), strict=True):
                scores[index] = tuple(row)
    return scores


def batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices in batches of similar length, longest first, each of at most ``batch_tokens`` tokens when padded.

    A prompt longer than the budget is a batch of its own. Longest first, so that memory runs out at once or never.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batch and (len(batch) + 1) * lengths[batch[0]] > batch_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def encode(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]) -> list[list[int]]:
    """The token ids of rendered prompts, whose special tokens are already part of the text."""
    if not texts:
        return []
    encoded = tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False)
    ids: list[list[int]] = encoded["input_ids"]
    return ids


def with_labels(
    tokenizer: "PreTrainedTokenizerBase",
    texts: Sequence[str],
    ids: Sequence[list[int]],
    labels: Sequence[str],
    lead: str,
) -> list[Scorable]:
    """Each prompt with its labels' token ids, such that prompt and label are tokenised as one text.

    Only the end of a prompt decides how a label after it is split, and a chat template gives all prompts one end. So
    that end is tokenised once with the labels, and taken for all prompts where it agrees with the first whole one.

    Args:
        tokenizer: the model's own.
        texts: the rendered prompts.
        ids: their token ids.
        labels: the candidate labels.
        lead: the white space between prompt and label, see ``templates.label_lead``.
    """
    if not texts:
        return []
    endings = [lead + label for label in labels]
    first = _with_endings(tokenizer, texts[0], ids[0], endings)
    end = _common_end(texts)
    end_ids = encode(tokenizer, [end])[0]
    alone = _with_endings(tokenizer, end, end_ids, endings)
    replaced = ids[0][len(first.ids) :]
    if alone.labels != first.labels or end_ids[len(alone.ids) :] != replaced:
        return [
            _with_endings(tokenizer, text, prompt_ids, endings) for text, prompt_ids in zip(texts, ids, strict=True)
        ]
    return [Scorable(prompt_ids[: len(prompt_ids) - len(replaced)], first.labels) for prompt_ids in ids]


def _common_end(texts: Sequence[str]) -> str:
    """What all texts end with, at most ``_TAIL`` characters of it."""
    tails = [text[-_TAIL:][::-1] for text in texts]
    low, high = min(tails), max(tails)  # in order: what these two share, all share
    length = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))
    return low[:length][::-1]


def _with_endings(tokenizer: "PreTrainedTokenizerBase", text: str, ids: list[int], endings: Sequence[str]) -> Scorable:
    wholes = encode(tokenizer, [text + ending for ending in endings])
    kept = min(len(ids), *(len(whole) - 1 for whole in wholes))
    while any(whole[:kept] != ids[:kept] for whole in wholes):  # at most the few tokens that a label merges with
        kept -= 1
    return Scorable(ids[:kept], tuple(tuple(whole[kept:]) for whole in wholes))


def _single_token(model: "PreTrainedModel", prompts: Sequence[Scorable], packed: "PackedLlama | None") -> "Tensor":
    """Label scores of shape (prompts, labels) where every label is one token.

    Prompts are padded on the right: a causal model never looks there, so positions are right and no mask is needed,
    and logits are computed only where a prompt ends.
    """
    import torch

    labels = torch.tensor([[label[0] for label in prompt.labels] for prompt in prompts])
    if packed is not None:
        return packed.next_token_log_probabilities([prompt.ids for prompt in prompts]).gather(1, labels)
    width = max(len(prompt.ids) for prompt in prompts)
    ids = torch.tensor([prompt.ids + [prompt.ids[-1]] * (width - len(prompt.ids)) for prompt in prompts])
    ends = torch.tensor([[len(prompt.ids) - 1] for prompt in prompts])
    output = model(input_ids=ids.to(model.device), use_cache=False, logits_to_keep=ends.to(model.device))
    logits: Tensor = output.logits[:, 0]
    return logits.float().log_softmax(-1).gather(1, labels.to(logits.device))


def _multi_token(model: "PreTrainedModel", prompts: Sequence[Scorable]) -> "Tensor":
    """Label scores of shape (prompts, labels) where some label has several tokens.

    Prompts are padded on the left, so that all end at one place in the cache and each label continues from there.
    """
    import torch

    device = model.device
    width = max(len(prompt.ids) for prompt in prompts)
    mask = torch.tensor([[0] * (width - len(prompt.ids)) + [1] * len(prompt.ids) for prompt in prompts], device=device)
    ids = torch.tensor([[prompt.ids[-1]] * (width - len(prompt.ids)) + prompt.ids for prompt in prompts], device=device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    output = model(input_ids=ids, use_cache=True, logits_to_keep=1, **_where(model, mask, positions))
    if getattr(output, "past_key_values", None) is None:
        raise UserError(
            f"{type(model).__name__} keeps no key-value cache, which labels of several tokens need. "
            "Set chain.decide to generate."
        )
    first = output.logits[:, -1].float().log_softmax(-1)
    columns = []
    for index in range(len(prompts[0].labels)):
        label = [prompt.labels[index] for prompt in prompts]
        column = first.gather(1, torch.tensor([[tokens[0]] for tokens in label], device=first.device))[:, 0]
        longest = max(map(len, label))
        if longest > 1:
            padded = torch.tensor([[*tokens, *[0] * (longest - len(tokens))] for tokens in label], device=device)
            counted = torch.tensor([[i < len(tokens) for i in range(1, longest)] for tokens in label], device=device)
            step = torch.arange(longest - 1, device=device)
            rest = model(
                input_ids=padded[:, :-1],
                past_key_values=copy.deepcopy(output.past_key_values),
                use_cache=True,
                **_where(
                    model,
                    torch.cat([mask, torch.ones_like(padded[:, :-1])], dim=1),
                    mask.sum(1, keepdim=True) + step,
                ),
            )
            likelihoods = rest.logits.float().log_softmax(-1).gather(2, padded[:, 1:, None].to(rest.logits.device))
            column = column + (likelihoods[..., 0] * counted).sum(1)
        columns.append(column)
    return torch.stack(columns, dim=1)


def _where(model: "PreTrainedModel", mask: "Tensor", positions: "Tensor") -> dict[str, Any]:
    """The mask, and the positions where the architecture takes them (ALiBi models derive them from the mask)."""
    inputs: dict[str, Any] = {"attention_mask": mask}
    base: Any = getattr(model, "get_base_model", lambda: model)()  # an attached adapter wraps the model
    if "position_ids" in inspect.signature(base.forward).parameters:
        inputs["position_ids"] = positions
    return inputs
