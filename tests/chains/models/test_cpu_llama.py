"""The packed Llama computes what transformers' own does, and stands in only where it should."""

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

LENGTHS = [[9], [1], [7, 1, 30, 7], [300, 20, 513]]

needs_kernels = pytest.mark.skipif(not packs_linear(), reason="the processor has no kernels for packed weights")


def llama(**changes: Any) -> LlamaForCausalLM:
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
    model = LlamaForCausalLM(config).eval()
    return vary(model)


def vary(model: Any) -> Any:
    """Norms and biases as training leaves them: neither ones nor noughts."""
    for name, parameter in model.named_parameters():
        if "norm" in name:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
        elif name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def prompts(lengths: list[int]) -> list[Scorable]:
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
    ids=["llama", "one key head", "two key heads", "scaled positions", "biases"],
)
def test_it_computes_what_llama_does(lengths: list[int], changes: dict[str, Any]) -> None:
    model = llama(**changes)
    packed = pack_llama(model)
    assert packed is not None
    for batch_tokens in (1, 100_000):
        expected = torch.tensor(label_log_likelihoods(model, prompts(lengths), batch_tokens))
        found = torch.tensor(label_log_likelihoods(model, prompts(lengths), batch_tokens, packed))
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@needs_kernels
@pytest.mark.parametrize("name", ["mistral", "qwen 2", "qwen 3"])
@pytest.mark.parametrize("lengths", LENGTHS[:3], ids=str)
def test_it_computes_what_models_built_alike_do(name: str, lengths: list[int]) -> None:
    model = vary(make_model(name))
    packed = pack_llama(model)
    assert packed is not None
    expected = torch.tensor(label_log_likelihoods(model, prompts(lengths), 100_000))
    found = torch.tensor(label_log_likelihoods(model, prompts(lengths), 100_000, packed))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@needs_kernels
def test_bfloat16_is_no_further_from_float32_than_llama_s_own() -> None:
    model = llama(initializer_range=0.1)
    asked = prompts([40] * 64)
    exact = torch.tensor(label_log_likelihoods(model, asked, 1000))
    half = model.to(torch.bfloat16)
    packed = pack_llama(half)
    if packed is None:
        pytest.skip("the processor does not compute in bfloat16")
    own = (torch.tensor(label_log_likelihoods(half, asked, 1000)) - exact).abs().mean()
    ours = (torch.tensor(label_log_likelihoods(half, asked, 1000, packed)) - exact).abs().mean()
    assert ours < 1.5 * own


@needs_kernels
def test_the_embedded_model_is_packed_and_scores_the_same() -> None:
    llm = load_llm(LLMConfig(dtype="float32"))
    assert llm.packed is not None
    text = "<|begin|><|user|>Is it true that the patient has cough?<|end|><|assistant|>"
    labels = tuple(tuple(llm.tokenizer.encode(word, add_special_tokens=False)) for word in ("yes", "no", "maybe"))
    asked = [Scorable(llm.tokenizer.encode(text, add_special_tokens=False), labels)]
    own = torch.tensor(label_log_likelihoods(llm.model, asked, 1000))
    torch.testing.assert_close(torch.tensor(label_log_likelihoods(llm.model, asked, 1000, llm.packed)), own)


def test_all_else_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    others: list[Any] = [
        make_model("mistral, sliding"),
        make_model("gemma"),
        make_model("qwen 2, experts"),
        llama().half(),
        llama(hidden_act="gelu"),
        llama(rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 500.0}),
        llama().to("meta"),
        torch.nn.Linear(2, 2),
    ]
    for model in others:
        assert pack_llama(model) is None
    monkeypatch.setattr("chains.models.cpu_llama.MAX_BYTES", 1000)
    assert pack_llama(llama()) is None
