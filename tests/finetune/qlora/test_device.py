"""finetune/qlora/device.py: settings that the device does not support are replaced."""

import pytest
import torch

from chains.config import LLMConfig
from chains.models.local import load_llm, resolve_dtype
from common.errors import UserError
from finetune.config import QLoRAConfig
from finetune.qlora.device import fit_to_device, keep_differentiable

CPU = {"device_map": "cpu"}


def test_on_a_cpu_fp16_and_the_paged_optimizer_are_replaced() -> None:
    config = QLoRAConfig(optimizer="paged_adamw_32bit")
    fitted = fit_to_device(LLMConfig(dtype="float16", quantization="4bit", **CPU), config)
    assert fitted.device.on_cpu
    assert fitted.config.optimizer == "adamw"
    assert fitted.device.dtype == resolve_dtype(LLMConfig(**CPU)) != torch.float16
    assert [text.split(" is ")[0] for text in fitted.substitutions] == ["llm.dtype", "train.qlora.optimizer"]
    assert "paged_adamw_32bit" in fitted.substitutions[1]


def test_supported_settings_are_not_replaced() -> None:
    fitted = fit_to_device(LLMConfig(dtype="bfloat16", **CPU), QLoRAConfig())
    assert (fitted.device.dtype, fitted.substitutions) == (torch.bfloat16, ())


def test_full_fine_tuning_loads_32_bit_weights_and_computes_in_the_set_dtype() -> None:
    fitted = fit_to_device(LLMConfig(dtype="bfloat16", **CPU), QLoRAConfig(method="full"))
    assert (fitted.llm.dtype, fitted.device.dtype) == ("float32", torch.bfloat16)


@pytest.mark.parametrize(
    ("llm", "config", "message"),
    [
        ({"kind": "extractive"}, {}, "has no weights to train"),
        ({"adapter": "adapters/nli"}, {}, r"llm\.adapter is adapters/nli"),
        ({"quantization": "8bit"}, {}, "4bit"),
        ({"quantization": "4bit"}, {"method": "full"}, "cannot be trained"),
    ],
    ids=["extractive", "adapter", "8 bits", "full fine-tuning in 4 bits"],
)
def test_contradictory_settings_are_refused(llm: dict, config: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        fit_to_device(LLMConfig(**llm, **CPU), QLoRAConfig(**config))


def test_nf4_weights_have_the_same_gradient_after_an_evaluation() -> None:
    def embedding_gradient(*, evaluate_first: bool) -> torch.Tensor:
        model = load_llm(LLMConfig(quantization="4bit", dtype="float32", **CPU)).model
        keep_differentiable(model)
        ids = torch.arange(10, 26)[None]
        if evaluate_first:
            model.eval()
            with torch.inference_mode():
                model(input_ids=ids)
        model.train()
        vectors = model.get_input_embeddings()(ids).detach().requires_grad_()
        model(inputs_embeds=vectors).logits.square().mean().backward()
        assert vectors.grad is not None
        return vectors.grad

    assert torch.allclose(embedding_gradient(evaluate_first=True), embedding_gradient(evaluate_first=False))
