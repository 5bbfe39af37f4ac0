"""Work in batches of like length that fit in memory, the longest first."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from common.errors import UserError

Result = TypeVar("Result")
MODEL_TOO_LARGE = (
    "Set llm.quantization to 4bit, llm.device_map to cpu, or llm.model to a smaller model; or let it read less, with "
    "fewer chain.passages or prompt.shots."
)
_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")  # CPU, CPU, card, card


def in_batches(
    lengths: Sequence[int], batch_tokens: int, run: Callable[[list[int]], Sequence[Result]], advice: str
) -> Iterator[tuple[list[int], Sequence[Result]]]:
    """Indices of ``lengths`` and what ``run`` gives for them, batch by batch, as it becomes known.

    Batches are of similar length, the longest first, so that memory runs out at once or never. Each has at most
    ``batch_tokens`` tokens when padded; what is longer is a batch of its own. One that does not fit in memory is halved
    and tried again, and none after it has more tokens than its half.

    Args:
        lengths: in tokens.
        batch_tokens: the most tokens in a batch, padding included.
        run: gives a result for each index of a batch, in order.
        advice: what to do where not even one fits, a sentence.

    Raises:
        UserError: a single one does not fit in memory.
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
        _free()  # not where the error is caught: it holds what the batch had allocated
        batch_tokens = len(batch) // 2 * longest


def in_order(batches: Iterable[tuple[Sequence[int], Sequence[Result]]]) -> list[Result]:
    """The results of all batches in the order of their indices."""
    found = {index: result for batch, results in batches for index, result in zip(batch, results, strict=True)}
    return [found[index] for index in range(len(found))]


def _is_out_of_memory(error: BaseException) -> bool:
    """On a card it has an error class of its own; on a CPU, and inside cuBLAS, only the message tells."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(message in str(error) for message in _NO_MEMORY)


def _free() -> None:
    """Hand back what the failed batch left in the card's cache."""
    from accelerate.utils.memory import clear_device_cache  # type: ignore[import-untyped]

    clear_device_cache(garbage_collection=True)
