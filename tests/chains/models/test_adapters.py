import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoints
import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from chains.config import LLMConfig
from chains.models.local import load_llm
from common.errors import UserError


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return checkpoints.make_chat(tmp_path_factory.mktemp("base"))


def load_error(base: Path, adapter: Path) -> str:
    """The message of the error when ``adapter`` is loaded."""
    with pytest.raises(UserError) as caught:
        load_llm(LLMConfig(model=str(base), dtype="float32", adapter=str(adapter)))
    return str(caught.value)


def make_wide(folder: Path) -> Path:
    return checkpoints.make_chat(folder, hidden=128)


def make_deep(folder: Path) -> Path:
    config = LlamaConfig.from_pretrained(checkpoints.make_chat(folder))
    config.num_hidden_layers = 3
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("make_other", [make_wide, make_deep, checkpoints.make_gpt2])
def test_an_adapter_of_another_model_does_not_fit(
    base: Path, tmp_path: Path, make_other: Callable[[Path], Path]
) -> None:
    other = make_other(tmp_path / "other")
    adapter = checkpoints.make_adapter(other, tmp_path / "adapter")
    assert f"does not fit the model {base}: it was made for {other}" in load_error(base, adapter)


def test_adapter_bases_are_compared_only_if_they_are_hub_ids(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = checkpoints.make_adapter(base, tmp_path / "adapter", base_name="someone/else")
    assert load_llm(LLMConfig(model=str(base), adapter=str(adapter))).name == str(base)
    monkeypatch.setattr("chains.models.adapters.is_hub_id", lambda name: True)
    assert "it was made for someone/else" in load_error(base, adapter)


def test_a_folder_without_adapter_is_refused(base: Path, tmp_path: Path) -> None:
    assert "adapter_config.json" in load_error(base, tmp_path)
    assert "no such folder" in load_error(base, tmp_path / "absent")


def test_an_adapter_without_weights_is_refused(base: Path, tmp_path: Path) -> None:
    adapter = checkpoints.make_adapter(base, tmp_path / "adapter")
    (adapter / "adapter_model.safetensors").unlink()
    assert f"{adapter}: the folder has no adapter_model.safetensors" in load_error(base, adapter)


def make_lora(base: Path, folder: Path, **settings: Any) -> Path:
    """A LoRA adapter with random values in all trained weights."""
    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    adapted = get_peft_model(model, LoraConfig(r=4, task_type="CAUSAL_LM", **settings))
    for weight in adapted.parameters():
        if weight.requires_grad:
            torch.nn.init.normal_(weight, std=0.2)
    adapted.save_pretrained(folder, save_embedding_layers=False)
    return folder


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["lm_head", "q_proj"]},
        {"target_modules": ["embed_tokens", "q_proj"]},
        {"target_modules": ["q_proj"], "trainable_token_indices": [5, 6]},
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
        {"target_modules": "all-linear", "use_dora": True},
    ],
    ids=["lm_head", "embed_tokens", "trained tokens", "saved lm_head", "dora"],
)
def test_merging_into_tied_embeddings_keeps_the_logits(base: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    adapter = make_lora(base, tmp_path / "adapter", **settings)
    ids = torch.arange(3, 20)[None]
    logits = {}
    for merged in (False, True):
        llm = load_llm(LLMConfig(model=str(base), dtype="float32", adapter=str(adapter), merge_adapter=merged))
        with torch.no_grad():
            logits[merged] = llm.model(ids).logits
    torch.testing.assert_close(logits[True], logits[False], atol=1e-4, rtol=1e-4)
    llm.model.save_pretrained(tmp_path / "saved")
    with torch.no_grad():
        reloaded = AutoModelForCausalLM.from_pretrained(tmp_path / "saved", dtype=torch.float32)(ids).logits
    torch.testing.assert_close(reloaded, logits[False], atol=1e-4, rtol=1e-4)


def test_merging_warns_of_nothing(base: Path, tmp_path: Path) -> None:
    adapter = make_lora(base, tmp_path / "adapter", target_modules=["lm_head"])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        load_llm(LLMConfig(model=str(base), dtype="float32", adapter=str(adapter), merge_adapter=True))


def test_prompt_tuning_cannot_be_merged(base: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(base)
    adapted = get_peft_model(model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4))
    adapted.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    with pytest.raises(UserError, match="PROMPT_TUNING, which changes no weights, so it cannot be merged"):
        load_llm(LLMConfig(model=str(base), dtype="float32", adapter=str(tmp_path / "adapter"), merge_adapter=True))


def test_an_adapter_with_nan_weights_is_not_merged(base: Path, tmp_path: Path) -> None:
    adapter = checkpoints.make_adapter(base, tmp_path / "adapter")
    path = adapter / "adapter_model.safetensors"
    save_file({name: torch.full_like(weight, float("nan")) for name, weight in load_file(path).items()}, path)
    with pytest.raises(UserError, match="cannot be merged: NaNs"):
        load_llm(LLMConfig(model=str(base), dtype="float32", adapter=str(adapter), merge_adapter=True))
