"""``medground merge``: an adapter folded into its base."""

from pathlib import Path
from typing import Annotated

import typer

from medground.cli import options
from medground.cli.app import app


@app.command()
def merge(
    adapter: Annotated[str, typer.Argument(metavar="ADAPTER", help="Folder or hub id of the adapter.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Where the merged model goes; a new or empty folder.")],
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    data: options.PairData = None,
    split: options.PairSplit = None,
    limit: options.Limit = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fold an adapter into its base, and compare the two.

    The base is the language model of the settings in 16 or 32 bits, else the one that the adapter names. Merged and
    attached must then judge the pairs alike, or the command fails; the figures stand in OUT/merge.json.
    """
    settings = options.make_settings(config, overrides, data=data, split=split, limit=limit, section="pairs")
    from corpus.nli import load_pairs
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
