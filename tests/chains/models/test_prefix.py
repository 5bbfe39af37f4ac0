import time

import architectures
import checkpoints
import pytest
import torch
from generated import forward_sizes, generate_texts
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from chains.config import LLMConfig
from chains.models.cpu_llama import pack_llama
from chains.models.local import load_llm
from chains.models.prefix import SharedPrefix, shared_prefix_length
from chains.models.scoring import Scorable, label_log_likelihoods
from common.cpu import packs_linear

LABELS = {"one token": ((5,), (6,), (7,)), "several tokens": ((5, 6, 9), (5,), (6, 7))}


def draw_ids(length: int, seed: int = 1) -> list[int]:
    return torch.randint(
        3, architectures.VOCABULARY_SIZE, (length,), generator=torch.Generator().manual_seed(seed)
    ).tolist()


def make_few_shot_prompts(shared: int, count: int, suffix: int = 20) -> list[list[int]]:
    """``count`` prompts of ``shared`` equal tokens, followed by ``suffix`` to twice as many other tokens."""
    return [[*draw_ids(shared), 3 + i, *draw_ids(suffix - 1 + i * suffix // count, seed=i)] for i in range(count)]


@pytest.fixture(scope="module")
def llama() -> PreTrainedModel:
    return architectures.make_model("llama")


def test_the_longest_common_prefix_without_the_last_token_of_a_prompt_is_shared(llama: PreTrainedModel) -> None:
    assert shared_prefix_length(llama, make_few_shot_prompts(30, 4), 0) == 30
    assert shared_prefix_length(llama, make_few_shot_prompts(30, 1), 0) == 0
    assert shared_prefix_length(llama, make_few_shot_prompts(0, 4), 0) == 0
    assert shared_prefix_length(llama, [draw_ids(30)] * 3, 0) == 29
    assert shared_prefix_length(llama, [draw_ids(30), draw_ids(30)[:12], draw_ids(30)], 0) == 11
    assert shared_prefix_length(llama, [[7], [7], [7]], 0) == 0


def test_a_prefix_is_shared_if_it_saves_a_tenth_of_the_tokens(llama: PreTrainedModel) -> None:
    assert shared_prefix_length(llama, make_few_shot_prompts(12, 20, suffix=100), 0) == 0
    assert shared_prefix_length(llama, make_few_shot_prompts(25, 20, suffix=100), 0) == 25
    assert shared_prefix_length(llama, make_few_shot_prompts(25, 2, suffix=100), 0) == 0  # saves 25 of about 300 tokens


def test_a_shared_prefix_is_computed_once(llama: PreTrainedModel) -> None:
    token_lists = make_few_shot_prompts(100, 8)
    suffixes = sum(map(len, token_lists)) - 8 * 100
    for labels in LABELS.values():
        prompts = [Scorable(ids, labels) for ids in token_lists]
        with forward_sizes(llama) as sizes:
            label_log_likelihoods(llama, prompts, 100)
        assert sizes[0] == 100
        # Padding at most doubles the suffixes, and the labels of a prompt have at most 5 tokens in all.
        assert suffixes <= sum(sizes[1:]) < 2 * suffixes + 8 * 5
        with forward_sizes(llama) as sizes:
            label_log_likelihoods(llama, prompts, 100, share=False)
        assert sum(sizes) >= sum(map(len, token_lists))


def test_an_eighth_of_the_prefix_counts_for_each_prompt_in_the_token_budget(llama: PreTrainedModel) -> None:
    prompts = [Scorable(ids, LABELS["one token"]) for ids in make_few_shot_prompts(80, 12, suffix=10)]
    with forward_sizes(llama) as sizes:
        label_log_likelihoods(llama, prompts, 60)
    longest = max(len(prompt.ids) for prompt in prompts) - 80
    assert max(sizes[1:]) == 60 // (longest + 80 // 8) * longest


def test_texts_continue_from_the_prefix_without_changing_it(llama: PreTrainedModel) -> None:
    prefix, suffix = draw_ids(30), draw_ids(9, seed=2)
    shared = SharedPrefix(llama, prefix)
    assert len(shared) == 30
    with torch.inference_mode():
        expected = llama(torch.tensor([[*prefix, *suffix]])).logits[:, -9:]
        for _ in range(2):
            extended = shared.cache(extend=True)
            first = llama(torch.tensor([suffix[:4]]), past_key_values=extended).logits
            assert extended.get_seq_length() == 34
            rest = llama(torch.tensor([suffix[4:]]), past_key_values=extended).logits
            torch.testing.assert_close(torch.cat([first, rest], 1), expected, atol=1e-4, rtol=0)
            fixed = shared.cache(extend=False)
            llama(torch.tensor([suffix]), past_key_values=fixed)
            assert fixed.get_seq_length() == 30


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_a_shared_prefix_includes_an_attached_lora(llama: PreTrainedModel, labels: tuple[tuple[int, ...], ...]) -> None:
    torch.manual_seed(3)
    model = architectures.make_model("llama")
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)).eval()
    prompts = [Scorable(ids, labels) for ids in make_few_shot_prompts(40, 6)]
    assert shared_prefix_length(adapted, [prompt.ids for prompt in prompts], 0) == 40
    unshared = torch.tensor(label_log_likelihoods(adapted, prompts, 200, share=False))
    shared = torch.tensor(label_log_likelihoods(adapted, prompts, 200))
    torch.testing.assert_close(shared, unshared, atol=1e-4, rtol=0)
    without_adapter = torch.tensor(label_log_likelihoods(llama, prompts, 200))
    assert float((without_adapter - unshared).abs().max()) > 0.1


def test_with_prompt_tuning_no_prefix_is_shared() -> None:
    model = architectures.make_model("llama")
    tuned = get_peft_model(model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3))
    assert shared_prefix_length(tuned, make_few_shot_prompts(40, 6), 0) == 0


@pytest.mark.skipif(not packs_linear(), reason="the CPU has no kernels for packed weights")
# Suffixes have ``suffix`` to twice as many tokens; the packed model computes attention for 128 of them at a time.
@pytest.mark.parametrize("suffix", [3, 40, 300])
@pytest.mark.parametrize("shared", [7, 255, 256, 600])
def test_a_packed_llama_scores_the_same_with_a_shared_prefix(shared: int, suffix: int) -> None:
    torch.manual_seed(4)
    config = LlamaConfig(
        vocab_size=architectures.VOCABULARY_SIZE,
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
    token_lists = make_few_shot_prompts(shared, 4, suffix)
    prefix = packed.prefix_keys_values(token_lists[0][:shared])
    after_prefix = packed.next_token_log_probabilities([ids[shared:] for ids in token_lists], prefix)
    expected = packed.next_token_log_probabilities(token_lists)
    torch.testing.assert_close(after_prefix, expected, atol=1e-4, rtol=1e-4)
    prompts = [Scorable(ids, LABELS["one token"]) for ids in token_lists]
    expected = torch.tensor(label_log_likelihoods(model, prompts, 100, share=False))
    for batch_tokens in (1, 10_000):  # single prompts, and one batch
        scores = torch.tensor(label_log_likelihoods(model, prompts, batch_tokens, packed))
        torch.testing.assert_close(scores, expected, atol=1e-4, rtol=1e-4)


def test_few_shot_prompts_are_scored_at_least_twice_as_fast(tmp_path, request) -> None:
    """Prompts share 800 tokens; ``benchmarks/prefix.py`` measures more cases.

    The CPU time of one thread is compared, which other processes affect little.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    request.addfinalizer(lambda: torch.set_num_threads(threads))
    llm = load_llm(LLMConfig(model=str(checkpoints.make_chat(tmp_path, window=2048, hidden=128)), dtype="float32"))
    token_lists = make_few_shot_prompts(800, 8, suffix=40)
    for packed in (llm.packed, None):
        for labels in LABELS.values():
            prompts = [Scorable(ids, labels) for ids in token_lists]
            seconds: dict[bool, float] = {}  # the fastest of two runs, by ``share``
            scores: dict[bool, torch.Tensor] = {}
            for share in (True, False, True, False):
                start = time.process_time()
                scores[share] = torch.tensor(label_log_likelihoods(llm.model, prompts, 4096, packed, share=share))
                seconds[share] = min(seconds.get(share, 1e9), time.process_time() - start)
            torch.testing.assert_close(scores[True], scores[False], atol=1e-4, rtol=0)
            assert scores[True].argmax(1).equal(scores[False].argmax(1))
            assert seconds[False] > 2 * seconds[True]
    options = {"max_new_tokens": 4, "batch_tokens": 4096}
    shared, unshared = (
        generate_texts(llm.model, llm.tokenizer, token_lists, **options, share=share) for share in (True, False)
    )
    assert shared == unshared
