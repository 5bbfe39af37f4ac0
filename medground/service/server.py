"""uvicorn with limits on connections and receiving requests, and a graceful shutdown.

uvicorn runs in this process on an already bound socket and finishes requests on shutdown. None of uvicorn 0.54,
hypercorn 0.18 and granian 2.8 limits half-sent requests as needed: uvicorn has no timeout for them; hypercorn's
``read_timeout`` starts again with each byte; granian's ``header_read_timeout`` ends with the headers; none bounds the
number of connections. ``Connection`` adds the three limits to uvicorn's h11 protocol.
"""

import asyncio
import json
import math
import signal
import socket
import sys
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol
from uvicorn.server import ServerState

from medground.service.middleware import HEADERS
from medground.service.protocol import error_body
from medground.service.service import Service

if TYPE_CHECKING:
    from fastapi import FastAPI

BACKLOG = 2048
_ACCEPTED = 64  # connections that asyncio accepts at once; each needs a file descriptor


def make_server(app: "FastAPI", service: Service, *, quiet: float = 0.5) -> "Server":
    """The server of an application, for sockets that are already bound.

    Args:
        app: the application.
        service: its models, users and limits.
        quiet: seconds without a request after which a shutting-down server stops listening.
    """
    config = uvicorn.Config(
        app,
        loop="asyncio",  # uvloop would accept the whole backlog before it closes any connection
        http=Connection,
        ws="none",
        backlog=_ACCEPTED,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=service.config.tls,
        timeout_graceful_shutdown=max(1, math.ceil(service.config.grace)),
    )
    return Server(config, service, quiet)


class State(ServerState):
    """uvicorn's state, with the idle connections in ``waiting``, the longest idle first."""

    def __init__(self, most: int, timeout: float) -> None:
        super().__init__()
        self.most, self.timeout = most, timeout
        self.waiting: dict[Connection, None] = {}


class Connection(H11Protocol):
    """A connection with timeouts for receiving a request and for sending the response."""

    server_state: State

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.access_log = False  # ServiceMiddleware logs without the query string, which may contain a user's text
        self._receiving: asyncio.TimerHandle | None = None
        self._sending: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request; if there are too many connections, close the longest idle one."""
        super().connection_made(transport)
        # asyncio sets this only for sockets with an explicit protocol; without it a body waits 40 ms for an ACK.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        state = self.server_state
        if len(self.connections) > state.most:
            longest = next(iter(state.waiting), None)
            if longest is None:  # none is idle
                self._refuse(503, "The service has too many connections (serve.connections).")
                return
            longest.drop()
        state.waiting[self] = None
        self._receiving = self.loop.call_later(state.timeout, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers."""
        self._received()
        self._stop_sending_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived."""
        if self._receiving is None:
            self._receiving = self.loop.call_later(self.server_state.timeout, self._too_slow)
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):  # the request is complete
            self._received()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        if not self.transport.is_closing() and self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self.server_state.waiting.setdefault(self)

    def pause_writing(self) -> None:
        """Start the timeout for sending."""
        super().pause_writing()
        self._stop_sending_timer()
        self._sending = self.loop.call_later(self.server_state.timeout, self.drop)

    def resume_writing(self) -> None:
        """Stop the timeout for sending."""
        super().resume_writing()
        self._stop_sending_timer()

    def send_400_response(self, msg: str) -> None:
        """Reject a malformed request; uvicorn's version lacks security headers and fails if a response has begun."""
        self._refuse(400, msg)

    def drop(self) -> None:
        """Close the connection immediately."""
        self.server_state.waiting.pop(self, None)
        self.transport.abort()

    def _should_upgrade(self) -> bool:
        return False  # ServiceMiddleware rejects WebSockets; other upgrades may be ignored

    def _received(self) -> None:
        self.server_state.waiting.pop(self, None)
        if self._receiving is not None:
            self._receiving.cancel()
            self._receiving = None

    def _stop_sending_timer(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None

    def _too_slow(self) -> None:
        seconds = f"{self.server_state.timeout:g}"
        self._refuse(408, f"The request did not arrive within {seconds} seconds (serve.receive_timeout).")

    def _refuse(self, status: int, message: str) -> None:
        """Send an error, unless a response has begun, and close."""
        self._received()
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = json.dumps(error_body(message, "invalid_request_error" if status < 500 else "server_error")).encode()
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *HEADERS]
            start = h11.Response(
                status_code=status, headers=[*headers, (b"connection", b"close")], reason=STATUS_PHRASES[status]
            )
            with suppress(h11.LocalProtocolError):  # a response to HEAD has no body
                for event in (start, h11.Data(data=body), h11.EndOfMessage()):
                    self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class Server(uvicorn.Server):
    """Exits after the admitted requests: on SIGTERM with status 0, on SIGINT like Python."""

    def __init__(self, config: uvicorn.Config, service: Service, quiet: float) -> None:
        super().__init__(config)
        self._service, self._quiet = service, quiet
        self.server_state = State(min(service.config.connections, _descriptors() // 2), service.config.receive_timeout)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to shut down."""
        if sig == signal.SIGTERM:
            self.should_exit = True  # uvicorn would re-raise the signal at the end
        else:
            super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start with a short backlog, which limits how many connections asyncio accepts at once, then lengthen it."""
        await super().startup(sockets)
        for listening in sockets or ():
            listening.listen(BACKLOG)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Reject new requests with status 503, stop listening after a while without any, then end as uvicorn does.

        Closing the socket earlier would reset connections that are not yet accepted.
        """
        self._service.close()
        loop = asyncio.get_running_loop()
        end = loop.time() + (self.config.timeout_graceful_shutdown or 0)
        answered, quiet = self.server_state.total_requests, loop.time()
        while loop.time() < min(end, quiet + self._quiet) and not self.force_exit:
            await asyncio.sleep(0.05)
            if self.server_state.tasks or answered != self.server_state.total_requests:
                answered, quiet = self.server_state.total_requests, loop.time()
        await super().shutdown(sockets)


def _descriptors() -> int:
    """The maximum number of open files and connections of the process."""
    if sys.platform == "win32":
        return 2048
    import resource

    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
