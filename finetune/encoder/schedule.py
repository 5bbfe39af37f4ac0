"""Order and learning rates of the examples of an encoder run."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch.utils.data import Sampler

from finetune.sampler import SeededSampler


@dataclass(frozen=True, slots=True)
class Stage:
    """Epochs over some of the examples (by index), at a learning rate that decays linearly from ``rate`` to 0."""

    examples: tuple[int, ...]
    epochs: int
    rate: float


class Schedule(Sampler[int]):
    """The examples of all epochs of all stages, which the trainer runs as one epoch. The seed determines the order.

    Args:
        stages: in training order.
        lengths: number of tokens of each example; a batch has examples of similar length.
        batch_size: examples in a batch. A batch may mix the end of an epoch with the start of the next.
        processes: number of processes; a step has one batch for each process.
        warmup: share of a stage's steps that warm up. Meanwhile, a limit of the learning rate rises linearly to
            ``Stage.rate``.
        seed: seed of the order.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        lengths: Sequence[int],
        *,
        batch_size: int,
        processes: int = 1,
        warmup: float,
        seed: int,
    ) -> None:
        self._stages = stages
        self._lengths = lengths
        self._batch_size = batch_size
        self._warmup = warmup
        self._seed = seed
        count = 0
        self._boundaries = [0]  # steps where stages begin and end; a step that two stages share belongs to the first
        for stage in stages:
            count += stage.epochs * len(stage.examples)
            self._boundaries.append(math.ceil(count / (batch_size * processes)))
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        epoch = 0
        for stage in self._stages:
            lengths = [self._lengths[example] for example in stage.examples]
            sampler = SeededSampler(lengths, self._batch_size, self._seed, grouped=True)
            for _ in range(stage.epochs):
                sampler.set_epoch(epoch)
                yield from (stage.examples[index] for index in sampler)
                epoch += 1

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0; after the last step it is 0.

        It is the lower of two lines: the rising one of the warm-up, and the falling one of the decay.
        """
        for stage, (start, end) in zip(self._stages, pairwise(self._boundaries), strict=True):
            if step < end:
                steps = end - start
                return stage.rate * min(1.0, (step - start + 1) / max(1.0, self._warmup * steps), (end - step) / steps)
        return 0.0
