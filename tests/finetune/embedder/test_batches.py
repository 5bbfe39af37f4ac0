from collections import Counter

import pytest

from finetune.embedder.batches import Batches
from finetune.embedder.data import Example


def examples(count: int, negatives: int = 0) -> list[Example]:
    """Two texts for each abstract, and as negatives the abstracts after it."""
    return [
        Example(f"{kind} {n}", n, tuple((n + step) % count for step in range(1, negatives + 1)))
        for n in range(count)
        for kind in ("question", "conclusion")
    ]


@pytest.mark.parametrize("negatives", [0, 2])
def test_no_abstract_is_in_a_batch_twice_and_every_example_in_an_epoch_once(negatives: int) -> None:
    given = examples(40, negatives)
    batches = list(Batches(given, 8, 3, seed=1))
    for batch in batches:
        assert len(batch) <= 8
        seen = Counter(number for place in batch for number in (given[place].abstract, *given[place].negatives))
        assert max(seen.values()) == 1
    order = [place for batch in batches for place in batch]
    assert Counter(order) == dict.fromkeys(range(80), 3)
    assert len({tuple(order[:80]), tuple(order[80:160]), tuple(order[160:])}) == 3


def test_batches_are_full_until_the_last() -> None:
    sizes = [len(batch) for batch in Batches(examples(40), 8, 1, seed=1)]
    assert sum(sizes) == 80
    assert set(sizes[:-3]) == {8}


def test_equal_texts_are_kept_apart() -> None:
    given = [Example("the same", 0), Example("the same", 1), Example("another", 2)]
    assert all(len({given[place].text for place in batch}) == len(batch) for batch in Batches(given, 3, 4, seed=0))


def test_the_seed_alone_decides() -> None:
    one, same, other = (list(Batches(examples(20), 4, 2, seed=seed)) for seed in (1, 1, 2))
    assert one == same != other
    assert len(Batches(examples(20), 4, 2, seed=1)) == len(one)
