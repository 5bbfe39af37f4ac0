"""finetune/qlora/device.py: what is put in the place of what the device cannot do."""

import pytest
import torch

from chains.config import LLMConfig
from chains.models.local import load_llm, resolve_dtype
from common.errors import UserError
from finetune.config import QLoRAConfig
from finetune.qlora.device import fit_to_device, keep_differentiable

CPU = {"device_map": "cpu"}
TUTORIAL = QLoRAConfig(optimizer="paged_adamw_32bit")


def test_a_cpu_has_neither_fp16_nor_paged_optimisers() -> None:
    fitted = fit_to_device(LLMConfig(dtype="float16", quantization="4bit", **CPU), TUTORIAL)
    assert fitted.on_cpu
    assert fitted.config.optimizer == "adamw"
    assert fitted.compute == resolve_dtype(LLMConfig(**CPU)) != torch.float16
    assert [line.split(":")[0] for line in fitted.substitutions] == ["llm.dtype", "train.qlora.optimizer"]
    assert "paged_adamw_32bit" in fitted.substitutions[1]


def test_nothing_is_put_in_the_place_of_what_can_be_done() -> None:
    fitted = fit_to_device(LLMConfig(dtype="bfloat16", **CPU), QLoRAConfig())
    assert (fitted.compute, fitted.substitutions) == (torch.bfloat16, ())


def test_full_fine_tuning_has_32_bit_weights() -> None:
    fitted = fit_to_device(LLMConfig(dtype="bfloat16", **CPU), QLoRAConfig(method="full"))
    assert (fitted.llm.dtype, fitted.compute) == ("float32", torch.bfloat16)


@pytest.mark.parametrize(
    ("llm", "config", "message"),
    [
        ({"kind": "extractive"}, {}, "has no weights to train"),
        ({"adapter": "mine"}, {}, r"llm\.adapter is mine"),
        ({"quantization": "8bit"}, {}, "4bit"),
        ({"quantization": "4bit"}, {"method": "full"}, "cannot be trained"),
    ],
)
def test_contradictions(llm: dict, config: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        fit_to_device(LLMConfig(**llm, **CPU), QLoRAConfig(**config))


def test_nf4_stays_differentiable_after_a_measurement() -> None:
    def slope(measured: bool) -> torch.Tensor:
        model = load_llm(LLMConfig(quantization="4bit", dtype="float32", **CPU)).model
        keep_differentiable(model)
        ids = torch.arange(10, 26)[None]
        if measured:
            model.eval()
            with torch.inference_mode():
                model(input_ids=ids)
        model.train()
        vectors = model.get_input_embeddings()(ids).detach().requires_grad_()
        model(inputs_embeds=vectors).logits.square().mean().backward()
        assert vectors.grad is not None
        return vectors.grad

    assert torch.allclose(slope(measured=True), slope(measured=False))
