from collections import Counter

import pytest
from accelerate.data_loader import BatchSamplerShard

from finetune.embedder.batches import Batches
from finetune.embedder.data import Example


def examples(count: int, negatives: int = 0) -> list[Example]:
    """Two examples for each of ``count`` abstracts, whose negatives are the next abstracts."""
    return [
        Example(f"{kind} {abstract}", abstract, tuple((abstract + step) % count for step in range(1, negatives + 1)))
        for abstract in range(count)
        for kind in ("question", "conclusion")
    ]


@pytest.mark.parametrize("negatives", [0, 2])
def test_no_batch_repeats_an_abstract_and_no_epoch_an_example(negatives: int) -> None:
    all_examples = examples(40, negatives)
    batches = list(Batches(all_examples, 8, 3, seed=1))
    for batch in batches:
        assert len(batch) <= 8
        in_batch = [all_examples[index] for index in batch]
        abstracts = Counter(abstract for example in in_batch for abstract in (example.abstract, *example.negatives))
        assert max(abstracts.values()) == 1
    order = [index for batch in batches for index in batch]
    assert Counter(order) == dict.fromkeys(range(80), 3)
    assert len({tuple(order[:80]), tuple(order[80:160]), tuple(order[160:])}) == 3  # no two epochs have the same order


def test_only_the_last_batches_of_an_epoch_are_smaller() -> None:
    batches = Batches(examples(40), 8, 1, seed=1)
    sizes = [len(batch) for batch in batches]
    assert len(batches) == len(sizes)
    assert sum(sizes) == 80
    assert set(sizes[:-3]) == {8}


def test_equal_texts_are_in_different_batches() -> None:
    all_examples = [Example("the same", 0), Example("the same", 1), Example("another", 2)]
    for batch in Batches(all_examples, 3, 4, seed=0):
        assert len({all_examples[index].text for index in batch}) == len(batch)


def test_the_seed_determines_the_batches() -> None:
    first, same_seed, other_seed = (list(Batches(examples(20), 4, 2, seed=seed)) for seed in (1, 1, 2))
    assert first == same_seed != other_seed


def test_all_processes_of_a_distributed_run_get_the_same_number_of_batches() -> None:
    batches = Batches(examples(12), 8, 1, seed=1)
    assert len(batches) % 2 == 1
    # sentence-transformers' trainer passes these arguments.
    shards = [BatchSamplerShard(batches, num_processes=2, process_index=rank, even_batches=False) for rank in (0, 1)]  # type: ignore[arg-type]
    assert [len(list(shard)) for shard in shards] == [len(batches) // 2] * 2 == [len(shard) for shard in shards]
