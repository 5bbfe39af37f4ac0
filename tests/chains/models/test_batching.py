import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import checkpoints
import pytest
import torch
from classifiers import make_classifier
from generated import forward_sizes, generate_texts

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


def raise_cpu_error() -> None:
    torch.empty(10**15)  # more than the machine's memory


def raise_cuda_error() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def raise_cublas_error() -> None:
    raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


def limited_memory(
    model: torch.nn.Module, tokens: int, raise_error: Callable[[], None]
) -> AbstractContextManager[list[int]]:
    """Forward passes over more than ``tokens`` tokens fail; yields the token counts of the passes that succeed."""
    return forward_sizes(model, lambda size: raise_error() if size > tokens else None)


@pytest.fixture(scope="module")
def llm(tmp_path_factory) -> LocalLLM:
    return load_llm(LLMConfig(model=str(checkpoints.make_chat(tmp_path_factory.mktemp("chat"))), dtype="float32"))


def test_batches_are_sorted_by_length_and_limited_to_the_token_budget() -> None:
    batches: list[list[int]] = []

    def run(batch: list[int]) -> list[int]:
        batches.append([LENGTHS[index] for index in batch])
        return batches[-1]

    assert in_order(in_batches(LENGTHS, 60, run, "")) == LENGTHS
    assert batches == [[500], [50], [30, 7], [7, 5, 1, 0]]  # padded, the third has 60 tokens
    assert list(in_batches([], 60, run, "")) == []


def test_each_batch_is_yielded_before_the_next_runs() -> None:
    done: list[int] = []
    for batch, results in in_batches(LENGTHS, 60, lambda batch: done.extend(batch) or batch, ""):
        assert done[-len(batch) :] == batch == results


@pytest.mark.parametrize("raise_error", [raise_cpu_error, raise_cuda_error, raise_cublas_error])
def test_batches_are_halved_until_they_fit_in_memory(raise_error: Callable[[], None]) -> None:
    sizes: list[int] = []

    def run(batch: list[int]) -> list[int]:
        sizes.append(len(batch))
        if len(batch) > 3:
            raise_error()
        return batch

    assert in_order(in_batches([10] * 16, 160, run, "")) == list(range(16))
    assert sizes == [16, 8, 4, 2, 2, 2, 2, 2, 2, 2, 2]


def test_a_single_text_that_does_not_fit_raises_with_advice() -> None:
    def run(batch: list[int]) -> list[int]:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(UserError, match=r"A single text does not fit in memory.* Buy a larger card\."):
        in_order(in_batches([10] * 4, 40, run, "Buy a larger card."))


def test_other_runtime_errors_are_raised() -> None:
    def run(batch: list[int]) -> list[int]:
        raise RuntimeError("expected scalar type Float but found Half")

    with pytest.raises(RuntimeError, match="scalar type"):
        in_order(in_batches([1, 1], 2, run, ""))


def test_tensors_of_a_failed_batch_are_freed_before_the_next() -> None:
    references: list[weakref.ref[torch.Tensor]] = []

    def run(batch: list[int]) -> list[int]:
        if references:
            assert references[0]() is None
            return batch
        tensor = torch.zeros(9)
        references.append(weakref.ref(tensor))
        raise torch.OutOfMemoryError

    assert in_order(in_batches([1, 1], 2, run, "")) == [0, 1]


@pytest.mark.parametrize("raise_error", [raise_cpu_error, raise_cuda_error])
@pytest.mark.parametrize("labels", [["a", "b"], ["yes", "no", "maybe not"]], ids=["one token", "several tokens"])
@pytest.mark.parametrize("share", [False, True])
def test_scores_stay_the_same_with_little_memory(llm: LocalLLM, raise_error, labels: list[str], share: bool) -> None:
    prompts = with_labels(llm.tokenizer, PROMPTS, encode(llm.tokenizer, PROMPTS), labels, "")
    longest = max(len(prompt.ids) for prompt in prompts)
    expected = torch.tensor(label_log_likelihoods(llm.model, prompts, 10_000, share=share))
    with limited_memory(llm.model, 2 * longest, raise_error) as sizes:
        scores = torch.tensor(label_log_likelihoods(llm.model, prompts, 10_000, share=share))
    torch.testing.assert_close(scores, expected, atol=1e-4, rtol=0)
    assert len(sizes) > 1
    with limited_memory(llm.model, 3, raise_error), pytest.raises(UserError, match=r"llm\.quantization"):
        label_log_likelihoods(llm.model, prompts, 10_000, share=share)


@pytest.mark.parametrize("share", [False, True])
def test_texts_stay_the_same_with_little_memory(llm: LocalLLM, share: bool) -> None:
    prompts = encode(llm.tokenizer, PROMPTS)
    options = {"max_new_tokens": 6, "batch_tokens": 10_000, "share": share}
    expected = generate_texts(llm.model, llm.tokenizer, prompts, **options)
    with limited_memory(llm.model, 2 * max(map(len, prompts)), raise_cuda_error) as sizes:
        assert generate_texts(llm.model, llm.tokenizer, prompts, **options) == expected
    assert len(sizes) > 6  # one batch has at most one pass per new token
    with limited_memory(llm.model, 3, raise_cuda_error), pytest.raises(UserError, match=r"llm\.device_map"):
        generate_texts(llm.model, llm.tokenizer, prompts, **options)


def test_judgements_of_a_classifier_stay_the_same_with_little_memory(tmp_path: Path) -> None:
    classifier = load_classifier(str(make_classifier(tmp_path)), dtype="float32")
    pairs = [(f"Aspirin reduced {'the risk of ' * n}stroke.", "It did not.") for n in range(1, 6)]
    expected = [judgement.label_scores for judgement in classifier.judge(pairs)]
    model = classifier._classifier.model
    with limited_memory(model, 90, raise_cuda_error) as sizes:
        for judgement, scores in zip(classifier.judge(pairs), expected, strict=True):
            assert judgement.label_scores == pytest.approx(scores, abs=1e-5)
    assert len(sizes) > 1
    with limited_memory(model, 3, raise_cuda_error), pytest.raises(UserError, match="Choose a smaller model"):
        classifier.judge(pairs)
