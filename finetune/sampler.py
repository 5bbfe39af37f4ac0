"""Order of the training examples, determined by seed and epoch, so that a resumed run has the same order."""

import random
from collections.abc import Iterator, Sequence

from torch.utils.data import Sampler

_BATCHES_PER_GROUP = 32  # batches whose examples are sorted together; more would make the order less random


class SeededSampler(Sampler[int]):
    """Indices of the examples in a new random order each epoch.

    Args:
        lengths: the number of tokens of each example.
        batch_size: examples in a batch; only the last batch of an epoch may have fewer.
        seed: seed of the order.
        grouped: whether the examples of a batch have similar lengths.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, *, grouped: bool) -> None:
        self._lengths = lengths
        self._batch_size = batch_size
        self._seed = seed
        self._grouped = grouped
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, counted from 0, of the next iteration."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        rng = random.Random(f"{self._seed}/{self._epoch}")
        order = list(range(len(self._lengths)))
        rng.shuffle(order)
        if not self._grouped:
            yield from order
            return
        group_size = self._batch_size * _BATCHES_PER_GROUP
        batches: list[list[int]] = []
        for start in range(0, len(order), group_size):
            group = sorted(order[start : start + group_size], key=lambda index: -self._lengths[index])
            batches += [group[first : first + self._batch_size] for first in range(0, len(group), self._batch_size)]
        # A smaller batch must stay last, since the trainer cuts the order into batches of the full size.
        smaller_batch = [batches.pop()] if batches and len(batches[-1]) < self._batch_size else []
        rng.shuffle(batches)
        for batch in batches + smaller_batch:
            yield from batch
