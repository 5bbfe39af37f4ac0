import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import checkpoints
import pytest
import torch
from classifiers import make_classifier
from generated import generate_texts

from chains.config import LLMConfig
from chains.encoder.classifier import load_classifier
from chains.models.batching import in_batches, in_order
from chains.models.local import LocalLLM, load_llm
from chains.models.scoring import encode, label_log_likelihoods, with_labels
from common.errors import UserError

LENGTHS = [5, 50, 7, 7, 500, 1, 30, 0]
PROMPTS = [
    "<|begin|><|user|>" + "Aspirin reduced the risk of stroke. " * n + f"Does it {n}?<|end|><|assistant|>"
    for n in (0, 1, 2, 3, 4, 1)
]


def allocate_too_much() -> None:
    """As a processor says it."""
    torch.empty(10**15)


def card_is_full() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def library_is_full() -> None:
    raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


FAILURES = [allocate_too_much, card_is_full, library_is_full]


@contextmanager
def room_for(model: torch.nn.Module, tokens: int, fail: Callable[[], None]) -> Iterator[list[int]]:
    """Inside, passes over more than ``tokens`` tokens fail; the sizes of those that do not are noted."""
    sizes: list[int] = []

    def check(_: object, args: tuple, kwargs: dict) -> None:
        size = kwargs["input_ids"].numel()
        if size > tokens:
            fail()
        sizes.append(size)

    handle = model.register_forward_pre_hook(check, with_kwargs=True)
    try:
        yield sizes
    finally:
        handle.remove()


@pytest.fixture(scope="module")
def llm(tmp_path_factory) -> LocalLLM:
    return load_llm(LLMConfig(model=str(checkpoints.make_chat(tmp_path_factory.mktemp("chat"))), dtype="float32"))


def test_batches_hold_every_index_once_and_keep_the_budget() -> None:
    made: list[list[int]] = []

    def run(batch: list[int]) -> list[int]:
        made.append(batch)
        return [LENGTHS[index] for index in batch]

    assert in_order(in_batches(LENGTHS, 60, run, "")) == LENGTHS
    assert made[0] == [4]
    assert [max(LENGTHS[index] for index in batch) for batch in made] == [LENGTHS[batch[0]] for batch in made]
    for batch in made[1:]:
        assert len(batch) * LENGTHS[batch[0]] <= 60
    assert len(made) == 4  # 500; 50; 30; 7, 7, 5, 1, 0
    assert list(in_batches([], 60, run, "")) == []


def test_batches_are_given_as_they_are_done() -> None:
    done: list[int] = []
    for batch, results in in_batches(LENGTHS, 60, lambda batch: done.extend(batch) or batch, ""):
        assert done[-len(batch) :] == batch == results


@pytest.mark.parametrize("fail", FAILURES)
def test_what_does_not_fit_is_halved_for_good(fail: Callable[[], None]) -> None:
    tried: list[int] = []

    def run(batch: list[int]) -> list[int]:
        tried.append(len(batch))
        if len(batch) > 3:
            fail()
        return batch

    assert in_order(in_batches([10] * 16, 160, run, "")) == list(range(16))
    assert tried == [16, 8, 4, 2, 2, 2, 2, 2, 2, 2, 2]


def test_a_single_text_that_does_not_fit_is_said_with_what_to_do() -> None:
    def run(batch: list[int]) -> list[int]:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(UserError, match=r"A single text does not fit in memory.* Buy a larger card\."):
        in_order(in_batches([10] * 4, 40, run, "Buy a larger card."))


def test_other_errors_are_not_taken_for_it() -> None:
    def run(batch: list[int]) -> list[int]:
        raise RuntimeError("expected scalar type Float but found Half")

    with pytest.raises(RuntimeError, match="scalar type"):
        in_order(in_batches([1, 1], 2, run, ""))


def test_what_a_failed_batch_held_is_free_before_the_next_one() -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    def run(batch: list[int]) -> list[int]:
        if held:
            assert held[0]() is None
            return batch
        states = torch.zeros(9)
        held.append(weakref.ref(states))
        raise torch.OutOfMemoryError

    assert in_order(in_batches([1, 1], 2, run, "")) == [0, 1]


@pytest.mark.parametrize("fail", FAILURES[:2])
@pytest.mark.parametrize("labels", [["a", "b"], ["yes", "no", "maybe not"]])
@pytest.mark.parametrize("share", [False, True])
def test_scores_are_the_same_where_memory_is_short(llm: LocalLLM, fail, labels: list[str], share: bool) -> None:
    asked = with_labels(llm.tokenizer, PROMPTS, encode(llm.tokenizer, PROMPTS), labels, "")
    longest = max(len(prompt.ids) for prompt in asked)
    expected = torch.tensor(label_log_likelihoods(llm.model, asked, 10_000, share=share))
    with room_for(llm.model, 2 * longest, fail) as sizes:
        found = torch.tensor(label_log_likelihoods(llm.model, asked, 10_000, share=share))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert len(sizes) > 1
    with room_for(llm.model, 3, fail), pytest.raises(UserError, match=r"llm\.quantization"):
        label_log_likelihoods(llm.model, asked, 10_000, share=share)


@pytest.mark.parametrize("share", [False, True])
def test_texts_are_the_same_where_memory_is_short(llm: LocalLLM, share: bool) -> None:
    prompts = encode(llm.tokenizer, PROMPTS)
    budget = {"max_new_tokens": 6, "batch_tokens": 10_000, "share": share}
    expected = generate_texts(llm.model, llm.tokenizer, prompts, **budget)
    with room_for(llm.model, 2 * max(map(len, prompts)), card_is_full) as sizes:
        assert generate_texts(llm.model, llm.tokenizer, prompts, **budget) == expected
    assert len(sizes) > 6
    with room_for(llm.model, 3, card_is_full), pytest.raises(UserError, match=r"llm\.device_map"):
        generate_texts(llm.model, llm.tokenizer, prompts, **budget)


def test_a_classifier_judges_the_same_where_memory_is_short(tmp_path: Path) -> None:
    judge = load_classifier(str(make_classifier(tmp_path)), dtype="float32")
    pairs = [(f"Aspirin reduced {'the risk of ' * n}stroke.", "It did not.") for n in range(1, 6)]
    expected = [judgement.label_scores for judgement in judge.judge(pairs)]
    model = judge._classifier.model
    with room_for(model, 90, card_is_full) as sizes:
        for judgement, scores in zip(judge.judge(pairs), expected, strict=True):
            assert judgement.label_scores == pytest.approx(scores, abs=1e-5)
    assert len(sizes) > 1
    with room_for(model, 3, card_is_full), pytest.raises(UserError, match="Choose a smaller model"):
        judge.judge(pairs)
