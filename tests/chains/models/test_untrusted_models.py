"""Model folders with code, pickles, NaN weights or unusual tokenizers, and adapters with a tokenizer."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoints
import pytest
import torch
from classifiers import make_classifier
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from chains.config import LLMConfig
from chains.encoder.sequence import load_sequence_classifier
from chains.models.local import LocalLLM, load_llm
from common.errors import UserError
from finetune.config import EmbedderTrainConfig, EncoderConfig
from finetune.embedder.model import load_base as load_embedder
from finetune.encoder.model import load_base as load_encoder

USER = [{"role": "user", "content": "Is it so?"}]
NOTE_TEMPLATE = checkpoints.CHAT_TEMPLATE.replace("<|begin|>", "<|begin|><|note|>")


def load(folder: Path, **settings: Any) -> LocalLLM:
    return load_llm(LLMConfig(model=str(folder), dtype="float32", device_map="cpu", **settings))


LOADERS: dict[str, Callable[[Path], object]] = {
    "model": load,
    "classifier": lambda folder: load_sequence_classifier(str(folder), "float32", "cpu", 64),
    "encoder": lambda folder: load_encoder(EncoderConfig(model=str(folder), max_length=32), ("a", "b")),
    "embedder": lambda folder: load_embedder(EmbedderTrainConfig(model=str(folder), max_length=32)),
}


def make_folder(loader: str, folder: Path) -> Path:
    """A folder for one of ``LOADERS``."""
    return checkpoints.make_chat(folder) if loader == "model" else make_classifier(folder)


def add_code(folder: Path, names: list[str]) -> None:
    """Add code to a model's folder that creates the file ``ran`` when executed."""
    settings = json.loads((folder / "config.json").read_text())
    settings |= {"model_type": "custom", "auto_map": dict.fromkeys(names, "custom.Model")}
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "custom.py").write_text(
        f"from pathlib import Path\nPath({str(folder / 'ran')!r}).touch()\nModel = object\n"
    )


@pytest.mark.parametrize("loader", LOADERS)
def test_code_of_a_model_is_refused_without_a_prompt(
    loader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_folder(loader, tmp_path / "model")
    add_code(folder, ["AutoConfig", "AutoModel", "AutoModelForCausalLM", "AutoModelForSequenceClassification"])
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\ny\ny\n"))
    with pytest.raises(UserError, match="is never run here"):
        LOADERS[loader](folder)
    assert sys.stdin.read() == "y\ny\ny\n"
    assert capsys.readouterr().out == ""
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("loader", LOADERS)
def test_weights_in_a_pickle_are_refused(loader: str, tmp_path: Path) -> None:
    folder = make_folder(loader, tmp_path / "model")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"only in pytorch_model\.bin, a pickle"):
        LOADERS[loader](folder)


def test_an_adapter_in_a_pickle_is_refused(tmp_path: Path) -> None:
    base = checkpoints.make_chat(tmp_path / "base")
    adapter = checkpoints.make_adapter(base, tmp_path / "adapter")
    torch.save(load_file(adapter / "adapter_model.safetensors"), adapter / "adapter_model.bin")
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(UserError, match=r"only in adapter_model\.bin, a pickle"):
        load(base, adapter=str(adapter))


@pytest.mark.parametrize("loader", ["model", "classifier", "encoder"])
def test_a_tokenizer_with_more_tokens_than_embeddings_is_refused(loader: str, tmp_path: Path) -> None:
    folder = make_folder(loader, tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    size = len(tokenizer)
    tokenizer.add_tokens(["dyspnoea"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(UserError, match=rf"has {size + 1} tokens and the model embeddings for {size}: 'dyspnoea'"):
        LOADERS[loader](folder)


def test_an_unused_special_token_needs_no_embedding(tmp_path: Path) -> None:
    folder = checkpoints.make_chat(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["[NEW]"]})
    tokenizer.save_pretrained(folder)
    llm = load(folder)
    assert llm.clean("a [NEW] b") == "a       b"


def test_a_model_with_nan_weights_does_not_answer(tmp_path: Path) -> None:
    folder = checkpoints.make_chat(tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][:] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    llm = load(folder)
    for call in (
        lambda: llm.chat.invoke("Is it so?"),
        lambda: llm.chat.batch(["Is it so?", "Was it so?"]),
        lambda: list(llm.chat.stream("Is it so?")),
        lambda: list(llm.score(llm.prompts([USER]), ("yes", "no"))),
    ):
        with pytest.raises(UserError, match="no finite probabilities"):
            call()


def make_adapter(base: Path, folder: Path, tokenizer: Any, **settings: Any) -> Path:
    """An adapter with a tokenizer; ``expected.tensors`` has the adapted model's logits."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    config = LoraConfig(r=4, init_lora_weights=False, task_type="CAUSAL_LM", target_modules=["q_proj"], **settings)
    adapted = get_peft_model(model, config)
    adapted.peft_config["default"].base_model_name_or_path = str(base)
    adapted.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    save_file({"logits": compute_logits(adapted, len(tokenizer))}, folder / "expected.tensors")
    return folder


def compute_logits(model: Any, tokens: int) -> torch.Tensor:
    """The logits of a fixed text that ends with the last of ``tokens``."""
    with torch.inference_mode():
        return model(torch.tensor([[1, 7, 9, tokens - 1]])).logits


def test_the_chat_template_of_an_adapter_is_used(tmp_path: Path) -> None:
    base = checkpoints.make_chat(tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = checkpoints.CHAT_TEMPLATE.replace("<|begin|>", "<|begin|>Note: ")
    adapter = make_adapter(base, tmp_path / "adapter", tokenizer)
    expected = "<|begin|>Note: <|user|>Is it so?<|end|><|assistant|>"
    assert load(base, adapter=str(adapter)).prompts([USER])[0][0] == expected
    for path in adapter.glob("token*"):
        path.unlink()  # leaves chat_template.jinja
    assert load(base, adapter=str(adapter)).prompts([USER])[0][0] == expected


NEW_TOKEN = 400  # id of a token added to ``checkpoints.make_chat``'s tokenizer
# Adapter settings with which the embedding of the added token is saved with the adapter.
EMBEDDING_SETTINGS: dict[str, dict[str, Any]] = {
    "trained embeddings": {"modules_to_save": ["embed_tokens", "lm_head"]},
    "untrained embeddings": {},
    "trained new tokens": {"trainable_token_indices": [NEW_TOKEN]},
}


@pytest.mark.parametrize("spare", [0, 20], ids=["no spare embeddings", "spare embeddings"])
@pytest.mark.parametrize("settings", EMBEDDING_SETTINGS.values(), ids=EMBEDDING_SETTINGS)
def test_an_adapter_s_embeddings_and_tokenizer_are_used(tmp_path: Path, settings: dict[str, Any], spare: int) -> None:
    base = checkpoints.make_chat(tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(base)
    size = len(tokenizer)
    if spare:  # Qwen's models have spare embeddings, too
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        model.resize_token_embeddings(size + spare, mean_resizing=False)
        model.save_pretrained(base)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|note|>"]})
    tokenizer.chat_template = NOTE_TEMPLATE
    assert size == NEW_TOKEN
    adapter = make_adapter(base, tmp_path / "adapter", tokenizer, **settings)
    expected = load_file(adapter / "expected.tensors")["logits"]
    for merged in (False, True):
        llm = load(base, adapter=str(adapter), merge_adapter=merged)
        assert llm.prompts([USER])[0][1][1] == size
        assert llm.model.get_input_embeddings().weight.shape[0] == size + 1
        assert torch.allclose(compute_logits(llm.model, size + 1), expected, atol=1e-4)
        assert llm.chat.invoke("Is it so?") is not None


def test_an_adapter_with_more_embeddings_but_no_tokenizer_is_refused(tmp_path: Path) -> None:
    base = checkpoints.make_chat(tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(base)
    size = len(tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|note|>"]})
    adapter = make_adapter(base, tmp_path / "adapter", tokenizer, modules_to_save=["embed_tokens", "lm_head"])
    for path in adapter.glob("token*"):
        path.unlink()
    with pytest.raises(UserError, match=rf"has embeddings for {size + 1} tokens and the model .* for {size}"):
        load(base, adapter=str(adapter))


@pytest.mark.parametrize("change", [{"peft_type": "LATER"}, {"peft_type": None}, {"r": "x"}, None])
def test_invalid_adapter_settings_are_refused(tmp_path: Path, change: dict[str, Any] | None) -> None:
    base = checkpoints.make_chat(tmp_path / "base")
    adapter = checkpoints.make_adapter(base, tmp_path / "adapter")
    file = adapter / "adapter_config.json"
    settings = json.loads(file.read_text())
    file.write_text("{" if change is None else json.dumps({**settings, **change}))
    with pytest.raises(UserError, match=r"adapter_config\.json cannot be used|does not fit"):
        load(base, adapter=str(adapter))


def test_unknown_adapter_settings_are_ignored(tmp_path: Path) -> None:
    base = checkpoints.make_chat(tmp_path / "base")
    adapter = checkpoints.make_adapter(base, tmp_path / "adapter")
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "a_later_setting": True}))
    assert load(base, adapter=str(adapter)).model.peft_config


def test_chat_templates_in_json_files_are_used(tmp_path: Path) -> None:
    base = checkpoints.make_chat(tmp_path)
    expected = load(base).prompts([USER])
    (base / "chat_template.jinja").unlink()
    processor_file = base / "chat_template.json"  # multimodal models have their template in this file
    processor_file.write_text(json.dumps({"chat_template": checkpoints.CHAT_TEMPLATE}))
    assert load(base).prompts([USER]) == expected
    processor_file.unlink()
    file = base / "tokenizer_config.json"
    named = [{"name": "tool_use", "template": checkpoints.CHAT_TEMPLATE}]
    file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": named}))
    assert load(base).prompts([USER]) == expected


def test_an_adapter_with_another_vocabulary_is_refused(tmp_path: Path) -> None:
    base = checkpoints.make_chat(tmp_path / "base")
    other = AutoTokenizer.from_pretrained(checkpoints.make_llama2(tmp_path / "other"))
    adapter = checkpoints.make_adapter(base, tmp_path / "adapter")
    other.save_pretrained(adapter)
    with pytest.raises(UserError, match="has a tokenizer that does not fit the model"):
        load(base, adapter=str(adapter))


def test_the_fingerprint_ignores_the_folder_s_name_and_dropout_but_not_alpha(tmp_path: Path) -> None:
    base = checkpoints.make_chat(tmp_path / "base")
    adapter = checkpoints.make_adapter(base, tmp_path / "adapter")
    before = load(base, adapter=str(adapter)).fingerprint
    moved = checkpoints.make_chat(tmp_path / "moved")
    assert load(moved, adapter=str(adapter)).fingerprint == before
    settings = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**settings, "lora_dropout": 0.5}))
    assert load(base, adapter=str(adapter)).fingerprint == before
    (adapter / "adapter_config.json").write_text(json.dumps({**settings, "lora_alpha": 2 * settings["lora_alpha"]}))
    assert load(base, adapter=str(adapter)).fingerprint != before


def test_the_fingerprint_ignores_sampling_but_not_end_tokens(tmp_path: Path) -> None:
    base = checkpoints.make_chat(tmp_path / "base")
    generation = json.loads((base / "generation_config.json").read_text())
    before = load(base).fingerprint
    (base / "generation_config.json").write_text(json.dumps({**generation, "temperature": 0.3, "do_sample": True}))
    assert load(base).fingerprint == before
    (base / "generation_config.json").write_text(json.dumps({**generation, "eos_token_id": [2, 7]}))
    assert load(base).fingerprint != before
