"""finetune/sampler.py: every example once an epoch, in an order that seed and epoch determine."""

from statistics import mean

from finetune.sampler import SeededSampler

LENGTHS = [(7 * index) % 101 for index in range(1003)]  # 1003 is no multiple of the batch size 8


def order(epoch: int = 0, *, seed: int = 1, grouped: bool = True) -> list[int]:
    sampler = SeededSampler(LENGTHS, 8, seed, grouped=grouped)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_an_epoch_has_every_example_once() -> None:
    for grouped in (True, False):
        assert sorted(order(grouped=grouped)) == list(range(1003))


def test_seed_and_epoch_determine_the_order() -> None:
    assert order(3) == order(3)
    assert order(3) != order(4)
    assert order(3) != order(3, seed=2)


def test_grouped_batches_have_examples_of_similar_length() -> None:
    def mean_range(indices: list[int]) -> float:
        lengths = [LENGTHS[index] for index in indices]
        return mean(max(lengths[start : start + 8]) - min(lengths[start : start + 8]) for start in range(0, 1000, 8))

    assert mean_range(order()) < 0.1 * mean_range(order(grouped=False))


def test_grouped_batches_are_not_in_the_order_of_their_lengths() -> None:
    lengths = [LENGTHS[index] for index in order()]
    assert abs(mean(lengths[:240]) - mean(lengths[-240:])) < 20  # about 76 if all examples are sorted


def test_fewer_examples_than_a_batch_make_one_batch() -> None:
    assert sorted(SeededSampler([3, 1, 2], 8, 1, grouped=True)) == [0, 1, 2]
