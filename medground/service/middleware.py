"""What every request passes through: whose address it was sent to, how long it may be, the log and the counts."""

import json
import logging
import time
import traceback
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from common.privacy import is_loopback
from medground.service.metrics import Metrics
from medground.service.protocol import error_body

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("medground.service")
# The page needs its own inline scripts and styles; nothing may come from, or go to, anywhere else.
_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'none'; base-uri 'self'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class Gate:
    """ASGI middleware around the whole application.

    Args:
        app: what is inside.
        metrics: is told of every request.
        max_body: bytes of a request's body; longer ones get status 413.
        local_only: requests must name this machine in ``Host``. Without tokens a page of another site could otherwise
            reach the service under a name of its own that it lets mean 127.0.0.1 (DNS rebinding).
    """

    def __init__(self, app: "ASGIApp", *, metrics: Metrics, max_body: int, local_only: bool) -> None:
        self._app, self._metrics, self._max_body, self._local_only = app, metrics, max_body, local_only
        self._too_long = f"The request is longer than {max_body} bytes (serve.max_body)."

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # nothing here is a WebSocket
        started, status, read = time.monotonic(), 0, 0
        headers = dict(scope["headers"])

        async def limited() -> "Message":
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._max_body:
                raise HTTPException(413, self._too_long)
            return message

        async def noted(message: "Message") -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = {name for name, _ in message.get("headers", ())}
                message["headers"] = [*message.get("headers", ()), *(pair for pair in _HEADERS if pair[0] not in own)]
            await send(message)

        try:
            if self._local_only and not is_loopback(_host(headers.get(b"host", b""))):
                await _refuse(noted, 403, "Without tokens this service answers to localhost and 127.0.0.1 only.")
            elif int(headers.get(b"content-length", b"0")) > self._max_body:
                await _refuse(noted, 413, self._too_long)
            else:
                await self._app(scope, limited, noted)
        except Exception as error:
            log_failure(error)
            if not status:
                await _refuse(noted, 500, "The service failed; its log says where.")
        finally:
            seconds = time.monotonic() - started
            path = getattr(scope.get("route"), "path", None) or "other"
            self._metrics.request(path, status, seconds)
            log.info("%s %s %d %.0f ms", scope["method"], path, status, 1000 * seconds)


def log_failure(error: BaseException) -> None:
    """Write an error to the log with its place and without its message, which may quote a text."""
    log.error("%s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))


def _host(header: bytes) -> str:
    """The name in a ``Host`` header, without the port."""
    text = header.decode("latin-1")
    return text.partition("]")[0] + "]" if text.startswith("[") else text.partition(":")[0]


async def _refuse(send: "Send", status: int, message: str) -> None:
    body = json.dumps(error_body(message, "invalid_request_error" if status < 500 else "server_error")).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})
