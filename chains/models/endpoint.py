"""Requests to a server that speaks OpenAI's protocol; whatever goes wrong is told in a sentence."""

import email.utils
import json
import math
import random
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from common.errors import UserError
from common.privacy import is_loopback

if TYPE_CHECKING:
    import httpx

KEY = "MEDGROUND_LLM_KEY"
_LATER = frozenset({408, 425, 429, 502, 503, 504, 529})  # what a server says that may answer a little later
_TOO_LONG = (
    "context length", "context size", "context window", "maximum context", "too long",  # vLLM, llama.cpp, Ollama
    "must have less than", "`max_new_tokens` must be",  # TGI
)  # fmt: skip


class ElsewhereError(UserError):
    """A server that the settings name does not do what is asked of it."""


class RefusedError(ElsewhereError):
    """The server understood the request and will not do it; ``status`` is the HTTP status, ``told`` its own words."""

    def __init__(self, message: str, status: int, told: str) -> None:
        super().__init__(message)
        self.status = status
        self.told = told


class TooLongError(RefusedError):
    """The request is longer than the server's model takes; a shorter one may be answered."""


class Endpoint:
    """One server. Calls may come from any number of threads.

    Nothing but the server is connected to: redirects are not followed, and a server on this machine is not asked
    through a proxy. A server that says it is busy is asked again when it says, or after a growing pause.

    Args:
        base_url: with its ``/v1``.
        key: sent as a bearer token; None sends none.
        timeout: seconds until an answer must be there.
        patience: seconds that one request may wait, all in all, for a server that is busy.
    """

    def __init__(self, base_url: str, key: str | None, *, timeout: float = 600, patience: float = 120) -> None:
        import httpx

        self.url, self.timeout = base_url.rstrip("/"), timeout
        self._key, self._patience = key, patience
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(timeout, connect=min(timeout, 10)),
            limits=httpx.Limits(max_connections=None),
            follow_redirects=False,
            trust_env=not is_loopback(urlsplit(base_url).hostname),
        )

    def get(self, path: str) -> Any:
        """The JSON document at a path below the base URL; see ``post``."""
        return self._json("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON document that the server answers ``body`` with.

        Raises:
            RefusedError: the server answers with an error.
            ElsewhereError: it cannot be reached, does not answer in time, stays busy, or answers with what is no JSON.
        """
        return self._json("POST", path, body)

    def _json(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        response = self._response(method, path, body)
        if not response.is_success:
            raise self.refused(response, path)
        try:
            return response.json()
        except ValueError as error:
            raise self.malformed(path, response.text) from error

    def malformed(self, path: str, what: object) -> ElsewhereError:
        """What to raise for an answer that is not of the protocol."""
        shown = json.dumps(what) if not isinstance(what, str) else what
        return ElsewhereError(
            f"The server at {self.url} (llm.base_url) answered {path} with what OpenAI's protocol does not have: "
            f"{shown[:200]!r}. Check that the address is that of the API, which ends in /v1 as a rule."
        )

    def _response(self, method: str, path: str, body: dict[str, Any] | None) -> "httpx.Response":
        """The first answer that is no "later", asked for again for as long as the patience lasts."""
        end, tries = time.monotonic() + self._patience, 0
        while True:
            response = self._once(method, path, body)
            if response.status_code not in _LATER:
                return response
            pause = _retry_after(response.headers.get("Retry-After"))
            if pause is None:
                pause = min(30, 2**tries * random.uniform(0.5, 1))
            if time.monotonic() + pause > end:
                return response
            time.sleep(pause)
            tries += 1

    def _once(self, method: str, path: str, body: dict[str, Any] | None) -> "httpx.Response":
        """The answer to one request, which is sent again if its connection broke.

        A server may close an idle connection in the moment in which it is used again (RFC 9112, 9.3.1), and a
        completion that was asked for twice changes nothing there.
        """
        import httpx

        try:
            try:
                return self._client.request(method, self.url + path, json=body)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                return self._client.request(method, self.url + path, json=body)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise self.unreachable(error) from error
        except httpx.TimeoutException as error:
            raise self.late() from error
        except (httpx.TransportError, httpx.InvalidURL, httpx.DecodingError) as error:
            raise ElsewhereError(
                f"The connection to the server at {self.url} (llm.base_url) broke: {_reason(error)}. Look at its log, "
                "and try again."
            ) from error

    def unreachable(self, error: BaseException) -> ElsewhereError:
        """What to raise where no connection can be made."""
        return ElsewhereError(
            f"No server can be reached at {self.url} (llm.base_url): {_reason(error)}. Start it, or correct "
            "the address."
        )

    def late(self) -> ElsewhereError:
        """What to raise where there is no answer in time."""
        return ElsewhereError(
            f"The server at {self.url} (llm.base_url) did not answer within {self.timeout:g} seconds. Look at its log; "
            "a smaller llm.concurrency asks less of it at once."
        )

    def refused(self, response: "httpx.Response", path: str) -> RefusedError:
        """What to raise for an answer whose status is no success."""
        status, told = response.status_code, _told(response)
        if status not in (401, 403, 404, *_LATER) and any(words in told.lower() for words in _TOO_LONG):
            return TooLongError(
                f"The prompt is longer than the model at {self.url} takes. It says: {told} Set llm.window to what it "
                "takes, so that prompts are shortened to it.",
                status,
                told,
            )
        server = f"The server at {self.url} (llm.base_url)"
        said = f" It says: {told}" if told else ""
        if status in (401, 403):
            sent = (
                f"refuses the key in {KEY}" if self._key else f"wants a key: put it into the environment variable {KEY}"
            )
            message = f"{server} {sent}.{said}"
        elif status == 429:
            message = f"{server} is too busy: it still said so after {self._patience:g} seconds.{said} Try again later."
        elif status == 404:
            message = f"{server} answered {path} with 404, not found.{said} Check llm.base_url and llm.model."
        elif 300 <= status < 400:
            where = response.headers.get("Location", "another address")
            message = f"{server} points to {where}, and is not followed. If that is right, set llm.base_url to it."
        elif status >= 500:
            message = f"{server} failed with status {status}.{said} Look at its log, and try again."
        else:
            message = f"{server} refuses the request with status {status}.{said}"
        return RefusedError(message, status, told)


def _retry_after(header: str | None) -> float | None:
    """Seconds from a ``Retry-After`` header, which has a number or a date (RFC 9110, 10.2.3); None if it is no wait."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except ValueError:
            return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def _told(response: "httpx.Response") -> str:
    """The server's own words about an error, on one line."""
    try:
        body = response.json()
    except ValueError:
        body = response.text
    for key in ("error", "message", "detail"):  # {"error": {"message": ...}} and the forms that other servers have
        if isinstance(body, dict) and key in body:
            body = body[key]
    return " ".join((body if isinstance(body, str) else json.dumps(body)).split())[:300]


def _reason(error: BaseException) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__
