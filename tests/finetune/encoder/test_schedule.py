from collections import Counter

import pytest

from finetune.encoder.schedule import Schedule, Stage

LENGTHS = [5 + 7 * n % 31 for n in range(20)]


def schedule(*stages: Stage, batch: int = 4, warmup: float = 0.5, seed: int = 1) -> Schedule:
    return Schedule(stages, LENGTHS, batch=batch, warmup=warmup, seed=seed)


def test_every_stage_sees_its_examples_once_an_epoch() -> None:
    first, second = Stage((1, 5, 7, 9, 11), 3, 1.0), Stage(tuple(range(20)), 2, 0.5)
    seen = list(schedule(first, second))
    assert len(seen) == len(schedule(first, second)) == 3 * 5 + 2 * 20
    for epoch in range(3):
        assert sorted(seen[5 * epoch : 5 * epoch + 5]) == [1, 5, 7, 9, 11]
    assert Counter(seen[15:]) == dict.fromkeys(range(20), 2)


def test_the_seed_alone_decides_the_order() -> None:
    stage = Stage(tuple(range(20)), 2, 1.0)
    assert list(schedule(stage)) == list(schedule(stage))
    assert list(schedule(stage)) != list(schedule(stage, seed=2))
    epochs = list(schedule(stage))
    assert epochs[:20] != epochs[20:]


def test_batches_have_examples_of_like_length() -> None:
    seen = list(schedule(Stage(tuple(range(20)), 1, 1.0)))
    spreads = [
        max(LENGTHS[n] for n in seen[i : i + 4]) - min(LENGTHS[n] for n in seen[i : i + 4]) for i in range(0, 20, 4)
    ]
    assert max(spreads) < max(LENGTHS) - min(LENGTHS)
    by_length = sorted(LENGTHS)
    assert sorted(spreads) == sorted(by_length[i + 3] - by_length[i] for i in range(0, 20, 4))


def test_the_rate_rises_and_falls_in_each_stage() -> None:
    stages = schedule(Stage(tuple(range(16)), 2, 1.0), Stage(tuple(range(16)), 1, 0.5))
    rates = [stages.rate(step) for step in range(12)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.25, 0.375, 0.25, 0.125])
    assert stages.rate(12) == 0


def test_without_a_warm_up_a_stage_begins_at_its_rate() -> None:
    stages = schedule(Stage(tuple(range(16)), 1, 2.0), warmup=0)
    assert [stages.rate(step) for step in range(4)] == pytest.approx([2.0, 1.5, 1.0, 0.5])
