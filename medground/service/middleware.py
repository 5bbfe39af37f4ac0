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

from medground.service.metrics import Metrics
from medground.service.protocol import error_body

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("medground.service")

FAILURE_MESSAGE = "The service failed; its log has the details."
CLIENT_CLOSED_REQUEST = 499  # status, in the log and the metrics, of a request whose client disconnected
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_METHODS = (*SAFE_METHODS, "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT")
_POLICY = b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_PAGE_POLICY = _POLICY + b"; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; font-src 'self'"
# Each is added to a response unless its route has set it; the page's files set their own cache-control.
HEADERS = (
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class ServiceMiddleware:
    """ASGI middleware around the whole application.

    Args:
        app: the application.
        metrics: counts every request.
        max_body: maximum number of bytes of a request's body; a longer one gets status 413.
        scheme: ``http`` or ``https``, by which clients reach the service.
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
        started, status, received = time.monotonic(), 0, 0
        request_headers: dict[bytes, bytes] = dict(scope["headers"])
        # HEAD is passed on as GET, since FastAPI's GET routes refuse HEAD. The server leaves out the response's body.
        app_scope = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope

        async def receive_limited() -> "Message":
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_body:
                raise HTTPException(413, self._too_long, {"Connection": "close"})
            return message

        async def send_with_headers(message: "Message") -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message.get("headers", ()))
                if scope["path"] == "/":
                    headers.append((b"content-security-policy", _PAGE_POLICY))
                names = {name for name, _ in headers}
                headers += [(name, value) for name, value in HEADERS if name not in names]
                if self._closing() and b"connection" not in names:
                    headers.append((b"connection", b"close"))
                message["headers"] = headers
            await send(message)

        try:
            problem = self._problem(scope, request_headers)
            if problem is None:
                await self._app(app_scope, receive_limited, send_with_headers)
            else:
                if b"expect" not in request_headers:  # with it, uvicorn would ask for the body
                    await _discard(receive, 8 * self._max_body)
                await _refuse(send_with_headers, *problem)
        except Exception as error:
            log_failure(error)
            if not status:
                await _refuse(send_with_headers, 500, FAILURE_MESSAGE)
        finally:
            seconds = time.monotonic() - started
            path = getattr(app_scope.get("route"), "path", None) or "other"
            method = scope["method"] if scope["method"] in _METHODS else "OTHER"
            self._metrics.request(path, status, seconds)
            log.info("%s %s %d %.0f ms", method, path, status, 1000 * seconds)

    def _problem(self, scope: "Scope", headers: dict[bytes, bytes]) -> tuple[int, str] | None:
        """Status and message for a request that must be rejected; None for one that is accepted."""
        origin = headers.get(b"origin")
        if origin is not None and not self._is_own_origin(origin, headers.get(b"host", b"")):
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

    def _is_own_origin(self, origin: bytes, host: bytes) -> bool:
        """Whether an ``Origin`` header names the address that the request was sent to."""
        port = _DEFAULT_PORTS[self._scheme]
        address = host.decode("latin-1").lower().removesuffix(port)
        return origin.decode("latin-1").lower().removesuffix(port) == f"{self._scheme}://{address}"


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


async def _discard(receive: "Receive", max_bytes: int) -> None:
    """Read up to ``max_bytes`` of a body for at most one second: closing a connection with unread data resets it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            while max_bytes > 0:
                message = await receive()
                max_bytes -= len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body"):
                    return


def refusal(status: int, message: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of an error after which the connection is closed."""
    body = json.dumps(error_body(status, message)).encode()
    length = str(len(body)).encode()
    return [(b"content-type", b"application/json"), (b"content-length", length), (b"connection", b"close")], body


async def _refuse(send: "Send", status: int, message: str) -> None:
    headers, body = refusal(status, message)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
