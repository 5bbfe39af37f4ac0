"""What is taught when and at which rate: stages, each some epochs over some of the examples."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch.utils.data import Sampler

from finetune.qlora.order import SeededOrder


@dataclass(frozen=True, slots=True)
class Stage:
    """So many epochs over some examples, by their numbers, at a rate that rises to ``rate`` and falls to 0."""

    examples: tuple[int, ...]
    epochs: int
    rate: float


class Course(Sampler[int]):
    """All stages' examples, one epoch after the other, decided by the seed alone: to a trainer it is a single epoch.

    Args:
        stages: in order.
        lengths: of all examples, in tokens; a batch has examples of like length.
        batch: examples that a step sees. A step may see the last of an epoch and the first of the next.
        warmup: over which share of a stage's steps the rate rises.
        seed: of the order.
    """

    def __init__(
        self, stages: Sequence[Stage], lengths: Sequence[int], *, batch: int, warmup: float, seed: int
    ) -> None:
        self._stages = stages
        self._lengths = lengths
        self._batch = batch
        self._warmup = warmup
        self._seed = seed
        seen = 0
        self._ends = [0]  # the steps at which stages end; a step that two stages share belongs to the first
        for stage in stages:
            seen += stage.epochs * len(stage.examples)
            self._ends.append(math.ceil(seen / batch))
        self._seen = seen

    def __len__(self) -> int:
        return self._seen

    def __iter__(self) -> Iterator[int]:
        epoch = 0
        for stage in self._stages:
            lengths = [self._lengths[example] for example in stage.examples]
            order = SeededOrder(lengths, self._batch, self._seed, grouped=True)
            for _ in range(stage.epochs):
                order.set_epoch(epoch)
                yield from (stage.examples[place] for place in order)
                epoch += 1

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0; 0 after the last."""
        for stage, start, end in zip(self._stages, self._ends, self._ends[1:], strict=False):
            if step < end:
                steps = end - start
                return stage.rate * min(1.0, (step - start + 1) / max(1.0, self._warmup * steps), (end - step) / steps)
        return 0.0
