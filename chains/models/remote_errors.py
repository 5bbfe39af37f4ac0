"""Errors of OpenAI-compatible servers, with messages that name the server and the next step."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from chains.models.base import TooLongError
from common.errors import UserError

KEY = "MEDGROUND_LLM_KEY"  # environment variable
# Parts of servers' error messages about a prompt that is too long.
_TOO_LONG = (
    "context length", "context size", "context window", "maximum context", "too long",  # vLLM, llama.cpp, Ollama
    "must have less than", "`max_new_tokens` must be",  # TGI
)  # fmt: skip


class ServerError(UserError):
    """The server of ``llm.base_url`` is unreachable or returns no usable answer."""


class StatusError(ServerError):
    """The server responded with the HTTP error ``status``."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class RefusedTooLongError(StatusError, TooLongError):
    """The server rejects a prompt that is longer than the model's context window."""


class NoLogprobsError(StatusError):
    """The server does not support token probabilities."""


@dataclass(frozen=True)
class Server:
    """Creates the errors of an OpenAI-compatible server; ``url`` ends in ``/v1``, ``timeout`` is in seconds."""

    url: str
    has_key: bool
    timeout: float

    def __str__(self) -> str:
        return f"The server at {self.url} (llm.base_url)"

    @contextmanager
    def errors(self, path: str) -> Iterator[None]:
        """Turn errors of OpenAI's SDK and malformed answers into ``ServerError``."""
        import openai

        try:
            yield
        except openai.APIStatusError as error:
            raise self.status_error(error.response, path) from error
        except openai.APIConnectionError as error:
            cause: BaseException = error
            while cause.__cause__ is not None:
                cause = cause.__cause__
            raise ServerError(
                f"The connection to the server at {self.url} (llm.base_url) broke: {_reason(cause)}. See its log and "
                "try again."
            ) from error
        except (openai.OpenAIError, TypeError, ValueError, LookupError, AttributeError) as error:
            raise self.wrong_format_error(path, str(error)) from error

    @contextmanager
    def connection_errors(self) -> Iterator[None]:
        """Turn httpx's errors of an unreachable or late server into ``ServerError``."""
        import httpx

        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise ServerError(
                f"No server can be reached at {self.url} (llm.base_url): {_reason(error)}. Start it, or correct "
                "the address."
            ) from error
        except httpx.TimeoutException as error:
            raise ServerError(
                f"{self} did not answer within {self.timeout:g} seconds. See its log; a smaller llm.concurrency sends "
                "fewer requests at once."
            ) from error

    def wrong_format_error(self, path: str, answer: object) -> ServerError:
        """The error if an answer does not follow the protocol."""
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return ServerError(
            f"{self} answered {path} with a response that is not in OpenAI's format: {text[:200]!r}. Check the "
            "address of the API; it usually ends in /v1."
        )

    def status_error(self, response: Any, path: str) -> StatusError:
        """The error of an unsuccessful HTTP response."""
        status, description = response.status_code, _error_description(response)
        quoted = f" It says: {description}" if description else ""
        lower = description.lower()
        if status < 500 and status not in (401, 403, 404, 408, 429) and any(text in lower for text in _TOO_LONG):
            return RefusedTooLongError(
                f"The prompt is longer than the window of the model at {self.url}.{quoted} Set llm.window to it, "
                "so that prompts are shortened.",
                status,
            )
        if status in (400, 422, 501) and "logprob" in lower:
            problem = f"does not support token probabilities.{quoted} Set chain.decide to generate."
            return NoLogprobsError(f"{self} {problem}", status)
        if status in (401, 403):
            needs_key = f"needs an API key: set the environment variable {KEY}"
            key_problem = f"refuses the key in {KEY}" if self.has_key else needs_key
            problem = f"{key_problem}.{quoted}"
        elif status == 429:
            problem = f"is too busy.{quoted} Try again later, or set llm.concurrency lower."
        elif status == 404:
            problem = f"answered {path} with 404, not found.{quoted} Check llm.base_url and llm.model."
        elif 300 <= status < 400:
            location = response.headers.get("Location", "another address")
            problem = f"redirects to {location}; redirects are not followed. Set llm.base_url to the right address."
        elif status >= 500:
            problem = f"failed with status {status}.{quoted} See its log and try again."
        else:
            problem = f"refuses the request with status {status}.{quoted}"
        return StatusError(f"{self} {problem}", status)


def _error_description(response: Any) -> str:
    """The server's description of the error on one line, cut to 300 characters."""
    try:
        body = response.json()
    except ValueError:
        body = response.text
    for key in ("error", "message", "detail"):  # {"error": {"message": ...}} and the formats of other servers
        if isinstance(body, dict) and key in body:
            body = body[key]
    return " ".join((body if isinstance(body, str) else json.dumps(body)).split())[:300]


def _reason(error: BaseException) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__
