"""``medground serve``: an HTTP service with OpenAI's API and a chat page."""

from typing import Annotated

import typer

from medground.cli import options
from medground.cli.app import app
from medground.cli.show import print_err

Host = Annotated[
    str | None, typer.Option("--host", metavar="ADDRESS", help="Address to listen at; default: serve.host.")
]
Port = Annotated[
    int | None,
    typer.Option(
        "--port", metavar="N", min=0, max=65535, help="Port to listen at, 0 for a free one; default: serve.port (8000)."
    ),
]


@app.command()
def serve(
    host: Host = None,
    port: Port = None,
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    data: options.Data = None,
    quiet: options.Quiet = False,
) -> None:
    """Serve conversations over HTTP.

    OpenAI's API is at /v1, a page for browsers at /. The service listens on this machine only, unless --host names
    another address, which needs tokens (serve.tokens_file).
    """
    address = {"serve.host": host, "serve.port": port}
    settings = options.make_settings(config, overrides, data=data, other_options=address)
    from medground.service import run

    pipeline = options.make_pipeline(settings, data, quiet)
    print_err(pipeline.note)
    run.serve(pipeline)
