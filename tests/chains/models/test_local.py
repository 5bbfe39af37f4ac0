import asyncio
import logging
import shutil
import warnings
from pathlib import Path

import checkpoints
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig

from chains.config import LLMConfig
from chains.models.local import load_llm, resolve_dtype
from chains.qa.chain import qa_chain
from common.errors import UserError

QUESTION = {
    "question": "Does aspirin reduce stroke?",
    "context": "Aspirin reduced the risk of stroke. Bleeding did not change. Patients were old.",
}


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("checkpoints")
    return {name: make(root / name) for name, make in checkpoints.MAKERS.items()}


@pytest.fixture(scope="session")
def adapters(folders, tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("adapters")
    return {name: checkpoints.make_adapter(base, root / name) for name, base in folders.items()}


@pytest.mark.parametrize("name", ["gemma", "llama2", "gpt2"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "4bit", "8bit"])
@pytest.mark.parametrize("adapter_use", ["plain", "attached", "merged"])
def test_every_architecture_answers(folders, adapters, name: str, precision: str, adapter_use: str) -> None:
    settings = {"quantization": precision} if precision.endswith("bit") else {"dtype": precision}
    if adapter_use != "plain":
        settings |= {"adapter": str(adapters[name]), "merge_adapter": adapter_use == "merged"}
    config = LLMConfig(model=str(folders[name]), **settings)
    if adapter_use == "merged" and precision.endswith("bit"):
        with pytest.raises(UserError, match=r"cannot be merged .* llm.quantization to none"):
            load_llm(config)
        return
    llm = load_llm(config)
    answer = qa_chain(llm, context="gold", system="Be brief.").invoke(QUESTION)
    assert answer.label in ("yes", "no", "maybe")
    assert sum(answer.label_scores.values()) == pytest.approx(1)
    assert answer.prompt.count("Be brief.") == 1
    generated = qa_chain(llm, context="gold", decide="generate").invoke(QUESTION)
    assert generated.output is not None
    assert llm.tokenizer.pad_token_id is not None
    assert len(llm.tokenizer) == llm.model.get_input_embeddings().weight.shape[0]


@pytest.mark.parametrize("name", ["gemma", "llama2", "gpt2"])
def test_an_adapter_changes_the_scores_and_merging_does_not(folders, adapters, name: str) -> None:
    def label_scores(**settings) -> dict[str, float]:
        llm = load_llm(LLMConfig(model=str(folders[name]), dtype="float32", **settings))
        return qa_chain(llm, context="gold", system="Be brief.").invoke(QUESTION).label_scores

    adapter = str(adapters[name])
    plain, attached = label_scores(), label_scores(adapter=adapter)
    assert attached == pytest.approx(label_scores(adapter=adapter, merge_adapter=True), abs=1e-4)
    assert attached != pytest.approx(plain, abs=1e-3)
    assert label_scores(adapter=adapter, quantization="4bit", double_quant=True) != pytest.approx(plain, abs=1e-3)


def test_padding_tokens_are_in_the_vocabulary(folders) -> None:
    pads = {name: load_llm(LLMConfig(model=str(folder))).tokenizer.pad_token for name, folder in folders.items()}
    assert pads == {"gemma": "<pad>", "llama2": "<unk>", "gpt2": "<|endoftext|>", "chat": "<|pad|>"}


def test_the_window_is_that_of_the_model(folders) -> None:
    assert load_llm(LLMConfig(model=str(folders["gpt2"]))).window == 512
    assert load_llm(LLMConfig(model=str(folders["chat"]))).window == 1024


def test_quantised_weights_are_smaller(folders) -> None:
    base = LLMConfig(model=str(folders["llama2"]), dtype="float32")
    models = [load_llm(base.model_copy(update={"quantization": bits})).model for bits in ("none", "8bit", "4bit")]
    unquantised, in_8_bits, in_4_bits = (model.get_memory_footprint() for model in models)
    assert unquantised > in_8_bits > in_4_bits


@pytest.mark.parametrize("name", ["gemma", "llama2", "gpt2", "chat"])
def test_langchain_interfaces_agree_without_warnings(
    folders, adapters, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error", UserWarning)
        llm = load_llm(
            LLMConfig(model=str(folders[name]), dtype="float32", adapter=str(adapters[name]), max_new_tokens=5)
        )
        messages = [("system", "Be brief."), ("human", "Is it?")]
        reply = llm.chat.invoke(messages).content
        assert asyncio.run(llm.chat.ainvoke(messages)).content == reply
        assert [message.content for message in llm.chat.batch([messages, messages])] == [reply, reply]
        assert "".join(str(chunk.content) for chunk in llm.chat.stream(messages)).strip() == reply.strip()
    assert [record.getMessage() for record in caplog.records if record.name.startswith("transformers")] == []


def test_dtype_auto_on_a_cpu_is_bfloat16_or_float32() -> None:
    assert resolve_dtype(LLMConfig(dtype="float16")) is torch.float16
    assert resolve_dtype(LLMConfig(device_map="cpu")) in (torch.bfloat16, torch.float32)


def load_error(**settings) -> str:
    """The message of the error when a model is loaded."""
    with pytest.raises(UserError) as caught:
        load_llm(LLMConfig(**settings))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_missing_or_empty_folder_is_refused(tmp_path: Path) -> None:
    assert "absent-folder" in load_error(model=str(tmp_path / "absent-folder"))
    assert "config.json" in load_error(model=str(tmp_path))


def test_truncated_weights_are_refused(folders, tmp_path: Path) -> None:
    folder = shutil.copytree(folders["chat"], tmp_path / "truncated")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    assert str(folder) in load_error(model=str(folder))


def test_weights_without_a_needed_tensor_are_refused(folders, tmp_path: Path) -> None:
    folder = shutil.copytree(folders["chat"], tmp_path / "incomplete")
    weights = load_file(folder / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert "model.norm.weight" in load_error(model=str(folder))


def test_a_vision_model_is_refused(tmp_path: Path) -> None:
    CLIPVisionConfig().save_pretrained(tmp_path)
    assert "not a causal language model" in load_error(model=str(tmp_path))


def test_an_absent_device_is_refused(folders) -> None:
    assert "cuda:97" in load_error(model=str(folders["chat"]), device_map="cuda:97")
    assert "has no device 'abacus'" in load_error(model=str(folders["chat"]), device_map="abacus")


def test_merging_without_an_adapter_is_refused(folders) -> None:
    assert "llm.adapter" in load_error(model=str(folders["chat"]), merge_adapter=True)


def test_the_head_gets_contiguous_states(folders, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_llm(LLMConfig(model=str(folders["llama2"]), dtype="bfloat16")).model
    head = model.get_output_embeddings().weight
    contiguous: list[bool] = []
    linear = torch.nn.functional.linear

    def recording_linear(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        if weight is head:
            contiguous.append(states.is_contiguous())
        return linear(states, weight, bias)

    monkeypatch.setattr(torch.nn.functional, "linear", recording_linear)
    model(torch.ones(3, 5, dtype=torch.long), logits_to_keep=1)
    assert contiguous == [True]
