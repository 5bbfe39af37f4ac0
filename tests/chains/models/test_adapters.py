import json
import warnings
from pathlib import Path
from typing import Any

import checkpoints
import pytest

from chains.config import LLMConfig
from chains.models.local import load_llm
from common.errors import UserError


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return checkpoints.make_chat(tmp_path_factory.mktemp("base"))


def refusal(base: Path, adapter: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_llm(LLMConfig(model=str(base), dtype="float32", adapter=str(adapter)))
    return str(caught.value)


def test_an_adapter_for_another_size(base: Path, tmp_path: Path) -> None:
    other = checkpoints.make_chat(tmp_path / "wide", hidden=128)
    adapter = checkpoints.make_adapter(other, tmp_path / "adapter")
    assert f"does not fit the model {base}: it was made for {other}" in refusal(base, adapter)


def test_an_adapter_for_another_architecture(base: Path, tmp_path: Path) -> None:
    adapter = checkpoints.make_adapter(checkpoints.make_gpt2(tmp_path / "gpt2"), tmp_path / "adapter")
    assert "does not fit" in refusal(base, adapter)


def test_an_adapter_for_more_layers(base: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, LlamaForCausalLM

    config = AutoModelForCausalLM.from_pretrained(base).config
    config.num_hidden_layers = 3
    LlamaForCausalLM(config).save_pretrained(tmp_path / "deep")
    adapter = checkpoints.make_adapter(tmp_path / "deep", tmp_path / "adapter")
    assert "does not fit" in refusal(base, adapter)


def test_two_hub_ids_are_two_models(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = checkpoints.make_adapter(base, tmp_path / "adapter", base_name="someone/else")
    assert load_llm(LLMConfig(model=str(base), adapter=str(adapter))).name == str(base)
    monkeypatch.setattr("chains.models.adapters._is_hub_id", lambda name: True)
    assert "it was made for someone/else" in refusal(base, adapter)


def test_a_folder_without_an_adapter(base: Path, tmp_path: Path) -> None:
    assert "adapter_config.json" in refusal(base, tmp_path)
    assert "no such folder" in refusal(base, tmp_path / "absent")


def test_an_adapter_without_weights(base: Path, tmp_path: Path) -> None:
    adapter = checkpoints.make_adapter(base, tmp_path / "adapter")
    (adapter / "adapter_model.safetensors").unlink()
    assert str(adapter) in refusal(base, adapter)


def test_an_adapter_with_broken_settings(base: Path, tmp_path: Path) -> None:
    adapter = checkpoints.make_adapter(base, tmp_path / "adapter")
    settings = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**settings, "peft_type": "NOTHING"}))
    assert str(adapter) in refusal(base, adapter)


def make(base: Path, folder: Path, **settings: Any) -> Path:
    """An adapter whose every trained weight is random."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

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
    ids=["lm_head", "embed_tokens", "tokens", "saved lm_head", "dora"],
)
def test_merging_is_exact_where_embeddings_share_weights(base: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    adapter = make(base, tmp_path / "adapter", **settings)
    ids = torch.arange(3, 20)[None]
    found = {}
    for merged in (False, True):
        llm = load_llm(LLMConfig(model=str(base), dtype="float32", adapter=str(adapter), merge_adapter=merged))
        with torch.no_grad():
            found[merged] = llm.model(ids).logits
    torch.testing.assert_close(found[True], found[False], atol=1e-4, rtol=1e-4)
    llm.model.save_pretrained(tmp_path / "saved")
    with torch.no_grad():
        reloaded = AutoModelForCausalLM.from_pretrained(tmp_path / "saved", dtype=torch.float32)(ids).logits
    torch.testing.assert_close(reloaded, found[False], atol=1e-4, rtol=1e-4)


def test_merging_is_quiet(base: Path, tmp_path: Path) -> None:
    adapter = make(base, tmp_path / "adapter", target_modules=["lm_head"])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        load_llm(LLMConfig(model=str(base), dtype="float32", adapter=str(adapter), merge_adapter=True))


def test_learned_prompts_cannot_be_merged(base: Path, tmp_path: Path) -> None:
    from peft import PromptTuningConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    adapted = get_peft_model(model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4))
    adapted.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    with pytest.raises(UserError, match="PROMPT_TUNING, which changes no weights, so it cannot be merged"):
        load_llm(LLMConfig(model=str(base), dtype="float32", adapter=str(tmp_path / "adapter"), merge_adapter=True))


def test_an_adapter_with_broken_weights_is_not_merged(base: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    adapter = checkpoints.make_adapter(base, tmp_path / "adapter")
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file(
        {name: torch.full_like(w, float("nan")) for name, w in weights.items()}, adapter / "adapter_model.safetensors"
    )
    with pytest.raises(UserError, match="cannot be merged: NaNs"):
        load_llm(LLMConfig(model=str(base), dtype="float32", adapter=str(adapter), merge_adapter=True))
