import pytest

from finetune.encoder.schedule import Schedule, Stage

LENGTHS = [5 + 7 * n % 31 for n in range(20)]  # all different


def make_schedule(*stages: Stage, warmup: float = 0.5, seed: int = 1, processes: int = 1) -> Schedule:
    return Schedule(stages, LENGTHS, batch_size=4, processes=processes, warmup=warmup, seed=seed)


def test_each_epoch_of_a_stage_has_its_examples_once() -> None:
    first, second = Stage((1, 5, 7, 9, 11), 3, 1.0), Stage(tuple(range(20)), 2, 0.5)
    order = list(make_schedule(first, second))
    assert len(order) == len(make_schedule(first, second)) == 3 * 5 + 2 * 20
    for epoch in range(3):
        assert sorted(order[5 * epoch : 5 * epoch + 5]) == [1, 5, 7, 9, 11]
    for start in (15, 35):
        assert sorted(order[start : start + 20]) == list(range(20))


def test_seed_and_epoch_determine_the_order() -> None:
    stage = Stage(tuple(range(20)), 2, 1.0)
    order = list(make_schedule(stage))
    assert order == list(make_schedule(stage)) != list(make_schedule(stage, seed=2))
    assert order[:20] != order[20:]


def test_batches_are_those_of_the_examples_sorted_by_length() -> None:
    lengths = [LENGTHS[example] for example in make_schedule(Stage(tuple(range(20)), 1, 1.0))]
    batches = [sorted(lengths[start : start + 4]) for start in range(0, 20, 4)]
    assert [length for batch in sorted(batches) for length in batch] == sorted(LENGTHS)


def test_the_learning_rate_rises_and_falls_in_each_stage() -> None:
    # A stage of 8 steps with the peak rate 1.0, and one of 4 steps with 0.5. The first half of each is warm-up.
    stages = make_schedule(Stage(tuple(range(16)), 2, 1.0), Stage(tuple(range(16)), 1, 0.5))
    rates = [stages.rate(step) for step in range(12)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.25, 0.375, 0.25, 0.125])
    assert stages.rate(12) == 0


def test_without_warm_up_a_stage_begins_at_its_peak_rate() -> None:
    stages = make_schedule(Stage(tuple(range(16)), 1, 2.0), warmup=0)
    assert [stages.rate(step) for step in range(4)] == pytest.approx([2.0, 1.5, 1.0, 0.5])


def test_each_step_of_several_processes_has_a_batch_of_each() -> None:
    stages = make_schedule(Stage(tuple(range(16)), 2, 1.0), warmup=0, processes=2)  # 8 batches
    assert [stages.rate(step) for step in range(5)] == pytest.approx([1.0, 0.75, 0.5, 0.25, 0])
