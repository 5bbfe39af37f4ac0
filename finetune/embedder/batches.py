"""Batches of the training examples of an embedder run."""

import random
from collections import deque
from collections.abc import Iterator, Sequence

from torch.utils.data import Sampler

from finetune.embedder.data import Example


class Batches(Sampler[list[int]]):
    """Batches of example indices for all epochs, which the trainer runs as one epoch. The seed determines the order.

    No text or abstract is in a batch twice, since the loss takes all other abstracts of a batch as negatives. An
    example that would repeat one moves to a later batch. The library's ``NoDuplicatesBatchSampler`` does the same, but
    it shuffles anew in each epoch: a run that resumes within an epoch would get another order.

    Batches have ``batch_size`` examples; the last ones of an epoch may have fewer.
    """

    drop_last = True  # read by accelerate: each process of a distributed run gets the same number of batches

    def __init__(self, examples: Sequence[Example], batch_size: int, epochs: int, seed: int) -> None:
        self._batches = [
            batch for epoch in range(epochs) for batch in _epoch_batches(examples, batch_size, f"{seed}/{epoch}")
        ]

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[int]]:
        yield from self._batches


def _epoch_batches(examples: Sequence[Example], batch_size: int, seed: str) -> Iterator[list[int]]:
    order = list(range(len(examples)))
    random.Random(seed).shuffle(order)
    remaining = deque(order)
    while remaining:
        batch: list[int] = []
        postponed: list[int] = []
        batch_contents: set[int | str] = set()  # texts, and indices of abstracts
        while remaining and len(batch) < batch_size:
            index = remaining.popleft()
            example = examples[index]
            contents: set[int | str] = {example.text, example.abstract, *example.negatives}
            if batch_contents & contents:
                postponed.append(index)
            else:
                batch_contents |= contents
                batch.append(index)
        yield batch
        remaining.extendleft(reversed(postponed))
