"""``medground train ...``: teach a model."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from medground.cli import options
from medground.cli.app import app

train = typer.Typer(help="Train a model.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(train, name="train")


Output = Annotated[Path, typer.Option("--output", metavar="DIR", help="Where the result and its checkpoints go.")]


@train.command()
def tiny(
    output: Output,
    quiet: options.Quiet = False,
) -> None:
    """Train medground-tiny again from scratch on generated text."""
    from finetune.tiny.train import train_tiny

    train_tiny(output, quiet=quiet)


@train.command()
def qlora(
    output: Output,
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    data: options.PairData = None,
    limit: options.Limit = None,
    quiet: options.Quiet = False,
) -> None:
    """Teach the language model to judge pairs, by an adapter.

    DIR then holds the adapter that did best on the dev pairs. A run that was stopped goes on where it was.
    """
    settings = options.make_settings(config, overrides, data=data, limit=limit, section="pairs")
    from corpus.load import load_records
    from finetune.qlora.train import train_qlora

    how = settings.train.qlora
    answers = load_records(settings.data, split="train") if how.answer_pairs else ()
    train_qlora(settings.llm, settings.prompt, settings.pairs, how, output, answers=answers, quiet=quiet)


@train.command()
def encoder(
    output: Output,
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    data: Annotated[
        str | None, typer.Option("--data", metavar="PATH", help="Pairs, or for train.encoder.task qa records.")
    ] = None,
    limit: options.Limit = None,
    quiet: options.Quiet = False,
) -> None:
    """Teach a sequence classifier to judge pairs, or to answer questions from their texts.

    DIR then holds the classifier that did best on the dev split. A run that was stopped goes on where it was.
    """
    settings = options.make_settings(config, overrides)
    section: Literal["data", "pairs"] = "data" if settings.train.encoder.task == "qa" else "pairs"
    settings = options.make_settings(config, overrides, data=data, limit=limit, section=section)
    from finetune.encoder.train import train_encoder

    train_encoder(settings.train.encoder, output, pairs=settings.pairs, data=settings.data, quiet=quiet)


@train.command()
def embedder(
    output: Output,
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    data: options.Data = None,
    limit: options.Limit = None,
    quiet: options.Quiet = False,
) -> None:
    """Teach an embedder which abstract belongs to which question.

    DIR then holds the embedder that did best on the dev questions, ready to be named as a model in embedders. A run
    that was stopped goes on where it was.
    """
    settings = options.make_settings(config, overrides, data=data, limit=limit)
    from corpus.load import load_records
    from finetune.embedder.train import train_embedder

    taught, measured = (load_records(settings.data, split=split) for split in ("train", "dev"))
    train_embedder(settings.train.embedder, output, train=taught, dev=measured, quiet=quiet)
