"""``medground index``: put documents or records into the store."""

from pathlib import Path
from typing import Annotated

import typer

from medground.cli import options
from medground.cli.app import app
from medground.cli.show import print_json, say


@app.command()
def index(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", show_default=False, help="Text files (.txt, .md) or folders of them."),
    ] = None,
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    data: options.Data = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Put documents into the store.

    Without PATH it is the data's abstracts that are embedded. What is stored already is not embedded again, so
    a run that was stopped goes on where it was.
    """
    if paths and data is not None:
        raise typer.BadParameter("give files to index or --data, not both", param_hint="PATH")
    settings = options.make_settings(config, overrides, data=data)
    from medground.assemble import make_retrievers
    from medground.corpora import add_documents, data_corpus

    corpus = add_documents(settings, paths, say=say) if paths else data_corpus(settings)
    make_retrievers(settings, corpus, list(settings.retrievers), quiet=quiet)
    if as_json:
        print_json({"corpus": corpus.name, "passages": len(corpus.passages), "retrievers": list(settings.retrievers)})
    else:
        names = ", ".join(settings.retrievers)
        typer.echo(f"{len(corpus.passages)} passages of {corpus.name} are ready for {names} in {settings.store.path}")
