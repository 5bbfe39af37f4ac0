"""Middleware of the service: origin and size checks, security headers, request log and metrics."""

import asyncio
import json
import logging
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from medground.service.metrics import Metrics
from medground.service.protocol import error_body

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("medground.service")

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_METHODS = (*SAFE_METHODS, "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT")
_POLICY = b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_PAGE_POLICY = _POLICY + b"; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; font-src 'self'"
# A response's own headers take precedence, such as the caching of the page's files.
HEADERS = (
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
_PORTS = {"http": ":80", "https": ":443"}


class ServiceMiddleware:
    """ASGI middleware around the whole application.

    Args:
        app: the application.
        metrics: counts every request.
        max_body: maximum bytes of a request's body; longer ones get status 413.
        scheme: of the service's own origin, ``http`` or ``https``.
        closing: whether the service is shutting down; each connection is then closed after its response.
    """

    def __init__(
        self, app: "ASGIApp", *, metrics: Metrics, max_body: int, scheme: str, closing: Callable[[], bool]
    ) -> None:
        self._app, self._metrics, self._max_body = app, metrics, max_body
        self._scheme, self._closing = scheme, closing
        self._too_long = f"The request is longer than {max_body} bytes (serve.max_body)."

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Check a request and pass it on or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        started, status, read = time.monotonic(), 0, 0
        headers: dict[bytes, bytes] = dict(scope["headers"])

        async def limited() -> "Message":
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._max_body:
                raise HTTPException(413, self._too_long, {"Connection": "close"})
            return message

        async def completed(message: "Message") -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = list(message.get("headers", ()))
                if scope["path"] == "/":
                    given.append((b"content-security-policy", _PAGE_POLICY))
                names = {name for name, _ in given}
                given += [pair for pair in HEADERS if pair[0] not in names]
                if self._closing() and b"connection" not in names:
                    given.append((b"connection", b"close"))
                message["headers"] = given
            await send(message)

        try:
            refused = self._refusal(scope, headers)
            if refused is None:
                await self._app(scope, limited, completed)
            else:
                if b"expect" not in headers:
                    await _discard(receive, 8 * self._max_body)
                await _refuse(completed, *refused)
        except ClientDisconnect:
            status = status or 499
        except Exception as error:
            log_failure(error)
            if not status:
                await _refuse(completed, 500, "The service failed; its log has the details.")
        finally:
            seconds = time.monotonic() - started
            path = getattr(scope.get("route"), "path", None) or "other"
            method = scope["method"] if scope["method"] in _METHODS else "OTHER"
            self._metrics.request(path, status, seconds)
            log.info("%s %s %d %.0f ms", method, path, status, 1000 * seconds)

    def _refusal(self, scope: "Scope", headers: dict[bytes, bytes]) -> tuple[int, str] | None:
        """Status and message of a rejected request; None if it is accepted."""
        origin = headers.get(b"origin")
        if origin is not None and not self._is_own(origin, headers.get(b"host", b"")):
            return 403, (
                "The request comes from a page of another origin. If this is the service's own page, configure the "
                "proxy to pass the Host header, and set serve.tls to true if clients use https."
            )
        site = headers.get(b"sec-fetch-site", b"none")
        if site not in (b"same-origin", b"none") and not _follows_link(scope, headers):
            return 403, "The request comes from a page of another site."
        if b"websocket" in headers.get(b"upgrade", b"").lower():
            return 400, "The service has no WebSocket routes."
        if int(headers.get(b"content-length", b"0")) > self._max_body:
            return 413, self._too_long
        return None

    def _is_own(self, origin: bytes, host: bytes) -> bool:
        """Whether an ``Origin`` header names the address that the request was sent to."""
        default = _PORTS[self._scheme]
        own = host.decode("latin-1").lower().removesuffix(default)
        return origin.decode("latin-1").lower().removesuffix(default) == f"{self._scheme}://{own}"


def log_failure(error: BaseException) -> None:
    """Log an error's type and traceback, but not its message, which may quote a user's text."""
    log.error("%s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))


def _follows_link(scope: "Scope", headers: dict[bytes, bytes]) -> bool:
    """Whether the user followed another site's link to the page."""
    return (
        scope["method"] == "GET"
        and scope["path"] == "/"
        and headers.get(b"sec-fetch-mode") == b"navigate"
        and headers.get(b"sec-fetch-dest", b"document") == b"document"
    )


async def _discard(receive: "Receive", most: int) -> None:
    """Read up to ``most`` bytes of a body: closing a connection with unread data would reset it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            while most > 0:
                message = await receive()
                most -= len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body"):
                    return


async def _refuse(send: "Send", status: int, message: str) -> None:
    body = json.dumps(error_body(message, "invalid_request_error" if status < 500 else "server_error")).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})
