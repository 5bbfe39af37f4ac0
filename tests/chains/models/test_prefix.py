import time
from collections.abc import Iterator
from contextlib import contextmanager

import architectures
import checkpoints
import pytest
import torch
from generated import generate_texts
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from chains.config import LLMConfig
from chains.models.cpu_llama import pack_llama
from chains.models.local import load_llm
from chains.models.prefix import SharedPrefix, shared_prefix_length
from chains.models.scoring import Scorable, label_log_likelihoods
from common.cpu import packs_linear

LABELS = {"one token": ((5,), (6,), (7,)), "several": ((5, 6, 9), (5,), (6, 7))}


def some(length: int, seed: int = 1) -> list[int]:
    return torch.randint(3, architectures.WORDS, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def few_shot(shared: int, count: int, own: int = 20) -> list[list[int]]:
    """Prompts that share so many tokens, with ``own`` to twice ``own`` of their own."""
    return [[*some(shared), 3 + i, *some(own - 1 + i * own // count, seed=i)] for i in range(count)]


@contextmanager
def tokens_through(model: torch.nn.Module) -> Iterator[list[int]]:
    sizes: list[int] = []

    def note(_: object, args: tuple, kwargs: dict) -> None:
        sizes.append(kwargs["input_ids"].numel())

    handle = model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield sizes
    finally:
        handle.remove()


@pytest.fixture(scope="module")
def llama() -> PreTrainedModel:
    return architectures.make_model("llama")


def test_how_much_is_shared(llama: PreTrainedModel) -> None:
    assert shared_prefix_length(llama, few_shot(30, 4), 0) == 30
    assert shared_prefix_length(llama, few_shot(30, 1), 0) == 0
    assert shared_prefix_length(llama, few_shot(0, 4), 0) == 0
    assert shared_prefix_length(llama, [some(30)] * 3, 0) == 29  # each keeps a token to predict from
    assert shared_prefix_length(llama, [some(30), some(30)[:12], some(30)], 0) == 11
    assert shared_prefix_length(llama, [[7], [7], [7]], 0) == 0


def test_too_little_is_not_shared(llama: PreTrainedModel) -> None:
    assert shared_prefix_length(llama, few_shot(12, 20, own=100), 0) == 0
    assert shared_prefix_length(llama, few_shot(25, 20, own=100), 0) == 25
    assert shared_prefix_length(llama, few_shot(25, 2, own=100), 0) == 0  # saved once only


def test_what_is_shared_goes_through_the_model_once(llama: PreTrainedModel) -> None:
    prompts = few_shot(100, 8)
    own = sum(map(len, prompts)) - 8 * 100
    for labels in LABELS.values():
        asked = [Scorable(prompt, labels) for prompt in prompts]
        with tokens_through(llama) as sizes:
            label_log_likelihoods(llama, asked, 100)
        assert sizes[0] == 100
        assert own <= sum(sizes[1:]) < 2 * own + 8 * 5
        with tokens_through(llama) as sizes:
            label_log_likelihoods(llama, asked, 100, share=False)
        assert sum(sizes) >= sum(map(len, prompts))


def test_the_budget_counts_own_tokens_and_an_eighth_of_shared_ones(llama: PreTrainedModel) -> None:
    asked = [Scorable(prompt, LABELS["one token"]) for prompt in few_shot(80, 12, own=10)]
    with tokens_through(llama) as sizes:
        label_log_likelihoods(llama, asked, 60)
    longest = max(len(prompt.ids) for prompt in asked) - 80
    assert max(sizes[1:]) == 60 // (longest + 10) * longest


def test_reading_goes_on_from_the_prefix_without_changing_it(llama: PreTrainedModel) -> None:
    prefix = SharedPrefix(llama, some(30))
    assert len(prefix) == 30
    with torch.inference_mode():
        expected = llama(torch.tensor([[*some(30), *some(9, 2)]])).logits[:, -9:]
        for _ in range(2):
            kept = prefix.cache(extend=True)
            first = llama(torch.tensor([some(9, 2)[:4]]), past_key_values=kept).logits
            assert kept.get_seq_length() == 34
            rest = llama(torch.tensor([some(9, 2)[4:]]), past_key_values=kept).logits
            torch.testing.assert_close(torch.cat([first, rest], 1), expected, atol=1e-4, rtol=0)
            dropped = prefix.cache(extend=False)
            llama(torch.tensor([some(9, 2)]), past_key_values=dropped)
            assert dropped.get_seq_length() == 30


@pytest.mark.parametrize("labels", list(LABELS))
def test_an_attached_lora_is_in_the_prefix_too(llama: PreTrainedModel, labels: str) -> None:
    torch.manual_seed(3)
    model = architectures.make_model("llama")
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)).eval()
    asked = [Scorable(prompt, LABELS[labels]) for prompt in few_shot(40, 6)]
    assert shared_prefix_length(adapted, [prompt.ids for prompt in asked], 0) == 40
    whole = torch.tensor(label_log_likelihoods(adapted, asked, 200, share=False))
    shared = torch.tensor(label_log_likelihoods(adapted, asked, 200))
    torch.testing.assert_close(shared, whole, atol=1e-4, rtol=0)
    plain = torch.tensor(label_log_likelihoods(llama, asked, 200))
    assert float((plain - whole).abs().max()) > 0.1


def test_adapters_that_put_tokens_before_a_text_share_nothing() -> None:
    model = architectures.make_model("llama")
    tuned = get_peft_model(model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3))
    assert shared_prefix_length(tuned, few_shot(40, 6), 0) == 0


@pytest.mark.skipif(not packs_linear(), reason="the processor has no kernels for packed weights")
@pytest.mark.parametrize("own", [3, 40, 300])
@pytest.mark.parametrize("shared", [7, 255, 256, 600])
def test_a_packed_llama_shares_too(shared: int, own: int) -> None:
    torch.manual_seed(4)
    config = LlamaConfig(
        vocab_size=architectures.WORDS,
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=2048,
        initializer_range=0.3,
    )
    model = LlamaForCausalLM(config).eval()
    packed = pack_llama(model)
    assert packed is not None
    prompts = few_shot(shared, 4, own)
    prefix = packed.prefix_keys_values(prompts[0][:shared])
    found = packed.next_token_log_probabilities([prompt[shared:] for prompt in prompts], prefix)
    torch.testing.assert_close(found, packed.next_token_log_probabilities(prompts), atol=1e-4, rtol=1e-4)
    asked = [Scorable(prompt, LABELS["one token"]) for prompt in prompts]
    expected = torch.tensor(label_log_likelihoods(model, asked, 100, share=False))
    for batch_tokens in (1, 10_000):
        scores = torch.tensor(label_log_likelihoods(model, asked, batch_tokens, packed))
        torch.testing.assert_close(scores, expected, atol=1e-4, rtol=1e-4)


def test_few_shot_prompts_are_scored_at_least_twice_as_fast(tmp_path, request) -> None:
    """Of 800 shared tokens; ``benchmarks/prefix.py`` measures it in full.

    By the time of one thread on the processor: other work beside it does not count, nor do threads that wait for each
    other.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    request.addfinalizer(lambda: torch.set_num_threads(threads))
    llm = load_llm(LLMConfig(model=str(checkpoints.make_chat(tmp_path, window=2048, hidden=128)), dtype="float32"))
    prompts = few_shot(800, 8, own=40)
    texts: dict[bool, list[str]] = {}
    for packed in (llm.packed, None):
        for labels in LABELS.values():
            asked = [Scorable(prompt, labels) for prompt in prompts]
            taken: dict[bool, float] = {}
            scores: dict[bool, torch.Tensor] = {}
            for share in (True, False, True, False):
                start = time.process_time()
                scores[share] = torch.tensor(label_log_likelihoods(llm.model, asked, 4096, packed, share=share))
                taken[share] = min(taken.get(share, 1e9), time.process_time() - start)
            torch.testing.assert_close(scores[True], scores[False], atol=1e-4, rtol=0)
            assert scores[True].argmax(1).equal(scores[False].argmax(1))
            assert taken[False] > 2 * taken[True]
    for share in (True, False):
        texts[share] = generate_texts(
            llm.model, llm.tokenizer, prompts, max_new_tokens=4, batch_tokens=4096, share=share
        )
    assert texts[True] == texts[False]
