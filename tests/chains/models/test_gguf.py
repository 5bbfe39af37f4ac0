"""GGUF files loaded with transformers."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from chains.config import LLMConfig
from chains.models.gguf import converted_folder
from chains.models.local import EMBEDDED, load_llm
from common.errors import UserError
from corpus.inference.pairs import NLIPair
from finetune.merge import merge

QUESTION = [{"role": "user", "content": "Does aspirin lower the risk? It was 12.5 % or 1,024 of 9."}]


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache of converted models, shared by the tests of this file."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDGROUND_CACHE", str(folder))
        yield folder


def test_a_gguf_file_gives_the_results_of_its_original(tiny_gguf: Path) -> None:
    original = load_llm(LLMConfig(model=str(EMBEDDED), dtype="float32"))
    llm = load_llm(LLMConfig(model=str(tiny_gguf), dtype="float32"))
    assert llm.window == original.window
    prompts = original.prompts([QUESTION])
    assert llm.prompts([QUESTION]) == prompts
    [(_, [expected])] = original.score(prompts, ["yes", "no", "maybe"])
    [(_, [scores])] = llm.score(prompts, ["yes", "no", "maybe"])
    assert scores == pytest.approx(expected, abs=1e-4)
    ids = torch.tensor([prompts[0][1]])
    assert torch.equal(llm.model.generate(ids, max_new_tokens=8), original.model.generate(ids, max_new_tokens=8))


def test_the_setting_gguf_file_names_a_file_in_the_model_s_folder(tiny_gguf: Path) -> None:
    llm = load_llm(LLMConfig(model=str(tiny_gguf.parent), gguf_file=tiny_gguf.name))
    assert llm.name == str(tiny_gguf.parent)


def test_a_file_is_converted_once_and_again_after_a_change(tiny_gguf: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(tiny_gguf.read_bytes())
    folder = converted_folder(copy)
    modified = (folder / "model.safetensors").stat().st_mtime_ns
    assert converted_folder(copy) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == modified
    copy.write_bytes(tiny_gguf.read_bytes() + b"\0")
    assert converted_folder(copy) != folder


def test_a_gguf_model_can_be_quantized(tiny_gguf: Path) -> None:
    llm = load_llm(LLMConfig(model=str(tiny_gguf), quantization="4bit", device_map="cpu"))
    assert llm.model.is_quantized


def test_an_adapter_of_a_gguf_model_can_be_merged(tiny_gguf: Path, tmp_path: Path) -> None:
    base = load_llm(LLMConfig(model=str(tiny_gguf), dtype="float32"))
    adapter = get_peft_model(base.model, LoraConfig(target_modules=["q_proj"], init_lora_weights=False, r=2))
    adapter.save_pretrained(tmp_path / "adapter")
    pairs = [NLIPair(id=str(i), premise="A trial.", hypothesis=f"It helped {i}.", label="entailment") for i in range(3)]
    report = merge(
        str(tmp_path / "adapter"),
        tmp_path / "merged",
        llm=LLMConfig(model=str(tiny_gguf), dtype="float32"),
        pairs=pairs,
        labels=["entailment", "neutral", "contradiction"],
        quiet=True,
    )
    assert report.passed


def converted_names(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.glob("gguf/*") if path.suffix != ".lock")


@pytest.mark.parametrize("content", [b"", b"GGUF", b"no model at all" * 100])
def test_a_broken_file_is_refused_and_not_cached(content: bytes, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "quota.gguf").write_bytes(content)  # the name alone must not be taken for an exceeded disk quota
    before = converted_names(cache)
    with pytest.raises(UserError, match=r"quota\.gguf: transformers cannot read this GGUF file"):
        load_llm(LLMConfig(model=str(tmp_path / "quota.gguf")))
    assert converted_names(cache) == before


def test_a_file_without_read_permission_is_reported(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "unreadable.gguf"
    file.write_bytes(tiny_gguf.read_bytes())

    def refuse(*_: object, **__: object) -> None:  # the root user may read every file
        raise PermissionError(errno.EACCES, "Permission denied", str(file))

    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", refuse)
    with pytest.raises(UserError, match=r"cannot read this GGUF file \(\[Errno 13\] Permission denied"):
        converted_folder(file)


def test_a_truncated_file_is_refused(tiny_gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "half.gguf").write_bytes(tiny_gguf.read_bytes()[: tiny_gguf.stat().st_size // 2])
    with pytest.raises(UserError, match=r"half\.gguf"):
        load_llm(LLMConfig(model=str(tmp_path / "half.gguf")))


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.gguf: there is no such file"):
        load_llm(LLMConfig(model=str(tmp_path / "absent.gguf")))
