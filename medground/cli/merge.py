"""``medground merge``: merge an adapter into its base."""

from pathlib import Path
from typing import Annotated

import typer

from medground.cli import options
from medground.cli.app import app


@app.command()
def merge(
    adapter: Annotated[str, typer.Argument(metavar="ADAPTER", help="Folder or hub id of the adapter.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the merged model; new or empty.")],
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    data: options.PairData = None,
    split: options.PairSplit = None,
    limit: options.Limit = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Merge an adapter into its base, and compare the merged model with both.

    The base is the language model of the settings in 16 or 32 bits, or else the one that the adapter names. The command
    fails if the merged model and the adapter classify the pairs differently; OUT/merge.json has the figures.
    """
    settings = options.make_settings(config, overrides, data=data, split=split, limit=limit, section="pairs")
    from corpus.inference.pairs import load_pairs
    from finetune.merge import REPORT
    from finetune.merge import merge as merge_adapter

    pairs = load_pairs(settings.pairs)
    report = merge_adapter(
        adapter,
        out,
        llm=settings.llm,
        pairs=pairs.pairs,
        labels=pairs.labels,
        prompt_family=settings.prompt.family,
        quiet=quiet,
    )
    typer.echo((out / REPORT).read_text(encoding="utf-8") if as_json else report.text(), nl=not as_json)
    report.check()
