"""The packed Llama computes the scores of transformers' models; unsupported models are not packed."""

from typing import Any

import pytest
import torch
from architectures import make_model
from transformers import LlamaConfig, LlamaForCausalLM

from chains.config import LLMConfig
from chains.models.cpu_llama import pack_llama
from chains.models.local import load_llm
from chains.models.scoring import Scorable, label_log_likelihoods
from common.cpu import packs_linear

LENGTHS = [[9], [1], [7, 1, 30, 7], [300, 20, 513]]  # tokens of each prompt of a call

needs_kernels = pytest.mark.skipif(not packs_linear(), reason="the CPU has no kernels for packed weights")


def make_llama(**changes: Any) -> LlamaForCausalLM:
    torch.manual_seed(5)
    heads = {"num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 12}
    settings = {"initializer_range": 0.3, **heads, **changes}
    config = LlamaConfig(
        vocab_size=60,
        hidden_size=40,
        num_hidden_layers=3,
        intermediate_size=72,
        max_position_embeddings=1024,
        **settings,
    )
    return randomize(LlamaForCausalLM(config).eval())


def randomize(model: Any) -> Any:
    """Random norms and biases, which are initialised to 1 and 0."""
    for name, parameter in model.named_parameters():
        if "norm" in name:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
        elif name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def make_prompts(lengths: list[int]) -> list[Scorable]:
    torch.manual_seed(6)
    return [Scorable(torch.randint(0, 60, (length,)).tolist(), ((1,), (2,), (3,))) for length in lengths]


@needs_kernels
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_key_value_heads": 1},
        {"num_key_value_heads": 2, "tie_word_embeddings": True},
        {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0}},
        {"attention_bias": True, "mlp_bias": True},
    ],
    ids=["plain", "one key head", "two key heads", "scaled positions", "biases"],
)
def test_packed_llama_scores_equal_the_model_s(lengths: list[int], changes: dict[str, Any]) -> None:
    model = make_llama(**changes)
    packed = pack_llama(model)
    assert packed is not None
    prompts = make_prompts(lengths)
    for batch_tokens in (1, 100_000):  # single prompts, and one batch
        expected = torch.tensor(label_log_likelihoods(model, prompts, batch_tokens))
        scores = torch.tensor(label_log_likelihoods(model, prompts, batch_tokens, packed))
        torch.testing.assert_close(scores, expected, atol=1e-4, rtol=1e-4)


@needs_kernels
@pytest.mark.parametrize("name", ["mistral", "qwen 2", "qwen 3"])
@pytest.mark.parametrize("lengths", LENGTHS[:3], ids=str)
def test_packed_scores_of_similar_architectures_equal_the_model_s(name: str, lengths: list[int]) -> None:
    model = randomize(make_model(name))
    packed = pack_llama(model)
    assert packed is not None
    expected = torch.tensor(label_log_likelihoods(model, make_prompts(lengths), 100_000))
    scores = torch.tensor(label_log_likelihoods(model, make_prompts(lengths), 100_000, packed))
    torch.testing.assert_close(scores, expected, atol=1e-4, rtol=1e-4)


@needs_kernels
def test_packed_bfloat16_scores_are_about_as_exact_as_the_model_s() -> None:
    model = make_llama(initializer_range=0.1)
    prompts = make_prompts([40] * 64)
    exact = torch.tensor(label_log_likelihoods(model, prompts, 1000))
    bfloat16_model = model.to(torch.bfloat16)
    packed = pack_llama(bfloat16_model)
    if packed is None:
        pytest.skip("the CPU has no bfloat16 instructions")
    error = (torch.tensor(label_log_likelihoods(bfloat16_model, prompts, 1000)) - exact).abs().mean()
    packed_error = (torch.tensor(label_log_likelihoods(bfloat16_model, prompts, 1000, packed)) - exact).abs().mean()
    assert packed_error < 1.5 * error


@needs_kernels
def test_packed_scores_of_the_embedded_model_equal_the_model_s() -> None:
    llm = load_llm(LLMConfig(dtype="float32"))
    assert llm.packed is not None
    text = "<|begin|><|user|>Is it true that the patient has cough?<|end|><|assistant|>"
    labels = tuple(tuple(llm.tokenizer.encode(word, add_special_tokens=False)) for word in ("yes", "no", "maybe"))
    prompts = [Scorable(llm.tokenizer.encode(text, add_special_tokens=False), labels)]
    expected = torch.tensor(label_log_likelihoods(llm.model, prompts, 1000))
    torch.testing.assert_close(torch.tensor(label_log_likelihoods(llm.model, prompts, 1000, llm.packed)), expected)


def test_unsupported_models_are_not_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    unsupported: list[Any] = [
        make_model("mistral, sliding"),
        make_model("gemma"),
        make_model("qwen 2, experts"),
        make_llama().half(),
        make_llama(hidden_act="gelu"),
        make_llama(rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 500.0}),
        make_llama().to("meta"),
        torch.nn.Linear(2, 2),
    ]
    assert [pack_llama(model) for model in unsupported] == [None] * len(unsupported)
    monkeypatch.setattr("chains.models.cpu_llama.MAX_BYTES", 1000)
    assert pack_llama(make_llama()) is None
