"""The packed encoder computes what BERT's own does, and stands in only where it should."""

from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel

from retrievers.embedders.cpu_bert import PackedEncoder, pack_encoder


def bert(**changes: Any) -> BertModel:
    torch.manual_seed(4)
    settings = {"initializer_range": 0.2, "attn_implementation": "sdpa", **changes}
    config = BertConfig(
        vocab_size=50, hidden_size=48, num_hidden_layers=3, num_attention_heads=4, intermediate_size=96, **settings
    )
    return BertModel(config).to(torch.bfloat16).eval()


needs_bfloat16 = pytest.mark.skipif(
    not torch.cpu.get_capabilities().get("avx512_bf16"), reason="the processor has no AVX512-BF16"
)


@needs_bfloat16
@pytest.mark.parametrize("lengths", [[9], [7, 7, 7], [9, 1, 4, 8, 4, 4, 9, 2], [3, 0, 5]], ids=str)
@pytest.mark.parametrize("group", [1, 8, 512])
def test_it_computes_what_bert_does(lengths: list[int], group: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrievers.embedders.cpu_bert.GROUP_TOKENS", group)
    model = bert()
    packed = PackedEncoder(model.encoder, heads=4)
    longest = max(lengths)
    ids = torch.randint(0, 50, (len(lengths), longest))
    mask = (torch.arange(longest) < torch.tensor(lengths)[:, None]).long()
    with torch.inference_mode():
        exact = model.float()(input_ids=ids, attention_mask=mask).last_hidden_state
        model.to(torch.bfloat16)
        plain = model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        model.encoder = packed
        found = model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
    real = mask.bool()
    assert torch.count_nonzero(found[~real]) == 0
    near = torch.nn.functional.cosine_similarity(found[real], exact[real], dim=-1)
    own = torch.nn.functional.cosine_similarity(plain[real], exact[real], dim=-1)
    assert near.min() > 0.99
    assert near.mean() > own.mean() - 0.001  # no further from float32 than torch's own bfloat16


@pytest.mark.parametrize("lengths", [[9], [7, 7, 7], [9, 1, 4, 8, 4, 4, 9, 2], [3, 0, 5]], ids=str)
def test_in_float32_it_computes_the_same(lengths: list[int]) -> None:
    model = bert().float()
    longest = max(lengths)
    ids = torch.randint(0, 50, (len(lengths), longest))
    mask = (torch.arange(longest) < torch.tensor(lengths)[:, None]).long()
    with torch.inference_mode():
        plain = model(input_ids=ids, attention_mask=mask).last_hidden_state
        assert pack_encoder(model)
        found = model(input_ids=ids, attention_mask=mask).last_hidden_state
    real = mask.bool()
    assert torch.count_nonzero(found[~real]) == 0
    torch.testing.assert_close(found[real], plain[real], rtol=1e-4, atol=1e-5)


@needs_bfloat16
def test_bert_in_bfloat16_is_packed() -> None:
    model = bert()
    assert pack_encoder(model) is not torch.cpu.get_capabilities().get("amx_bf16")


def test_all_else_stays_as_it_is() -> None:
    others = [
        bert().double(),
        bert().half(),
        bert(hidden_act="gelu_new").float(),
        bert(is_decoder=True).float(),
        torch.nn.Linear(2, 2),
    ]
    for model in others:
        assert not pack_encoder(model)
        assert not isinstance(getattr(model, "encoder", None), PackedEncoder)
