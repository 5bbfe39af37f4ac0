"""uvicorn, with an end that lets requests finish."""

import math
import signal
import socket
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from medground.service.service import Service

if TYPE_CHECKING:
    from fastapi import FastAPI


def make_server(app: "FastAPI", service: Service) -> "Server":
    """The server of an application, to be run on a socket that is listened at already."""
    config = uvicorn.Config(
        app,
        access_log=False,  # Gate writes the log
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=max(1, math.ceil(service.config.grace)),
    )
    return Server(config, service)


class Server(uvicorn.Server):
    """Ends on SIGTERM with status 0, on SIGINT as Python does; either way when the requests taken in are answered."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end."""
        if sig == signal.SIGTERM:
            self.should_exit = True  # uvicorn would send itself the signal again in the end
        else:
            super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take nothing in any more, then wait as uvicorn does."""
        self._service.close()
        await super().shutdown(sockets)
