"""Start of ``medground serve``: package check, socket, models and server."""

import logging
import os
import socket
import sys
from collections.abc import Callable
from importlib.util import find_spec
from threading import Timer
from typing import TYPE_CHECKING

from common.cpu import usable_cores
from common.errors import UserError

if TYPE_CHECKING:
    from medground.pipeline import Pipeline
    from medground.service.service import Service


def check_installed() -> None:
    """Raise ``UserError`` if a package of the extra ``serve`` is not installed."""
    for name in ("fastapi", "itsdangerous", "prometheus_client", "uvicorn"):
        if find_spec(name) is None:
            raise UserError(f"medground serve needs {name}, which is not installed: pip install 'medground[serve]'.")


def make_service(pipeline: "Pipeline") -> "Service":
    """The service with its models loaded, for ``make_app``."""
    from medground.service.service import Service
    from medground.service.users import load_users

    settings = pipeline.settings
    users = load_users(settings.serve, settings.chat.user)
    config = settings.serve
    if settings.agent.kind != "off":  # an agent answers one by one: all questions of a batch would wait for the last
        config = config.model_copy(update={"batch": 1})
    service = Service(config, users, pipeline.about, pipeline.note)
    if pipeline.judge_unavailable_reason is not None:
        service.checker_unavailable_reason = pipeline.judge_unavailable_reason
    elif settings.chain.context != "retrieved":
        service.checker_unavailable_reason = (
            f"Statements are checked by searching, and chain.context is {settings.chain.context}."
        )
    else:  # made first: it loads nli.adapter, which the chat's model must then disable
        service.checker = service.batcher.share(pipeline.checker().check_all)
    service.chat = pipeline.chat(service.batcher.share)
    return service


def serve(pipeline: "Pipeline") -> None:
    """Serve until SIGINT or SIGTERM; admitted requests then have ``serve.grace`` seconds to end.

    A model may work on for twice that time, or for 2 seconds if that is longer. Then the process ends with status 1.
    """
    check_installed()
    config = pipeline.settings.serve
    # Concurrent batches divide the cores between them; PyTorch reads the variable on import.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // config.passes)))
    listener = _listen(config.host, config.port)
    os.umask(0o077)  # only the owner may read the files that this process creates: store, conversations, traces
    with listener:
        service = make_service(pipeline)
        from medground.service.app import make_app
        from medground.service.server import make_server

        app = make_app(service)
        if config.page:
            from medground.service.static import add_page

            add_page(app)
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
        for name in ("httpx", "uvicorn.error"):
            logging.getLogger(name).setLevel(logging.WARNING)
        sys.stderr.write(f"Serving at {_address(listener)}; stop with Ctrl-C.\n")
        service.on_close = _exit_timer(2 * max(1.0, config.grace))
        make_server(app, service).run(sockets=[listener])


def _exit_timer(seconds: float) -> Callable[[], None]:
    """A function that starts a timer which ends the process: a thread that runs a model cannot be stopped."""

    def end() -> None:
        sys.stderr.write(f"A model was still working {seconds:g} seconds after the stop; its answers are lost.\n")
        sys.stderr.flush()
        os._exit(1)

    timer = Timer(seconds, end)
    timer.daemon = True
    return timer.start


def _listen(host: str, port: int) -> socket.socket:
    address = host.strip("[]")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        if not address:  # for Python, the empty name means all addresses
            raise ValueError("the address is empty")
        return socket.create_server((address, port), family=family, backlog=2048)
    except (OSError, ValueError, TypeError) as error:  # TypeError: a null character, or a name that IDNA cannot encode
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UserError(f"Cannot listen at {host}:{port}: {reason}. Set serve.host or serve.port.") from error


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
