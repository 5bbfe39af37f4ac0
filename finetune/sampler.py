"""Order of the training examples: a function of seed and epoch, so that a resumed run repeats it."""

import random
from collections.abc import Iterator, Sequence

from torch.utils.data import Sampler

_BATCHES_SORTED = 32  # batches whose examples are sorted by length together; more would make the order less random


class SeededSampler(Sampler[int]):
    """Indices of the examples, given by their numbers of tokens, in a new random order each epoch.

    If ``grouped``, a batch has examples of similar length. Only the last batch of an epoch may be smaller than
    ``batch``.
    """

    def __init__(self, lengths: Sequence[int], batch: int, seed: int, *, grouped: bool) -> None:
        self._lengths = lengths
        self._batch = batch
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
        size = self._batch * _BATCHES_SORTED
        batches: list[list[int]] = []
        for start in range(0, len(order), size):
            part = sorted(order[start : start + size], key=lambda index: -self._lengths[index])
            batches += [part[first : first + self._batch] for first in range(0, len(part), self._batch)]
        last = [batches.pop()] if batches and len(batches[-1]) < self._batch else []
        rng.shuffle(batches)
        for batch in batches + last:
            yield from batch
