"""Log-likelihoods of candidate labels after many prompts."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from chains.models.architectures import has_prompt_tuning, is_batch_invariant, is_recurrent, takes_positions
from chains.models.batching import LARGE_MODEL_ADVICE, common_prefix, in_batches, in_order
from common.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from chains.models.cpu_llama import PackedLlama
    from chains.models.prefix import SharedPrefix

_TAIL_CHARACTERS = 64  # of a prompt; with every tokenizer, only these can affect the tokens of a label


@dataclass(frozen=True, slots=True)
class Scorable:
    """A prompt's token ids and, for each label, the ids that follow them.

    If a tokenizer merges the prompt's last characters with a label's first ones, these characters belong to the label.
    """

    ids: list[int]
    labels: tuple[tuple[int, ...], ...]


def label_log_likelihoods(
    model: "PreTrainedModel",
    prompts: Sequence[Scorable],
    batch_tokens: int,
    packed: "PackedLlama | None" = None,
    *,
    share: bool = True,
) -> list[tuple[float, ...]]:
    """The results of ``scored_batches`` in the prompts' order."""
    return in_order(scored_batches(model, prompts, batch_tokens, packed, share=share))


def scored_batches(
    model: "PreTrainedModel",
    prompts: Sequence[Scorable],
    batch_tokens: int,
    packed: "PackedLlama | None" = None,
    *,
    share: bool = True,
) -> Iterator[tuple[list[int], Sequence[tuple[float, ...]]]]:
    """Score the labels after each prompt; yields batches of prompt indices and the labels' log-likelihoods.

    A label's log-likelihood is the sum over its tokens, so labels may share their first tokens. If every label is one
    token, one forward pass suffices. Longer labels are scored by ``model``, which continues from the prompt's key-value
    cache. Batching and sharing do not change the results beyond rounding.

    Args:
        model: a causal model.
        prompts: prompts and labels, from ``with_labels``.
        batch_tokens: maximum tokens of a batch with padding.
        packed: runs the forward pass for labels of one token, if given.
        share: compute the common prefix of all prompts only once, if that saves time.

    Raises:
        UserError: a single prompt does not fit in memory, or a prompt-tuning adapter is attached.
    """
    from chains.models.prefix import CACHED_PER_COMPUTED, SharedPrefix, shared_prefix_length

    if not prompts:
        return iter(())
    if has_prompt_tuning(model):
        raise UserError(
            "The adapter inserts virtual tokens before a prompt, so labels cannot be scored. "
            "Set chain.decide to generate."
        )
    ids = [prompt.ids for prompt in prompts]
    later_tokens = max(len(label) for prompt in prompts for label in prompt.labels) - 1  # after a label's first token
    if not is_batch_invariant(model, max(map(len, ids)) + later_tokens):
        batch_tokens = 1
    shared = shared_prefix_length(model, ids, later_tokens) if share else 0
    suffixes = [Scorable(prompt.ids[shared:], prompt.labels) for prompt in prompts]
    if later_tokens:
        packed = None
    next_token: Callable[[list[list[int]], Any], Tensor] = (
        packed.next_token_log_probabilities if packed else partial(_next_token_log_probabilities, model)
    )

    @cache  # the prefix is computed within the first batch, so that ``in_batches`` handles a lack of memory
    def prefix() -> Any:
        if not shared:
            return None
        return packed.prefix_keys_values(ids[0][:shared]) if packed else SharedPrefix(model, ids[0][:shared])

    def score(batch: list[int]) -> list[tuple[float, ...]]:
        import torch

        chosen = [suffixes[index] for index in batch]
        with torch.inference_mode():
            if later_tokens:
                rows = _score_multitoken(model, chosen, prefix())
            else:
                vocabulary = next_token([prompt.ids for prompt in chosen], prefix())
                labels = torch.tensor([[label[0] for label in prompt.labels] for prompt in chosen])
                rows = vocabulary.gather(1, labels.to(vocabulary.device))
        return [tuple(row) for row in rows.tolist()]

    lengths = [len(suffix.ids) + shared // CACHED_PER_COMPUTED for suffix in suffixes]
    return in_batches(lengths, batch_tokens, score, LARGE_MODEL_ADVICE)


def encode(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]) -> list[list[int]]:
    """The token ids of rendered prompts, which already contain their special tokens."""
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
    """Add the labels' token ids to prompts, as if prompt and label were tokenised as one text.

    Only the end of a prompt affects the tokens of a label, and a chat template gives all prompts the same end. So the
    labels are tokenised after that end alone. If they get the same tokens after the whole first prompt, these are used
    for all prompts; else each prompt is tokenised with each label.

    Args:
        tokenizer: the model's tokenizer.
        texts: rendered prompts.
        ids: the token ids of each prompt.
        labels: the candidate labels.
        lead: text between prompt and label, from ``templates.label_lead``.
    """
    if not texts:
        return []
    continuations = [lead + label for label in labels]
    first = _tokenised_together(tokenizer, texts[0], ids[0], continuations)
    tail = _common_tail(texts)
    tail_ids = encode(tokenizer, [tail])[0]
    after_tail = _tokenised_together(tokenizer, tail, tail_ids, continuations)
    merged = ids[0][len(first.ids) :]  # last tokens of the prompt, whose characters merge with those of a label
    if after_tail.labels != first.labels or tail_ids[len(after_tail.ids) :] != merged:
        return [
            _tokenised_together(tokenizer, text, prompt_ids, continuations)
            for text, prompt_ids in zip(texts, ids, strict=True)
        ]
    return [Scorable(prompt_ids[: len(prompt_ids) - len(merged)], first.labels) for prompt_ids in ids]


def _common_tail(texts: Sequence[str]) -> str:
    """The common end of all texts, at most ``_TAIL_CHARACTERS`` characters."""
    reversed_tails = [text[-_TAIL_CHARACTERS:][::-1] for text in texts]
    return reversed_tails[0][: common_prefix(reversed_tails)][::-1]


def _tokenised_together(
    tokenizer: "PreTrainedTokenizerBase", text: str, ids: list[int], continuations: Sequence[str]
) -> Scorable:
    """The prompt and continuations, divided before the first token that a continuation changes."""
    sequences = encode(tokenizer, [text + continuation for continuation in continuations])
    unchanged = min(len(ids), *(len(sequence) - 1 for sequence in sequences))
    while any(sequence[:unchanged] != ids[:unchanged] for sequence in sequences):  # a few tokens may merge with a label
        unchanged -= 1
    return Scorable(ids[:unchanged], tuple(tuple(sequence[unchanged:]) for sequence in sequences))


def _next_token_log_probabilities(
    model: "PreTrainedModel", prompts: Sequence[list[int]], prefix: "SharedPrefix | None"
) -> "Tensor":
    """Log-probabilities of the token after each prompt, (prompts, vocabulary).

    Prompts are padded on the right: a causal model never attends to later tokens, so no mask is needed, and logits are
    computed only at the prompts' ends.
    """
    import torch

    ends = torch.tensor([[len(ids) - 1] for ids in prompts], device=model.device)
    cache_arguments = {"use_cache": False} if prefix is None else {"past_key_values": prefix.cache(extend=False)}
    output = model(input_ids=_padded(prompts, model.device), logits_to_keep=ends, **cache_arguments)
    logits: Tensor = output.logits[:, 0]
    return logits.float().log_softmax(-1)


def _score_multitoken(model: "PreTrainedModel", prompts: Sequence[Scorable], prefix: "SharedPrefix | None") -> "Tensor":
    """Label scores (prompts, labels) for labels of several tokens.

    Prompts are padded on the left, so that all end at the same position in the cache.
    """
    import torch

    if is_recurrent(model):
        return _score_uncached(model, prompts)
    device = model.device
    width = max(len(prompt.ids) for prompt in prompts)
    shared = 0 if prefix is None else len(prefix)
    mask = torch.tensor(
        [[1] * shared + [0] * (width - len(prompt.ids)) + [1] * len(prompt.ids) for prompt in prompts], device=device
    )
    positions = (mask.cumsum(1) - 1).clamp(min=0)[:, shared:]
    output = model(
        input_ids=_padded([prompt.ids for prompt in prompts], device, side="left"),
        past_key_values=None if prefix is None else prefix.cache(extend=True),
        use_cache=True,
        logits_to_keep=1,
        **_mask_and_positions(model, mask, positions),
    )
    if getattr(output, "past_key_values", None) is None:
        return _score_uncached(model, prompts)
    first = output.logits[:, -1].float().log_softmax(-1)
    columns = []
    for tokens, counted in _padded_labels(prompts, device):
        column = first.gather(1, tokens[:, :1].to(first.device))[:, 0]
        if tokens.shape[1] > 1:
            step = torch.arange(tokens.shape[1] - 1, device=device)
            full_mask = torch.cat([mask, torch.ones_like(tokens[:, :-1])], dim=1)
            continued = model(
                input_ids=tokens[:, :-1],
                past_key_values=_copy_cache(output.past_key_values),
                use_cache=True,
                **_mask_and_positions(model, full_mask, mask.sum(1, keepdim=True) + step),
            )
            column = column + _sum_log_likelihoods(continued.logits, tokens[:, 1:], counted[:, 1:])
        columns.append(column)
    return torch.stack(columns, dim=1)


def _score_uncached(model: "PreTrainedModel", prompts: Sequence[Scorable]) -> "Tensor":
    """Label scores (prompts, labels) with prompt and label as one text, padded on the right.

    For models without a usable key-value cache.
    """
    import torch

    device = model.device
    last = torch.tensor([[len(prompt.ids) - 1] for prompt in prompts], device=device)
    columns = []
    for label, (tokens, counted) in enumerate(_padded_labels(prompts, device)):
        ids = _padded([[*prompt.ids, *prompt.labels[label][:-1]] for prompt in prompts], device)
        # The position before each of the label's tokens, at which that token is predicted.
        positions = (last + torch.arange(tokens.shape[1], device=device)).clamp(max=ids.shape[1] - 1)
        output = model(input_ids=ids, use_cache=False, logits_to_keep=positions)
        columns.append(_sum_log_likelihoods(output.logits, tokens, counted))
    return torch.stack(columns, dim=1)


def _padded_labels(prompts: Sequence[Scorable], device: "torch.device") -> "Iterator[tuple[Tensor, Tensor]]":
    """For each label, its token ids after each prompt, (prompts, tokens), and a mask that is False for padding."""
    import torch

    for label in zip(*(prompt.labels for prompt in prompts), strict=True):
        lengths = torch.tensor([[len(tokens)] for tokens in label], device=device)
        padded = _padded(label, device)
        yield padded, torch.arange(padded.shape[1], device=device) < lengths


def _sum_log_likelihoods(logits: "Tensor", tokens: "Tensor", counted: "Tensor") -> "Tensor":
    """The sum of the log-likelihoods of each row's counted tokens; ``logits`` are (rows, tokens, vocabulary)."""
    likelihoods = logits.float().log_softmax(-1).gather(2, tokens[..., None].to(logits.device))[..., 0]
    return likelihoods.masked_fill(~counted.to(logits.device), 0).sum(1)


def _padded(sequences: Sequence[Sequence[int]], device: "torch.device", side: str = "right") -> "Tensor":
    """Token ids (sequences, tokens); the padding, token 0, does not affect the scores."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    tensors = [torch.tensor(sequence) for sequence in sequences]
    return pad_sequence(tensors, batch_first=True, padding_side=side).to(device)


def _copy_cache(past: Any) -> Any:
    """A copy of a key-value cache that can be extended without changing ``past``."""
    from transformers.cache_utils import DynamicLayer, LinearAttentionCacheLayerMixin

    def replaces_tensors(layer: Any) -> bool:
        """Whether an update gives the layer new tensors and leaves the old ones unchanged."""
        return isinstance(layer, DynamicLayer) and not isinstance(layer, LinearAttentionCacheLayerMixin)

    if not all(replaces_tensors(layer) for layer in getattr(past, "layers", [None])):
        return copy.deepcopy(past)
    copied = copy.copy(past)
    copied.layers = [copy.copy(layer) for layer in past.layers]
    return copied


def _mask_and_positions(model: "PreTrainedModel", mask: "Tensor", positions: "Tensor") -> dict[str, Any]:
    """The mask, and the position ids if the architecture takes them (ALiBi models do not), as keyword arguments."""
    return {"attention_mask": mask, "position_ids": positions} if takes_positions(model) else {"attention_mask": mask}
