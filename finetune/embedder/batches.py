"""Order of the training examples of an embedder run."""

import random
from collections.abc import Iterator, Sequence

from torch.utils.data import Sampler

from finetune.embedder.data import Example


class Batches(Sampler[list[int]]):
    """Batches of example indices for all epochs, as one epoch of the trainer. The seed determines the order.

    No text or abstract is in a batch twice, since the loss takes all other abstracts of a batch as negatives. An
    example that does not fit into a batch moves to the next. The library's ``NoDuplicatesBatchSampler`` does the same,
    but it gets its order epoch by epoch, and a run that resumes within an epoch loses it.

    Batches have ``size`` examples; the last ones of an epoch may have fewer.
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
        in_batch: set[int | str] = set()
        for place, index in enumerate(waiting):
            one = examples[index]
            texts: set[int | str] = {one.text, one.abstract, *one.negatives}
            if in_batch & texts:
                later.append(index)
                continue
            in_batch |= texts
            batch.append(index)
            if len(batch) == size:
                later += waiting[place + 1 :]
                break
        yield batch
        waiting = later
