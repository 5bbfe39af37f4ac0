import json
from pathlib import Path

import checkpoints
import pytest

from chains.config import LLMConfig
from chains.llm import load_llm
from corpus.errors import UserError


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
    monkeypatch.setattr("chains.adapters._is_hub_id", lambda name: True)
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
