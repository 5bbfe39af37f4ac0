"""Batches of texts of similar length; a batch that does not fit in memory is halved."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from common.errors import UserError

Result = TypeVar("Result")
LARGE_MODEL_ADVICE = (
    "Set llm.quantization to 4bit, llm.device_map to cpu, or llm.model to a smaller model; or let it read less, with "
    "fewer chain.passages or prompt.shots."
)
# Parts of error messages: the first two are of torch's CPU allocator, the others of CUDA and of cuBLAS.
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")


def in_batches(
    lengths: Sequence[int], batch_tokens: int, run: Callable[[list[int]], Sequence[Result]], advice: str
) -> Iterator[tuple[list[int], Sequence[Result]]]:
    """Run a function over batches of texts of similar length; yields the text indices and results of each batch.

    The longest texts come first, so a lack of memory shows at once. A batch that does not fit in memory is halved and
    retried, and later batches are limited to the tokens of that half.

    Args:
        lengths: the tokens of each text.
        batch_tokens: maximum tokens of a batch with padding; a longer text is a batch by itself.
        run: returns a result for each text index of a batch.
        advice: end of the error message.

    Raises:
        UserError: a single text does not fit in memory.
    """
    waiting = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    while waiting:
        longest = lengths[waiting[0]]
        batch = waiting[: max(1, batch_tokens // max(1, longest))]
        try:
            results = run(batch)
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
            if len(batch) == 1:
                raise UserError(f"A single text does not fit in memory beside the model. {advice}") from error
        else:
            yield batch, results
            waiting = waiting[len(batch) :]
            continue
        free_memory()  # after the except block, in which the error still refers to the batch's tensors
        batch_tokens = len(batch) // 2 * longest


def in_order(batches: Iterable[tuple[Sequence[int], Sequence[Result]]]) -> list[Result]:
    """The results of all batches in the order of their indices."""
    by_index = {index: result for batch, results in batches for index, result in zip(batch, results, strict=True)}
    return [by_index[index] for index in range(len(by_index))]


def common_prefix(sequences: Sequence[str] | Sequence[list[int]]) -> int:
    """The length of the longest common prefix of all sequences."""
    # All sequences sort between the first and the last one, so they share the common prefix of these two.
    first, last = min(sequences), max(sequences)
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether an error reports a lack of memory.

    GPU errors have their own class; CPU and cuBLAS errors are recognised by the message.
    """
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(message in str(error) for message in _OUT_OF_MEMORY)


def free_memory() -> None:
    """Collect tensors that nothing refers to any more, and empty the GPU's memory cache."""
    from accelerate.utils.memory import clear_device_cache  # type: ignore[import-untyped]

    clear_device_cache(garbage_collection=True)
