"""Errors for model folders with missing, damaged or mismatched files, and for other kinds of models."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from checkpoints import make_adapter, make_chat, make_tokenizer
from classifiers import make_classifier, make_wordpiece
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    LlamaConfig,
    LlamaForSequenceClassification,
)

from chains.config import LLMConfig, NLIConfig
from chains.encoder.classifier import load_classifier
from chains.models.local import LocalLLM, load_llm
from common.errors import UserError

WEIGHT = "model.layers.1.mlp.up_proj.weight"
BIAS = "model.layers.1.mlp.up_proj.bias"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_chat(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture
def folder(base: Path, tmp_path: Path) -> Path:
    """A copy of ``base`` that a test may change."""
    return shutil.copytree(base, tmp_path / "model")


def load(folder: Path | str, **settings: str) -> LocalLLM:
    return load_llm(
        LLMConfig.model_validate({"model": str(folder), "device_map": "cpu", "dtype": "float32", **settings})
    )


def load_error(folder: Path, **settings: str) -> str:
    """The message of the error when the model is loaded."""
    with pytest.raises(UserError) as caught:
        load(folder, **settings)
    return str(caught.value)


def change_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_weights(path: Path, **changes: torch.Tensor) -> None:
    save_file({**load_file(path), **changes}, path, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("weights", "problem"),
    [
        ({WEIGHT: torch.ones(50, 64)}, rf"have {WEIGHT} in the shape \(50, 64\).* it is \(128, 64\)"),
        ({BIAS: torch.ones(128)}, f"have {BIAS}"),
        ({f"{WEIGHT}_scale": torch.ones(128, 1)}, f"have {WEIGHT}_scale"),
    ],
    ids=["another shape", "an unknown bias", "an unknown scale"],
)
def test_weights_that_differ_from_the_config_are_refused(
    folder: Path, weights: dict[str, torch.Tensor], problem: str
) -> None:
    change_weights(folder / "model.safetensors", **weights)
    with pytest.raises(UserError, match=problem):
        load(folder)


def test_more_layers_than_in_the_config_are_refused(folder: Path) -> None:
    change_config(folder, num_hidden_layers=1)
    with pytest.raises(UserError, match=r"have model\.layers\.1\..* the model has none"):
        load(folder)


@pytest.mark.parametrize("change", [{"num_attention_heads": 7}, {"hidden_size": "x"}], ids=str)
def test_an_invalid_value_in_the_config_is_reported(folder: Path, change: dict[str, object]) -> None:
    change_config(folder, **change)
    assert "its config.json has an invalid value (" in load_error(folder)


def test_weights_of_another_head_are_ignored(folder: Path) -> None:
    change_weights(folder / "model.safetensors", **{"v_head.summary.weight": torch.ones(1, 64)})
    assert load(folder).model.num_parameters() > 0


@pytest.mark.parametrize("bits", ["load_in_4bit", "load_in_8bit"])
def test_a_quantized_config_with_unquantized_weights_is_refused(folder: Path, bits: str) -> None:
    change_config(folder, quantization_config={"quant_method": "bitsandbytes", bits: True})
    assert "Remove quantization_config from config.json" in load_error(folder)


@pytest.mark.parametrize(
    ("stored", "quantization"),
    [({"quant_method": "bitsandbytes", "load_in_4bit": True}, "8bit"), ({"quant_method": "fp8"}, "4bit")],
)
def test_quantizing_quantized_weights_is_refused(folder: Path, stored: dict[str, object], quantization: str) -> None:
    change_config(folder, quantization_config=stored)
    message = load_error(folder, quantization=quantization)
    assert f"and llm.quantization is {quantization}. Set it to none" in message


def make_encoder(folder: Path) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertForMaskedLM(BertConfig(vocab_size=200, **sizes)).save_pretrained(folder)
    make_wordpiece().save_pretrained(folder)


def make_encoder_decoder(folder: Path) -> None:
    sizes = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    BartForConditionalGeneration(BartConfig(vocab_size=300, **sizes, **heads)).save_pretrained(folder)


def make_llama_classifier(folder: Path) -> None:
    tokenizer = make_tokenizer(["<s>"], None, bos_token="<s>", eos_token="<s>")
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=len(tokenizer), **sizes, tie_word_embeddings=True, num_labels=3)
    LlamaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (make_encoder, r"an encoder, which reads texts in both directions \(bert\)"),
        (make_encoder_decoder, r"an encoder-decoder \(bart\)"),
        (make_llama_classifier, r"another kind of model \(LlamaForSequenceClassification\)"),
    ],
)
def test_models_that_are_not_causal_are_refused(tmp_path: Path, make: Callable[[Path], None], kind: str) -> None:
    make(tmp_path)
    with pytest.raises(UserError, match=rf"is not a causal language model.*{kind}.*nli\.kind encoder"):
        load(tmp_path)


def test_a_model_with_an_adapter_in_its_folder_is_refused(base: Path, folder: Path, tmp_path: Path) -> None:
    """transformers would load the adapter too, even if it is already merged into the model."""
    adapter = make_adapter(base, tmp_path / "adapter")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(adapter / name, folder)
    assert "comes with an adapter (adapter_config.json). Name the adapter's folder in llm.adapter" in load_error(folder)


def test_an_adapter_of_a_classifier_is_refused(base: Path, tmp_path: Path) -> None:
    adapter = make_adapter(base, tmp_path / "adapter")
    change_weights(adapter / "adapter_model.safetensors", **{"base_model.model.score.weight": torch.ones(3, 64)})
    message = load_error(base, adapter=str(adapter))
    assert "has weights that a causal language model has no place for (base_model.model.score.weight)" in message
    assert load(base).model.num_parameters() > 0


def test_an_untrained_adapter_is_refused(base: Path, tmp_path: Path) -> None:
    adapter = make_adapter(base, tmp_path / "adapter")
    path = adapter / "adapter_model.safetensors"
    untrained = {name: torch.zeros_like(weight) for name, weight in load_file(path).items() if "lora_B" in name}
    change_weights(path, **untrained)
    assert "changes nothing: its lora_B weights are all 0" in load_error(base, adapter=str(adapter))
    name, weight = untrained.popitem()
    weight[0, 0] = 1e-3
    change_weights(path, **{name: weight})
    assert load(base, adapter=str(adapter)).model.num_parameters() > 0


def test_the_error_names_the_model_s_folder_or_file_inside(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    shutil.copytree(folder, tmp_path / "run/checkpoint-500")
    assert f"Name the model's own folder, such as {tmp_path / 'run/checkpoint-500'}" in load_error(tmp_path / "run")
    cache = tmp_path / "models--me--tuned"
    shutil.copytree(folder, cache / "snapshots/abc")
    assert f"such as {cache / 'snapshots/abc'}" in load_error(cache)
    (tmp_path / "quantised").mkdir()
    (tmp_path / "quantised/model-Q4.gguf").write_bytes(b"GGUF")
    assert f"Name its GGUF file: {tmp_path / 'quantised/model-Q4.gguf'}" in load_error(tmp_path / "quantised")


def test_missing_files_and_git_lfs_pointers_are_reported(folder: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    tokenizer, weights = folder / "tokenizer.json", folder / "model.safetensors"
    content = tokenizer.read_text()
    tokenizer.write_text(pointer)
    assert "tokenizer.json is a pointer of Git LFS" in load_error(folder)
    tokenizer.unlink()
    assert "(there is no tokenizer, such as tokenizer.json)" in load_error(folder)
    tokenizer.write_text(content)
    weights.write_text(pointer)
    assert "model.safetensors is a pointer of Git LFS" in load_error(folder)
    weights.unlink()
    assert "(there are no weights, *.safetensors)" in load_error(folder)
    (folder / "config.json").unlink()
    assert "(there is no config.json)" in load_error(folder)


def test_a_tilde_in_model_paths_is_expanded(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copytree(base, tmp_path / "my model (neu) [2]")
    make_adapter(base, tmp_path / "adapter")
    assert load("~/my model (neu) [2]", adapter="~/adapter").model.num_parameters() > 0
    assert NLIConfig(kind="encoder", model="~/judge").model == str(tmp_path / "judge")
    assert LLMConfig(model="owner/name").model == "owner/name"
    with pytest.raises(ValidationError, match="no home folder is known for ~nobody-here; write the whole path"):
        LLMConfig(model="~nobody-here/model")


def test_classifier_labels_are_normalized_and_checked(tmp_path: Path) -> None:
    folder = make_classifier(tmp_path / "spaces", (" Entailment", "NEUTRAL ", "contradiction"))
    assert load_classifier(str(folder)).labels == ("entailment", "neutral", "contradiction")
    change_config(folder, id2label={"1": "entailment", "2": "neutral", "3": "contradiction"})
    with pytest.raises(UserError, match=r"numbers the labels 1, 2, 3 in id2label\. Number them from 0"):
        load_classifier(str(folder))
    change_config(folder, id2label={"0": " Entailment", "1": "NEUTRAL ", "2": "contradiction"})
    change_config(folder, label2id={"contradiction": 0, "NEUTRAL ": 1, " Entailment": 2})
    with pytest.raises(UserError, match="the number 0 in id2label and 2 in label2id"):
        load_classifier(str(folder))
    change_config(folder, id2label={"0": "entailment", "1": "neutral"}, label2id={"entailment": 0, "neutral": 1})
    with pytest.raises(UserError, match=r"have 3 outputs and its config\.json 2 labels \(id2label\)"):
        load_classifier(str(folder))
