"""finetune.sampler.py: every example once an epoch, in an order that can be repeated."""

from finetune.sampler import SeededSampler

LENGTHS = [(7 * index) % 101 for index in range(1003)]


def order(epoch: int = 0, *, seed: int = 1, grouped: bool = True) -> list[int]:
    sampler = SeededSampler(LENGTHS, 8, seed, grouped=grouped)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_every_example_once() -> None:
    for grouped in (True, False):
        assert sorted(order(grouped=grouped)) == list(range(1003))


def test_seed_and_epoch_decide() -> None:
    assert order(3) == order(3)
    assert order(3) != order(4)
    assert order(3) != order(3, seed=2)


def test_batches_are_of_like_length() -> None:
    def spread(indices: list[int]) -> float:
        batches = [indices[start : start + 8] for start in range(0, 1000, 8)]
        return sum(max(LENGTHS[i] for i in b) - min(LENGTHS[i] for i in b) for b in batches) / len(batches)

    assert spread(order()) < 0.1 * spread(order(grouped=False))


def test_long_batches_do_not_come_first() -> None:
    first, last = order()[:240], order()[-240:]
    assert abs(sum(LENGTHS[i] for i in first) - sum(LENGTHS[i] for i in last)) < 240 * 20


def test_fewer_than_a_batch() -> None:
    assert sorted(SeededSampler([3, 1, 2], 8, 1, grouped=True)) == [0, 1, 2]
