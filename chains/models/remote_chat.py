"""A model on a server as a LangChain chat model, whose failures are told as those of ``chains.models.endpoint``."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import openai
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI

from chains.models.base import estimated_tokens
from chains.models.endpoint import KEY, Endpoint
from common.privacy import is_loopback

_COMPLETIONS = "/chat/completions"


class RemoteChat(ChatOpenAI):
    """``ChatOpenAI`` that raises ``ElsewhereError`` where the server does not do what is asked of it."""

    endpoint: Any

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        with self._told():
            return super()._generate(*args, **kwargs)

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        with self._told():
            yield from super()._stream(*args, **kwargs)

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        with self._told():
            return await super()._agenerate(*args, **kwargs)

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        with self._told():
            async for chunk in super()._astream(*args, **kwargs):
                yield chunk

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except openai.APIStatusError as error:
            raise self.endpoint.refused(error.response, _COMPLETIONS) from error
        except openai.APITimeoutError as error:
            raise self.endpoint.late() from error
        except openai.APIConnectionError as error:
            raise self.endpoint.unreachable(error.__cause__ or error) from error
        except openai.OpenAIError as error:  # such as an error within a stream
            raise self.endpoint.malformed(_COMPLETIONS, str(error)) from error


def remote_chat(name: str, endpoint: Endpoint) -> RemoteChat:
    """The chat model ``name`` of a server; it is written to as ``endpoint`` is, and to nowhere else."""
    trusted = not is_loopback(urlsplit(endpoint.url).hostname)
    return RemoteChat(
        endpoint=endpoint,
        model=name,
        base_url=endpoint.url,
        api_key=os.environ.get(KEY) or "none",  # type: ignore[arg-type]  # a server without keys takes any
        organization="",
        temperature=0,
        timeout=endpoint.timeout,
        use_responses_api=False,
        http_client=httpx.Client(trust_env=trusted, timeout=endpoint.timeout),
        http_async_client=httpx.AsyncClient(trust_env=trusted, timeout=endpoint.timeout),
        custom_get_token_ids=lambda text: list(
            range(estimated_tokens(text))
        ),  # else its tables are fetched from elsewhere
    )
