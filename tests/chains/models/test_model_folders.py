"""Folders of models as people have them: what is refused, and what is said of it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from checkpoints import make_adapter, make_chat, make_tokenizer
from classifiers import make_classifier, make_wordpiece
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

Change = Callable[[Path], object]
LAYER = "model.layers.1.mlp.up_proj.weight"
BIAS = "model.layers.1.mlp.up_proj.bias"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_chat(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture
def folder(base: Path, tmp_path: Path) -> Path:
    return shutil.copytree(base, tmp_path / "model")


def load(folder: Path | str, **settings: str) -> LocalLLM:
    return load_llm(
        LLMConfig.model_validate({"model": str(folder), "device_map": "cpu", "dtype": "float32", **settings})
    )


def refusal(folder: Path, **settings: str) -> str:
    with pytest.raises(UserError) as refused:
        load(folder, **settings)
    return str(refused.value)


def settings_of(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def weights_of(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda folder: settings_of(folder, num_hidden_layers=1), r"have model\.layers\.1\..* the model has none"),
        (
            lambda folder: weights_of(folder, lambda all_: all_.update({LAYER: all_[LAYER][:50].clone()})),
            r"have model\.layers\.1\.mlp\.up_proj\.weight in the shape \(50, 64\).* it is \(128, 64\)",
        ),
        (
            lambda folder: weights_of(folder, lambda all_: all_.update({BIAS: torch.ones(128)})),
            r"have model\.layers\.1\.mlp\.up_proj\.bias",
        ),
        (
            lambda folder: weights_of(folder, lambda all_: all_.update({f"{LAYER}_scale": torch.ones(128, 1)})),
            r"have model\.layers\.1\.mlp\.up_proj\.weight_scale",
        ),
    ],
    ids=["fewer layers", "another shape", "a bias", "a scale"],
)
def test_weights_that_the_settings_do_not_fit(folder: Path, change: Change, problem: str) -> None:
    change(folder)
    with pytest.raises(UserError, match=problem):
        load(folder)


def test_weights_of_another_head_are_left_aside(folder: Path) -> None:
    weights_of(folder, lambda all_: all_.update({"v_head.summary.weight": torch.ones(1, 64)}))
    assert load(folder).model.num_parameters() > 0


@pytest.mark.parametrize("bits", ["load_in_4bit", "load_in_8bit"])
def test_a_quantisation_in_the_settings_that_the_weights_do_not_have(folder: Path, bits: str) -> None:
    settings_of(folder, quantization_config={"quant_method": "bitsandbytes", bits: True})
    assert "Remove quantization_config from config.json" in refusal(folder)


@pytest.mark.parametrize(
    ("stored", "asked"),
    [({"quant_method": "bitsandbytes", "load_in_4bit": True}, "8bit"), ({"quant_method": "fp8"}, "4bit")],
)
def test_another_quantisation_than_that_of_the_weights(folder: Path, stored: dict[str, object], asked: str) -> None:
    settings_of(folder, quantization_config=stored)
    assert f"and llm.quantization is {asked}. Set it to none" in refusal(folder, quantization=asked)


def encoder_with_a_causal_head(folder: Path) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertForMaskedLM(BertConfig(vocab_size=200, **sizes)).save_pretrained(folder)
    make_wordpiece().save_pretrained(folder)


def encoder_and_decoder(folder: Path) -> None:
    sizes = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    BartForConditionalGeneration(BartConfig(vocab_size=300, **sizes, **heads)).save_pretrained(folder)


def tied_classifier(folder: Path) -> None:
    tokenizer = make_tokenizer(["<s>"], None, bos_token="<s>", eos_token="<s>")
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=len(tokenizer), **sizes, tie_word_embeddings=True, num_labels=3)
    LlamaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (encoder_with_a_causal_head, r"an encoder, which reads texts in both directions \(bert\)"),
        (encoder_and_decoder, r"an encoder-decoder \(bart\)"),
        (tied_classifier, r"another kind of model \(LlamaForSequenceClassification\)"),
    ],
)
def test_other_models_are_no_causal_ones(tmp_path: Path, make: Change, kind: str) -> None:
    make(tmp_path)
    with pytest.raises(UserError, match=rf"is not a causal language model.*{kind}.*nli\.kind encoder"):
        load(tmp_path)


def test_a_model_with_an_adapter_in_its_folder(base: Path, folder: Path, tmp_path: Path) -> None:
    """transformers would put the adapter on top, also where the model is already merged with it."""
    adapter = make_adapter(base, tmp_path / "adapter")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(adapter / name, folder)
    assert "comes with an adapter (adapter_config.json). Name the adapter's folder in llm.adapter" in refusal(folder)


def test_an_adapter_of_a_classifier(base: Path, tmp_path: Path) -> None:
    adapter = make_adapter(base, tmp_path / "adapter")
    path = adapter / "adapter_model.safetensors"
    save_file({**load_file(path), "base_model.model.score.weight": torch.ones(3, 64)}, path, metadata={"format": "pt"})
    message = refusal(base, adapter=str(adapter))
    assert "has weights that a causal language model has no place for (base_model.model.score.weight)" in message
    assert load(base).model.num_parameters() > 0


def test_an_adapter_without_trained_weights(base: Path, tmp_path: Path) -> None:
    adapter = make_adapter(base, tmp_path / "adapter")
    path = adapter / "adapter_model.safetensors"
    weights = {name: value * (0 if "lora_B" in name else 1) for name, value in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})
    assert "changes nothing: its lora_B weights are all 0" in refusal(base, adapter=str(adapter))
    last = max(name for name in weights if "lora_B" in name)
    weights[last][0, 0] = 1e-3
    save_file(weights, path, metadata={"format": "pt"})
    assert load(base, adapter=str(adapter)).model.num_parameters() > 0


def test_advice_on_folders_without_a_model(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    shutil.copytree(folder, tmp_path / "run/checkpoint-500")
    assert f"Name the model's own folder, such as {tmp_path / 'run/checkpoint-500'}" in refusal(tmp_path / "run")
    cache = tmp_path / "models--me--tuned"
    shutil.copytree(folder, cache / "snapshots/abc")
    assert f"such as {cache / 'snapshots/abc'}" in refusal(cache)
    (tmp_path / "quantised").mkdir()
    (tmp_path / "quantised/model-Q4.gguf").write_bytes(b"GGUF")
    assert f"Name its GGUF file: {tmp_path / 'quantised/model-Q4.gguf'}" in refusal(tmp_path / "quantised")


def test_files_that_are_missing_or_pointers(folder: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    tokenizer = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(pointer)
    assert "tokenizer.json is a pointer of Git LFS" in refusal(folder)
    (folder / "tokenizer.json").unlink()
    assert "(there is no tokenizer, such as tokenizer.json)" in refusal(folder)
    (folder / "tokenizer.json").write_text(tokenizer)
    (folder / "model.safetensors").write_text(pointer)
    assert "model.safetensors is a pointer of Git LFS" in refusal(folder)
    (folder / "model.safetensors").unlink()
    assert "(there are no weights, *.safetensors)" in refusal(folder)
    (folder / "config.json").unlink()
    assert "(there is no config.json)" in refusal(folder)


def test_the_home_folder_in_a_models_name(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copytree(base, tmp_path / "my model (neu) [2]")
    make_adapter(base, tmp_path / "adapter")
    assert load("~/my model (neu) [2]", adapter="~/adapter").model.num_parameters() > 0
    assert NLIConfig(kind="encoder", model="~/judge").model == str(tmp_path / "judge")
    assert LLMConfig(model="owner/name").model == "owner/name"


def test_labels_of_a_classifier(tmp_path: Path) -> None:
    folder = make_classifier(tmp_path / "spaces", (" Entailment", "NEUTRAL ", "contradiction"))
    assert load_classifier(str(folder)).labels == ("entailment", "neutral", "contradiction")
    settings_of(folder, label2id={"contradiction": 0, "NEUTRAL ": 1, " Entailment": 2})
    with pytest.raises(UserError, match="the number 0 in id2label and 2 in label2id"):
        load_classifier(str(folder))
    settings_of(folder, id2label={"0": "entailment", "1": "neutral"}, label2id={"entailment": 0, "neutral": 1})
    with pytest.raises(UserError, match=r"have 3 outputs and its config\.json 2 labels \(id2label\)"):
        load_classifier(str(folder))
