"""Which examples are seen together."""

import random
from collections.abc import Iterator, Sequence

from torch.utils.data import Sampler

from finetune.embedder.examples import Example


class Batches(Sampler[list[int]]):
    """Batches of examples' numbers for all epochs, decided by the seed alone: to a trainer it is a single epoch.

    Every abstract is in a batch once at most, as right or as wrong, and every text too: the loss takes all other
    abstracts of a batch for wrong. An example that does not fit into a batch waits for the next. (The library's own
    sampler does the same; but its order, told epoch by epoch, is lost where a run goes on in the midst of one.)

    Args:
        examples: what is taught.
        size: examples in a batch; the last ones of an epoch may have fewer.
        epochs: how often every example is seen.
        seed: of the order.
    """

    def __init__(self, examples: Sequence[Example], size: int, epochs: int, seed: int) -> None:
        self._batches = [
            batch for epoch in range(epochs) for batch in _epoch(examples, size, random.Random(f"{seed}/{epoch}"))
        ]

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[int]]:
        yield from self._batches


def _epoch(examples: Sequence[Example], size: int, rng: random.Random) -> Iterator[list[int]]:
    waiting = list(range(len(examples)))
    rng.shuffle(waiting)
    while waiting:
        batch: list[int] = []
        later: list[int] = []
        seen: set[int | str] = set()
        for place, number in enumerate(waiting):
            one = examples[number]
            own: set[int | str] = {one.text, one.abstract, *one.negatives}
            if seen & own:
                later.append(number)
                continue
            seen |= own
            batch.append(number)
            if len(batch) == size:
                later += waiting[place + 1 :]
                break
        yield batch
        waiting = later
