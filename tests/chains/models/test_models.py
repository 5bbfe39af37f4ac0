import checkpoints
import pytest
from gguf_files import write_gguf
from stub_openai import stub_openai

from chains.config import LLMConfig
from chains.models import make_llm
from chains.models.llamacpp import LlamaCppLLM
from chains.models.local import LocalLLM, load_llm
from chains.models.remote import RemoteLLM
from common.errors import UserError
from common.result_cache import ResultCache


def test_make_llm_makes_each_kind_with_the_cache(tmp_path) -> None:
    cache = ResultCache(tmp_path / "cache.jsonl")
    local = make_llm(LLMConfig(model=str(checkpoints.make_chat(tmp_path / "chat")), dtype="float32"), cache)
    assert isinstance(local, LocalLLM)
    with stub_openai() as stub:
        remote = make_llm(LLMConfig(kind="openai", base_url=stub.url, model="stub"), cache)
    file = write_gguf(tmp_path / "chat", tmp_path / "chat.gguf")
    gguf = make_llm(LLMConfig(kind="llamacpp", model=str(file), threads=1), cache)
    assert isinstance(remote, RemoteLLM)
    assert isinstance(gguf, LlamaCppLLM)
    assert local.cache is remote.cache is gguf.cache is cache


def test_kinds_without_a_model_or_weights_are_refused() -> None:
    with pytest.raises(UserError, match=r"llm\.kind is extractive\. Set it to huggingface, llamacpp or openai"):
        make_llm(LLMConfig(kind="extractive"))
    with pytest.raises(UserError, match=r"needs a model's weights, and llm\.kind is openai"):
        load_llm(LLMConfig(kind="openai", base_url="http://localhost:1/v1", model="m"))
