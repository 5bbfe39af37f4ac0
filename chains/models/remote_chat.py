"""LangChain chat model for OpenAI-compatible servers, with this project's errors and privacy rules."""

import os
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai.chat_models.base import BaseChatOpenAI

from chains.models.base import estimated_tokens
from chains.models.remote_errors import KEY, Server
from common.privacy import is_loopback

_COMPLETIONS = "/chat/completions"


class RemoteChat(BaseChatOpenAI):
    """A chat model on a server. Raises ``ServerError`` if the server returns no usable answer."""

    server: Any

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        with self.server.errors(_COMPLETIONS):
            return self._checked(super()._generate(*args, **kwargs))

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        with self.server.errors(_COMPLETIONS):
            yield from super()._stream(*args, **kwargs)

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        with self.server.errors(_COMPLETIONS):
            return self._checked(await super()._agenerate(*args, **kwargs))

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        with self.server.errors(_COMPLETIONS):
            async for chunk in super()._astream(*args, **kwargs):
                yield chunk

    def _checked(self, result: ChatResult) -> ChatResult:
        if not result.generations:
            raise self.server.wrong_format_error(_COMPLETIONS, {"choices": []})
        return result


def remote_chat(name: str, base_url: str, *, timeout: float = 600, retries: int = 6) -> RemoteChat:
    """The chat model ``name`` of the server at ``base_url``, which ends in ``/v1``.

    Only this server is contacted: redirects are not followed, and no proxy is used for a server on this machine. The
    API key is read from ``MEDGROUND_LLM_KEY``; OpenAI's environment variables are ignored.

    Args:
        name: the model's name on the server.
        base_url: the server's address.
        timeout: seconds until a request fails.
        retries: repetitions of a request if the server is busy, fails or breaks an open connection; the pauses
            before 6 repetitions add up to about 20 s. A request that times out or finds no server is not repeated.
    """
    key = os.environ.get(KEY)
    server = Server(base_url.rstrip("/"), bool(key), timeout)
    http_options: dict[str, Any] = {
        "timeout": httpx.Timeout(timeout, connect=min(timeout, 10)),
        "trust_env": not is_loopback(urlsplit(base_url).hostname),
    }
    return RemoteChat(
        server=server,
        model=name,
        base_url=server.url,
        api_key=key or "none",  # type: ignore[arg-type]  # the SDK requires a key
        default_headers={"OpenAI-Organization": "", "OpenAI-Project": ""},  # not those of environment variables
        openai_proxy="",
        temperature=0,
        max_retries=retries,
        timeout=http_options["timeout"],
        use_responses_api=False,
        http_client=_Client(server, limits=httpx.Limits(max_connections=None), **http_options),
        # A connection kept alive cannot be used in another event loop, such as that of a second ``asyncio.run``.
        http_async_client=_AsyncClient(
            server, limits=httpx.Limits(max_connections=None, max_keepalive_connections=0), **http_options
        ),
        custom_get_token_ids=lambda text: [0] * estimated_tokens(text),  # the default downloads a tokenizer
    )


class _Client(httpx.Client):
    """Turns timeouts and failures to connect into errors that OpenAI's SDK does not retry."""

    def __init__(self, server: Server, **options: Any) -> None:
        super().__init__(**options)
        self._server = server

    def send(self, *args: Any, **kwargs: Any) -> httpx.Response:
        with self._server.connection_errors():
            return super().send(*args, **kwargs)


class _AsyncClient(httpx.AsyncClient):
    """Asynchronous ``_Client``."""

    def __init__(self, server: Server, **options: Any) -> None:
        super().__init__(**options)
        self._server = server

    async def send(self, *args: Any, **kwargs: Any) -> httpx.Response:
        with self._server.connection_errors():
            return await super().send(*args, **kwargs)
