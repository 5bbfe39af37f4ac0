"""Greedy generation for many prompts in batches."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from chains.models.architectures import has_prompt_tuning, is_batch_invariant, is_recurrent
from chains.models.batching import LARGE_MODEL_ADVICE, in_batches
from chains.models.reasoning import is_reasoning_token
from common.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import LogitsProcessorList, PreTrainedModel, PreTrainedTokenizerBase, StoppingCriteria


class Decoder:
    """Decodes generated tokens; leaves out special tokens except reasoning tags."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self._tokenizer = tokenizer
        special = zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True)
        reasoning_ids = {token_id for token, token_id in special if is_reasoning_token(token)}
        self._skipped_ids = set(tokenizer.all_special_ids) - reasoning_ids if reasoning_ids else None

    def decode(self, ids: list[int], **_: Any) -> str:
        """The text of ``ids``."""
        if self._skipped_ids is None:
            return str(self._tokenizer.decode(ids, skip_special_tokens=True))
        return str(self._tokenizer.decode([token_id for token_id in ids if token_id not in self._skipped_ids]))


def check_finite(name: str, dtype: object) -> "LogitsProcessorList":
    """A logits processor that raises ``no_finite_numbers`` if logits are not finite."""
    from transformers import LogitsProcessor, LogitsProcessorList

    class CheckFinite(LogitsProcessor):
        def __call__(self, input_ids: "Tensor", scores: "Tensor") -> "Tensor":
            del input_ids
            if not scores.amax(-1).isfinite().all():  # NaN, infinity, or minus infinity for every token
                raise no_finite_numbers(name, dtype)
            return scores

    return LogitsProcessorList([CheckFinite()])


def no_finite_numbers(name: str, dtype: object) -> UserError:
    """The error for a model whose logits are not finite; ``name`` and ``dtype`` are the model's."""
    return UserError(
        f"Model {name} gave no finite probabilities in {dtype}. Set llm.dtype to float32 or bfloat16; if they are no "
        "better, the model's files are damaged."
    )


def stop_after_answer(lead: Sequence[int], end: int) -> "StoppingCriteria":
    """A criterion that stops generation after the answer if a turn has several messages.

    Every message ends with the token ``end``. The answer is the message that contains the tokens ``lead``.
    """
    import torch
    from transformers import StoppingCriteria

    def ends_answer(row: list[int]) -> bool:
        if row[-1] != end:
            return False
        message = row[:-1]
        if end in message:
            message = message[len(message) - message[::-1].index(end) :]
        return any(message[i : i + len(lead)] == [*lead] for i in range(len(message) - len(lead) + 1))

    class EndOfAnswer(StoppingCriteria):
        def __call__(self, input_ids: "Tensor", scores: "Tensor", **_: Any) -> "Tensor":
            del scores
            return torch.tensor([ends_answer(row) for row in input_ids.tolist()], device=input_ids.device)

    return EndOfAnswer()


class Continuation(NamedTuple):
    """A continuation without special tokens, and the number of generated tokens including the end token.

    ``truncated``: whether generation stopped at the maximum number of tokens, without an end token.
    """

    text: str
    tokens: int
    truncated: bool = False


def continuation_batches(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[list[int]],
    *,
    max_new_tokens: int,
    batch_tokens: int,
    share: bool = True,
    **generation: Any,
) -> Iterator[tuple[list[int], Sequence[Continuation]]]:
    """Continue each prompt greedily; yields batches of prompt indices and their continuations.

    Args:
        model: its generation config has the end and padding tokens.
        tokenizer: the model's tokenizer.
        prompts: token ids.
        max_new_tokens: maximum length of a continuation.
        batch_tokens: maximum tokens of a batch with padding and continuations.
        share: compute the common prefix of all prompts only once, if that saves time.
        generation: further arguments of ``generate``.
    """
    from chains.models.prefix import CACHED_PER_COMPUTED, SharedPrefix, shared_prefix_length

    if not prompts:
        return iter(())
    invariant = is_batch_invariant(model, max(map(len, prompts)) + max_new_tokens)
    if is_recurrent(model) or has_prompt_tuning(model) or not invariant:
        batch_tokens = 1  # each prompt is a batch by itself, without padding
    shared = shared_prefix_length(model, prompts, max_new_tokens) if share else 0
    pad, decoder = tokenizer.pad_token_id, Decoder(tokenizer)
    generate: Any = model.generate

    @cache  # the prefix is computed within the first batch, so that ``in_batches`` handles a lack of memory
    def prefix() -> SharedPrefix:
        return SharedPrefix(model, prompts[0][:shared])

    def write(batch: list[int]) -> list[Continuation]:
        import torch

        width = max(len(prompts[index]) for index in batch)
        ids, mask = [], []
        for index in batch:
            first, rest = prompts[index][:shared], prompts[index][shared:]
            padding = width - shared - len(rest)  # it follows the prefix, whose position is the same in all rows
            ids.append([*first, *[pad] * padding, *rest])
            mask.append([1] * shared + [0] * padding + [1] * len(rest))
        with torch.inference_mode():
            output = generate(
                input_ids=torch.tensor(ids, device=model.device),
                attention_mask=torch.tensor(mask, device=model.device),
                max_new_tokens=max_new_tokens,
                do_sample=False,
                tokenizer=tokenizer,  # needed for stop_strings
                **({"past_key_values": prefix().cache(extend=True)} if shared else {}),
                **generation,
            )
        continuations = []
        for row in output[:, width:].tolist():
            count = _count_generated(row, model, pad)
            truncated = is_truncated(row[:count], model, max_new_tokens)
            continuations.append(Continuation(decoder.decode(row), count, truncated))
        return continuations

    lengths = [len(ids) - shared + shared // CACHED_PER_COMPUTED + max_new_tokens for ids in prompts]
    return in_batches(lengths, batch_tokens, write, LARGE_MODEL_ADVICE)


def is_truncated(generated: Sequence[int], model: "PreTrainedModel", max_new_tokens: int) -> bool:
    """Whether generated tokens end at the limit ``max_new_tokens`` instead of an end token."""
    return len(generated) >= max_new_tokens and generated[-1] not in _end_ids(model)


def _end_ids(model: "PreTrainedModel") -> set[int | None]:
    ends = getattr(model.generation_config, "eos_token_id", None)
    return set(ends if isinstance(ends, list) else [ends])


def _count_generated(row: Sequence[int], model: "PreTrainedModel", pad: int) -> int:
    """Number of generated tokens in a row: up to its first end token, else up to the padding after a stop string."""
    end_ids = _end_ids(model)
    for count, token in enumerate(row, start=1):
        if token in end_ids:
            return count
    return max((count for count, token in enumerate(row, start=1) if token != pad), default=0)
