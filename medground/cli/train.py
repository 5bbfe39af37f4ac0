"""``medground train ...``: teach a model."""

from pathlib import Path
from typing import Annotated

import typer

from medground.cli import options
from medground.cli.app import app

train = typer.Typer(help="Train a model.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(train, name="train")


@train.command()
def tiny(
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="Where the model and checkpoints go.")],
    quiet: options.Quiet = False,
) -> None:
    """Train medground-tiny again from scratch on generated text."""
    from finetune.tiny.train import train_tiny

    train_tiny(output, quiet=quiet)
