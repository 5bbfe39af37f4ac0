import asyncio
import logging
import shutil
import warnings
from pathlib import Path

import checkpoints
import pytest
import torch
from langchain_core.messages import HumanMessage

from chains.config import LLMConfig
from chains.models.local import load_llm, resolve_dtype
from chains.qa.chain import qa_chain
from common.errors import UserError

ASKED = {
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


def answer(decide: str = "score", **settings):
    llm = load_llm(LLMConfig(**settings))
    return llm, qa_chain(llm, context="gold", decide=decide, system="Be brief.").invoke(ASKED)


@pytest.mark.parametrize("name", ["gemma", "llama2", "gpt2"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "4bit", "8bit"])
@pytest.mark.parametrize("adapted", ["plain", "attached", "merged"])
def test_every_architecture_answers(folders, adapters, name: str, precision: str, adapted: str) -> None:
    settings = {"quantization": precision} if precision.endswith("bit") else {"dtype": precision}
    if adapted != "plain":
        settings |= {"adapter": str(adapters[name]), "merge_adapter": adapted == "merged"}
    if adapted == "merged" and precision.endswith("bit"):
        with pytest.raises(UserError, match=r"cannot be merged .* llm.quantization to none"):
            answer(model=str(folders[name]), **settings)
        return
    llm, scored = answer(model=str(folders[name]), **settings)
    assert scored.label in ("yes", "no", "maybe")
    assert sum(scored.label_scores.values()) == pytest.approx(1)
    assert scored.prompt.count("Be brief.") == 1
    generated = qa_chain(llm, context="gold", decide="generate").invoke(ASKED)
    assert generated.output is not None
    tokenizer, rows = llm.tokenizer, llm.model.get_input_embeddings().weight.shape[0]
    assert tokenizer.pad_token_id is not None
    assert len(tokenizer) == rows


def test_an_adapter_changes_the_answer_and_merging_does_not(folders, adapters) -> None:
    for name in ("gemma", "llama2", "gpt2"):
        base, adapter = str(folders[name]), str(adapters[name])
        plain = answer(model=base, dtype="float32")[1].label_scores
        attached = answer(model=base, dtype="float32", adapter=adapter)[1].label_scores
        merged = answer(model=base, dtype="float32", adapter=adapter, merge_adapter=True)[1].label_scores
        quantised = answer(model=base, dtype="float32", adapter=adapter, quantization="4bit", double_quant=True)[1]
        assert attached == pytest.approx(merged, abs=1e-4)
        assert attached != pytest.approx(plain, abs=1e-3)
        assert quantised.label_scores != pytest.approx(plain, abs=1e-3)


def test_padding_tokens_are_the_models_own(folders) -> None:
    pads = {name: load_llm(LLMConfig(model=str(folder))).tokenizer.pad_token for name, folder in folders.items()}
    assert pads == {"gemma": "<pad>", "llama2": "<unk>", "gpt2": "<|endoftext|>", "chat": "<|pad|>"}


def test_the_window_is_the_models(folders) -> None:
    assert load_llm(LLMConfig(model=str(folders["gpt2"]))).window == 512
    assert load_llm(LLMConfig(model=str(folders["chat"]))).window == 1024


def test_quantised_weights_are_smaller(folders) -> None:
    sizes = {
        how: load_llm(
            LLMConfig(model=str(folders["llama2"]), dtype="float32", quantization=how)
        ).model.get_memory_footprint()
        for how in ("none", "8bit", "4bit")
    }
    assert sizes["none"] > sizes["8bit"] > sizes["4bit"]


@pytest.mark.parametrize("name", ["gemma", "llama2", "gpt2", "chat"])
def test_langchain_llm_and_chat_model(folders, adapters, name: str, caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error", UserWarning)
        llm = load_llm(
            LLMConfig(model=str(folders[name]), dtype="float32", adapter=str(adapters[name]), max_new_tokens=5)
        )
        text = llm.pipeline.invoke("Read the text")
        assert isinstance(text, str)
        assert "Read the text" not in text
        assert llm.pipeline.batch(["Read the text", "Is it?"])[0] == text
        assert "".join(llm.pipeline.stream("Read the text")).strip() == text.strip()
        assert asyncio.run(llm.pipeline.ainvoke("Read the text")) == text
        messages = [("system", "Be brief."), ("human", "Is it?")]
        reply = llm.chat.invoke(messages).content
        assert isinstance(reply, str)
        assert [message.content for message in llm.chat.batch([messages, messages])] == [reply, reply]
        assert "".join(str(chunk.content) for chunk in llm.chat.stream(messages)).strip() == reply.strip()
    loud = [record.getMessage()[:200] for record in caplog.records if record.name.startswith("transformers")]
    assert loud == []


def test_chat_ids_begin_with_one_bos(folders) -> None:
    llm = load_llm(LLMConfig(model=str(folders["llama2"]), dtype="float32"))
    [ids] = llm.chat.llm.encode([llm.chat._to_chat_prompt([HumanMessage("Is it?")])])
    assert ids.count(llm.tokenizer.bos_token_id) == 1
    assert ids[0] == llm.tokenizer.bos_token_id


def test_dtype_auto_follows_the_processor() -> None:
    assert resolve_dtype(LLMConfig(dtype="float16")) is torch.float16
    assert resolve_dtype(LLMConfig(device_map="cpu")) in (torch.bfloat16, torch.float32)


def refusal(**settings) -> str:
    with pytest.raises(UserError) as caught:
        load_llm(LLMConfig(**settings))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_missing_folder(tmp_path: Path) -> None:
    assert "nothing-here" in refusal(model=str(tmp_path / "nothing-here"))


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    assert "config.json" in refusal(model=str(tmp_path))


def test_weights_that_are_cut_short(folders, tmp_path: Path) -> None:
    folder = shutil.copytree(folders["chat"], tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    assert str(folder) in refusal(model=str(folder))


def test_weights_that_lack_a_tensor(folders, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(folders["chat"], tmp_path / "lacking")
    weights = load_file(folder / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert "model.norm.weight" in refusal(model=str(folder))


def test_a_model_that_is_no_causal_one(tmp_path: Path) -> None:
    from transformers import CLIPVisionConfig

    CLIPVisionConfig().save_pretrained(tmp_path)
    assert "not a causal language model" in refusal(model=str(tmp_path))


def test_a_device_that_is_not_there(folders) -> None:
    assert "cuda:97" in refusal(model=str(folders["chat"]), device_map="cuda:97")
    assert "no such device" in refusal(model=str(folders["chat"]), device_map="abacus")


def test_merging_without_an_adapter(folders) -> None:
    assert "llm.adapter" in refusal(model=str(folders["chat"]), merge_adapter=True)


def test_the_head_reads_contiguous_states(folders, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_llm(LLMConfig(model=str(folders["llama2"]), dtype="bfloat16")).model
    head = model.get_output_embeddings().weight
    contiguous: list[bool] = []
    linear = torch.nn.functional.linear

    def recorded(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        if weight is head:
            contiguous.append(states.is_contiguous())
        return linear(states, weight, bias)

    monkeypatch.setattr(torch.nn.functional, "linear", recorded)
    model(torch.ones(3, 5, dtype=torch.long), logits_to_keep=1)
    assert contiguous == [True]
