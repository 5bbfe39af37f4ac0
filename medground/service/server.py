"""uvicorn with limits on connections and receiving requests, and a graceful shutdown.

uvicorn runs in this process on an already bound socket and finishes requests on shutdown. None of uvicorn 0.54,
hypercorn 0.18 and granian 2.8 limits half-sent requests as needed: uvicorn has no timeout for them; hypercorn's
``read_timeout`` starts again with each byte; granian's ``header_read_timeout`` ends with the headers; none bounds the
number of connections. ``Connection`` adds to uvicorn's h11 protocol a maximum number of connections, and a timeout
each for receiving a request and for sending a response.
"""

import asyncio
import math
import resource
import signal
import socket
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol
from uvicorn.server import ServerState

from medground.service.middleware import HEADERS, refusal
from medground.service.service import Service

if TYPE_CHECKING:
    from fastapi import FastAPI

BACKLOG = 2048  # connections that the operating system queues until asyncio accepts them
_ACCEPTED_AT_ONCE = 64  # connections that asyncio accepts in one go; each needs a file descriptor


def make_server(app: "FastAPI", service: Service, *, quiet_seconds: float = 0.5) -> "Server":
    """The server of an application, for sockets that are already bound.

    Args:
        app: the application.
        service: its models, users and limits.
        quiet_seconds: time without a request after which a shutting-down server stops listening.
    """
    config = uvicorn.Config(
        app,
        loop="asyncio",  # uvloop would accept the whole backlog before it closes any connection
        http=Connection,
        ws="none",
        backlog=_ACCEPTED_AT_ONCE,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=service.config.tls,
        timeout_graceful_shutdown=max(1, math.ceil(service.config.grace)),
    )
    return Server(config, service, quiet_seconds)


class State(ServerState):
    """uvicorn's state, with the limits of the service.

    Attributes:
        max_connections: maximum number of open connections.
        timeout: seconds for receiving a request, and for sending a response.
        idle: connections that wait for a request or receive one, the longest idle first.
    """

    def __init__(self, max_connections: int, timeout: float) -> None:
        super().__init__()
        self.max_connections, self.timeout = max_connections, timeout
        self.idle: dict[Connection, None] = {}


class Connection(H11Protocol):
    """A connection with timeouts for receiving a request and for sending the response."""

    server_state: State

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.access_log = False  # ServiceMiddleware logs without the query string, which may contain a user's text
        self._receive_timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request; if there are too many connections, close the longest idle one."""
        super().connection_made(transport)
        # Without TCP_NODELAY a body waits 40 ms for an ACK; asyncio sets it only for sockets with an explicit protocol.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        state = self.server_state
        if len(self.connections) > state.max_connections:
            longest_idle = next(iter(state.idle), None)
            if longest_idle is None:
                self._refuse(503, "The service has too many connections (serve.connections).")
                return
            longest_idle.drop()
        state.idle[self] = None
        self._receive_timer = self.loop.call_later(state.timeout, self._refuse_slow_request)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers."""
        self._stop_receiving()
        self._stop_send_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived."""
        if self._receive_timer is None:
            self._receive_timer = self.loop.call_later(self.server_state.timeout, self._refuse_slow_request)
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):  # the request is complete
            self._stop_receiving()

    def on_response_complete(self) -> None:
        """Mark the connection as idle until the next request."""
        super().on_response_complete()
        if not self.transport.is_closing() and self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self.server_state.idle.setdefault(self)

    def pause_writing(self) -> None:
        """Start the timeout for sending."""
        super().pause_writing()
        self._stop_send_timer()
        self._send_timer = self.loop.call_later(self.server_state.timeout, self.drop)

    def resume_writing(self) -> None:
        """Stop the timeout for sending."""
        super().resume_writing()
        self._stop_send_timer()

    def send_400_response(self, msg: str) -> None:
        """Reject a malformed request; uvicorn's version lacks security headers and fails if a response has begun."""
        self._refuse(400, msg)

    def drop(self) -> None:
        """Close the connection immediately."""
        self.server_state.idle.pop(self, None)
        self.transport.abort()

    def _should_upgrade(self) -> bool:
        return False  # ServiceMiddleware rejects WebSockets; other upgrades may be ignored

    def _stop_receiving(self) -> None:
        self.server_state.idle.pop(self, None)
        if self._receive_timer is not None:
            self._receive_timer.cancel()
            self._receive_timer = None

    def _stop_send_timer(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def _refuse_slow_request(self) -> None:
        seconds = f"{self.server_state.timeout:g}"
        self._refuse(408, f"The request did not arrive within {seconds} seconds (serve.receive_timeout).")

    def _refuse(self, status: int, message: str) -> None:
        """Send an error, unless a response has begun, and close."""
        self._stop_receiving()
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers, body = refusal(status, message)
            start = h11.Response(status_code=status, headers=[*headers, *HEADERS], reason=STATUS_PHRASES[status])
            with suppress(h11.LocalProtocolError):  # a response to HEAD has no body
                for event in (start, h11.Data(data=body), h11.EndOfMessage()):
                    self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class Server(uvicorn.Server):
    """Finishes the admitted requests and exits: after SIGTERM with status 0, after SIGINT as Python does."""

    def __init__(self, config: uvicorn.Config, service: Service, quiet_seconds: float) -> None:
        super().__init__(config)
        self._service, self._quiet_seconds = service, quiet_seconds
        self.server_state = State(
            # Each connection counts towards the process's soft limit on open files.
            min(service.config.connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2),
            service.config.receive_timeout,
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to shut down."""
        if sig == signal.SIGTERM:
            self.should_exit = True  # uvicorn would re-raise the signal at the end
        else:
            super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start with a short backlog, so that asyncio accepts few connections at once, then lengthen it."""
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(BACKLOG)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Reject new requests with status 503 until none comes for ``quiet_seconds``, then end as uvicorn does.

        Closing the socket earlier would reset connections that are not yet accepted.
        """
        self._service.close()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (self.config.timeout_graceful_shutdown or 0)
        requests, last_request = self.server_state.total_requests, loop.time()
        while loop.time() < min(deadline, last_request + self._quiet_seconds) and not self.force_exit:
            await asyncio.sleep(0.05)
            if self.server_state.tasks or requests != self.server_state.total_requests:
                requests, last_request = self.server_state.total_requests, loop.time()
        await super().shutdown(sockets)
