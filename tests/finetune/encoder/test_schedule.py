import pytest

from finetune.encoder.schedule import Schedule, Stage

LENGTHS = [5 + 7 * n % 31 for n in range(20)]  # all different


def make_sampler(*stages: Stage, warmup: float = 0.5, seed: int = 1, processes: int = 1) -> Schedule:
    return Schedule(stages, LENGTHS, batch_size=4, processes=processes, warmup=warmup, seed=seed)


def test_each_epoch_of_a_stage_has_its_examples_once() -> None:
    first, second = Stage((1, 5, 7, 9, 11), 3, 1.0), Stage(tuple(range(20)), 2, 0.5)
    order = list(make_sampler(first, second))
    assert len(order) == len(make_sampler(first, second)) == 3 * 5 + 2 * 20
    for epoch in range(3):
        assert sorted(order[5 * epoch : 5 * epoch + 5]) == [1, 5, 7, 9, 11]
    for start in (15, 35):
        assert sorted(order[start : start + 20]) == list(range(20))


def test_seed_and_epoch_determine_the_order() -> None:
    stage = Stage(tuple(range(20)), 2, 1.0)
    order = list(make_sampler(stage))
    assert order == list(make_sampler(stage)) != list(make_sampler(stage, seed=2))
    assert order[:20] != order[20:]


def test_batches_are_consecutive_examples_in_the_order_of_their_lengths() -> None:
    lengths = [LENGTHS[example] for example in make_sampler(Stage(tuple(range(20)), 1, 1.0))]
    batches = [sorted(lengths[start : start + 4]) for start in range(0, 20, 4)]
    assert [length for batch in sorted(batches) for length in batch] == sorted(LENGTHS)


def test_the_learning_rate_rises_and_falls_in_each_stage() -> None:
    # The first stage has 8 steps and peak rate 1.0, the second 4 steps and 0.5; half of each stage is warm-up.
    sampler = make_sampler(Stage(tuple(range(16)), 2, 1.0), Stage(tuple(range(16)), 1, 0.5))
    rates = [sampler.rate(step) for step in range(12)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.25, 0.375, 0.25, 0.125])
    assert sampler.rate(12) == 0


def test_without_warm_up_a_stage_begins_at_its_peak_rate() -> None:
    sampler = make_sampler(Stage(tuple(range(16)), 1, 2.0), warmup=0)
    assert [sampler.rate(step) for step in range(4)] == pytest.approx([2.0, 1.5, 1.0, 0.5])


def test_with_two_processes_a_step_takes_two_batches() -> None:
    sampler = make_sampler(Stage(tuple(range(16)), 2, 1.0), warmup=0, processes=2)  # 8 batches, so 4 steps
    assert [sampler.rate(step) for step in range(5)] == pytest.approx([1.0, 0.75, 0.5, 0.25, 0])
