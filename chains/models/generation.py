"""Greedy generation for many prompts at a time."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from chains.models.architectures import is_batch_invariant, is_recurrent, puts_tokens_before
from chains.models.batching import MODEL_TOO_LARGE, in_batches
from chains.models.reasoning import is_reasoning_mark
from common.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import LogitsProcessorList, PreTrainedModel, PreTrainedTokenizerBase, StoppingCriteria


class Decoder:
    """Decodes generated tokens without special tokens, except reasoning tags."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self._tokenizer = tokenizer
        special = zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True)
        marks = {number for token, number in special if is_reasoning_mark(token)}
        self._left_out = set(tokenizer.all_special_ids) - marks if marks else None

    def decode(self, ids: list[int], **_: Any) -> str:
        """The text of ``ids``."""
        if self._left_out is None:
            return str(self._tokenizer.decode(ids, skip_special_tokens=True))
        return str(self._tokenizer.decode([number for number in ids if number not in self._left_out]))


def check_finite(name: str, dtype: object) -> "LogitsProcessorList":
    """A logits processor that raises ``UserError`` if logits are not finite; the message has ``name`` and ``dtype``."""
    from transformers import LogitsProcessor, LogitsProcessorList

    class Finite(LogitsProcessor):
        def __call__(self, input_ids: "Tensor", scores: "Tensor") -> "Tensor":
            del input_ids
            if not scores.amax(-1).isfinite().all():  # NaN, infinity, or minus infinity for every token
                raise no_finite_numbers(name, dtype)
            return scores

    return LogitsProcessorList([Finite()])


def no_finite_numbers(name: str, dtype: object) -> UserError:
    """The error for a model whose logits are not finite."""
    return UserError(
        f"Model {name} gave no finite probabilities in {dtype}. Set llm.dtype to float32 or bfloat16; if they are no "
        "better, the model's files are damaged."
    )


def stop_at_end_of(lead: Sequence[int], end: int) -> "StoppingCriteria":
    """Stop at the token ``end`` if the message that it ends contains the tokens ``lead``.

    For chat templates whose turns have several messages with the same end token, one of which is the answer.
    """
    import torch
    from transformers import StoppingCriteria

    def ends(row: list[int]) -> bool:
        if row[-1] != end:
            return False
        message = row[:-1]
        if end in message:
            message = message[len(message) - message[::-1].index(end) :]
        return any(message[at : at + len(lead)] == [*lead] for at in range(len(message) - len(lead) + 1))

    class EndOfAnswer(StoppingCriteria):
        def __call__(self, input_ids: "Tensor", scores: "Tensor", **_: Any) -> "Tensor":
            del scores
            return torch.tensor([ends(row) for row in input_ids.tolist()], device=input_ids.device)

    return EndOfAnswer()


class Written(NamedTuple):
    """A continuation without special tokens, and the number of generated tokens including the end token."""

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
    """The greedy continuation of each prompt: batches of prompt indices and continuations.

    The model's generation config has its end and padding tokens. A batch has at most ``batch_tokens`` tokens with
    padding and continuation. ``share`` False computes each prompt whole, for comparison. ``generation`` are further
    arguments of ``generate``.
    """
    from chains.models.prefix import CACHED_PER_COMPUTED, SharedPrefix, shared_prefix_length

    if not prompts:
        return iter(())
    invariant = is_batch_invariant(model, max(map(len, prompts)) + max_new_tokens)
    if is_recurrent(model) or puts_tokens_before(model) or not invariant:
        batch_tokens = 1  # without padding
    shared = shared_prefix_length(model, prompts, max_new_tokens) if share else 0
    pad, decoder = tokenizer.pad_token_id, Decoder(tokenizer)
    generate: Any = model.generate

    @cache  # computed within the first batch, so that ``in_batches`` handles a lack of memory
    def prefix() -> SharedPrefix:
        return SharedPrefix(model, prompts[0][:shared])

    def write(batch: list[int]) -> list[Written]:
        import torch

        width = max(len(prompts[index]) for index in batch)
        ids, mask = [], []
        for index in batch:
            first, rest = prompts[index][:shared], prompts[index][shared:]
            padding = width - shared - len(rest)  # after the prefix, which has the same position in all rows
            ids.append([*first, *[pad] * padding, *rest])
            mask.append([1] * shared + [0] * padding + [1] * len(rest))
        with torch.inference_mode():
            output = generate(
                input_ids=torch.tensor(ids, device=model.device),
                attention_mask=torch.tensor(mask, device=model.device),
                max_new_tokens=max_new_tokens,
                do_sample=False,
                tokenizer=tokenizer,  # needed for stop texts
                **({"past_key_values": prefix().cache(keep=True)} if shared else {}),
                **generation,
            )
        return [Written(decoder.decode(row), _generated(row, model, pad)) for row in output[:, width:].tolist()]

    lengths = [len(ids) - shared + shared // CACHED_PER_COMPUTED + max_new_tokens for ids in prompts]
    return in_batches(lengths, batch_tokens, write, MODEL_TOO_LARGE)


def _generated(row: Sequence[int], model: "PreTrainedModel", pad: int) -> int:
    """Number of generated tokens in a row: up to its first end token, or without the padding after a stop text."""
    ends = getattr(model.generation_config, "eos_token_id", None)
    stops = set(ends if isinstance(ends, list) else [ends])
    for count, token in enumerate(row, start=1):
        if token in stops:
            return count
    return max((count for count, token in enumerate(row, start=1) if token != pad), default=0)
