"""LangChain's standard integration tests of chat models; properties say which features a model lacks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from served import ScriptedChain, make_service, running

from chains.config import LLMConfig
from chains.models.llamacpp import LlamaCppLLM, load_llamacpp
from chains.models.llamacpp_chat import LlamaCppChat
from chains.models.local import LocalLLM, load_llm
from chains.models.local_chat import LocalChat

standard = pytest.importorskip("langchain_tests.integration_tests")
remote_chat = pytest.importorskip("chains.models.remote_chat")


@pytest.fixture(scope="module")
def llm() -> LocalLLM:
    return load_llm(LLMConfig(dtype="float32", device_map="cpu", max_new_tokens=12))


class _TextOnly(standard.ChatModelIntegrationTests):
    """Tests of a model without tools and structured output."""

    @property
    def has_tool_calling(self) -> bool:
        return False

    @property
    def has_structured_output(self) -> bool:
        return False


class TestLocalChat(_TextOnly):
    @pytest.fixture(autouse=True)
    def _llm(self, llm: LocalLLM) -> None:
        self.llm = llm

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return LocalChat

    @property
    def chat_model_params(self) -> dict[str, Any]:
        chat: Any = self.llm.chat
        return {"llm": chat.llm, "tokenizer": chat.tokenizer, "model_id": chat.model_id}


@pytest.fixture(scope="module")
def llamacpp(tiny_gguf: Path) -> LlamaCppLLM:
    pytest.importorskip("xllamacpp")
    return load_llamacpp(LLMConfig(kind="llamacpp", model=str(tiny_gguf), threads=1, max_new_tokens=12))


class TestLlamaCppChat(_TextOnly):
    @pytest.fixture(autouse=True)
    def _llm(self, llamacpp: LlamaCppLLM) -> None:
        self.llm = llamacpp

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return LlamaCppChat

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"local": self.llm, "model_name": self.llm.name}


class TestRemoteChat(_TextOnly):
    """The server is ``medground serve``, which reports no token counts."""

    @pytest.fixture(autouse=True, scope="class")
    def _served(self, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        folder: Path = tmp_path_factory.mktemp("service")
        with running(make_service(ScriptedChain(), folder)) as (url, _):
            request.cls.url = url
            yield

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        model: type[BaseChatModel] = remote_chat.RemoteChat
        return model

    @property
    def chat_model_params(self) -> dict[str, Any]:
        chat = remote_chat.remote_chat("medground", f"{self.url}/v1")  # type: ignore[attr-defined]
        return {name: getattr(chat, name) for name in ("server", "http_client", "http_async_client")} | {
            "model": "medground",
            "base_url": f"{self.url}/v1",  # type: ignore[attr-defined]
            "api_key": "none",
            "use_responses_api": False,
        }

    @property
    def returns_usage_metadata(self) -> bool:
        return False
