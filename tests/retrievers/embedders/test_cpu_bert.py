"""Packed encoder: outputs equal those of transformers' BERT encoder; only supported models are packed."""

from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel

from retrievers.embedders.cpu_bert import PackedEncoder, pack_encoder

# The tokens of each text of a batch.
with_lengths = pytest.mark.parametrize("lengths", [[9], [7, 7, 7], [9, 1, 4, 8, 4, 4, 9, 2], [3, 0, 5]], ids=str)


def make_bert(**changes: Any) -> BertModel:
    torch.manual_seed(4)
    settings = {"initializer_range": 0.2, "attn_implementation": "sdpa", **changes}
    config = BertConfig(
        vocab_size=50, hidden_size=48, num_hidden_layers=3, num_attention_heads=4, intermediate_size=96, **settings
    )
    return BertModel(config).to(torch.bfloat16).eval()


needs_bfloat16 = pytest.mark.skipif(
    not torch.cpu.get_capabilities().get("avx512_bf16"), reason="the processor has no AVX512-BF16"
)


def make_inputs(lengths: list[int]) -> dict[str, torch.Tensor]:
    longest = max(lengths)
    ids = torch.randint(0, 50, (len(lengths), longest))
    mask = (torch.arange(longest) < torch.tensor(lengths)[:, None]).long()
    return {"input_ids": ids, "attention_mask": mask}


@needs_bfloat16
@with_lengths
@pytest.mark.parametrize("group", [1, 8, 512])  # the value of GROUP_TOKENS
def test_bfloat16_outputs_are_as_near_to_float32_as_transformers_outputs(
    lengths: list[int], group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrievers.embedders.cpu_bert.GROUP_TOKENS", group)
    model = make_bert()
    packed = PackedEncoder(model.encoder, heads=4)
    inputs = make_inputs(lengths)
    with torch.inference_mode():
        exact = model.float()(**inputs).last_hidden_state
        expected = model.to(torch.bfloat16)(**inputs).last_hidden_state.float()
        model.encoder = packed
        output = model(**inputs).last_hidden_state.float()
    valid = inputs["attention_mask"].bool()
    assert torch.count_nonzero(output[~valid]) == 0
    packed_cosines = torch.nn.functional.cosine_similarity(output[valid], exact[valid], dim=-1)
    transformers_cosines = torch.nn.functional.cosine_similarity(expected[valid], exact[valid], dim=-1)
    assert packed_cosines.min() > 0.99
    assert packed_cosines.mean() > transformers_cosines.mean() - 0.001


@with_lengths
def test_float32_outputs_equal_outputs_of_transformers(lengths: list[int]) -> None:
    model = make_bert().float()
    inputs = make_inputs(lengths)
    with torch.inference_mode():
        expected = model(**inputs).last_hidden_state
        assert pack_encoder(model)
        output = model(**inputs).last_hidden_state
    valid = inputs["attention_mask"].bool()
    assert torch.count_nonzero(output[~valid]) == 0
    torch.testing.assert_close(output[valid], expected[valid], rtol=1e-4, atol=1e-5)


@needs_bfloat16
def test_bfloat16_is_packed_unless_the_cpu_has_amx() -> None:
    assert pack_encoder(make_bert()) is not torch.cpu.get_capabilities().get("amx_bf16")


def test_unsupported_models_are_not_packed() -> None:
    unsupported = [
        make_bert().double(),
        make_bert().half(),
        make_bert(hidden_act="gelu_new").float(),
        make_bert(is_decoder=True).float(),
        torch.nn.Linear(2, 2),
    ]
    for model in unsupported:
        assert not pack_encoder(model)
        assert not isinstance(getattr(model, "encoder", None), PackedEncoder)
