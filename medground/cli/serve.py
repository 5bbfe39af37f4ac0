"""``medground serve``: an HTTP service that OpenAI's clients know, and a page."""

from typing import Annotated

import typer

from medground.cli import options
from medground.cli.app import app
from medground.cli.show import say

Host = Annotated[str | None, typer.Option("--host", metavar="ADDRESS", help="Where to listen; else serve.host.")]
Port = Annotated[
    int | None,
    typer.Option("--port", metavar="N", min=0, max=65535, help="Else serve.port (8000); 0 takes a free one."),
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

    Clients of OpenAI's API can talk with it at /v1; a browser finds a page at /. It listens on this machine only,
    unless --host names another address, which needs tokens (serve.tokens_file).
    """
    named = {"serve.host": host, "serve.port": port}
    stated = [f"{key}={value}" for key, value in named.items() if value is not None]
    settings = options.make_settings(config, [*(overrides or []), *stated], data=data)
    from medground.corpora import searched_corpus
    from medground.pipeline import Pipeline
    from medground.service import run

    corpus = searched_corpus(settings, data_named=data is not None)
    if note := Pipeline.from_settings(settings, corpus).note:
        say(note)
    run.serve(settings, corpus, quiet=quiet)
