"""``medground train ...``: teach a model."""

import json
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from medground.cli import options
from medground.cli.app import app
from medground.cli.show import say

train = typer.Typer(help="Train a model.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(train, name="train")


Output = Annotated[Path, typer.Option("--output", metavar="DIR", help="Where the result and its checkpoints go.")]


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
    if summary := _summary(output):
        what, setting = ("adapter", "llm.adapter") if how.method == "lora" else ("model", "llm.model")
        _tell(what, output, summary, summary["dev_accuracy"]["result"])
        _tell_use("eval nli", config, overrides, data, f"{setting}={_named(output)}")


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
    if summary := _summary(output):
        _tell("classifier", output, summary, summary["dev_accuracy"])
        if section == "pairs":
            _tell_use("eval nli", config, overrides, data, "nli.kind=encoder", f"nli.model={_named(output)}")
        else:
            say(f"Use it in Python: chains.encoder.classifier.classifier_chain({_named(output)!r})")


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

    taught, measured = (load_records(settings.data, split=split) for split in ("train", "dev"))
    from finetune.embedder.train import train_embedder  # seconds, which a mistake in the data need not wait for

    train_embedder(settings.train.embedder, output, train=taught, dev=measured, quiet=quiet)
    if summary := _summary(output):
        _tell("embedder", output, summary, summary["dev_accuracy@1"])
        replaced = next(iter(settings.embedders))
        place = f"embedders.{replaced}.model={_named(output)}"
        _tell_use("eval retrieval --split test", config, overrides, data, place)


def _summary(output: Path) -> dict[str, Any] | None:
    """What the run tells of itself; None where nothing became its result, and in processes that do not write it."""
    from finetune.checkpoints import SUMMARY_FILE
    from finetune.process import is_main

    path = output / SUMMARY_FILE
    if not is_main() or not path.is_file():
        return None
    summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return summary


def _tell(what: str, output: Path, summary: dict[str, Any], accuracy: float | None) -> None:
    figure = "not measured on a dev split" if accuracy is None else f"dev accuracy {accuracy:.3f}"
    typer.echo(f"{what}: {_named(output)}, step {summary['step']} of {summary['steps']}, {figure}")
    from finetune.repeated import warning

    if flatters := warning(summary.get("repeated_premises", {})):
        say(flatters)


def _tell_use(command: str, config: Path | None, overrides: list[str] | None, data: str | None, *use: str) -> None:
    """The command that uses the result, with what the training was told of models and data."""
    kept = [text for text in overrides or [] if not text.startswith("train.")]
    words = [
        *(["--config", str(config)] if config else []),
        *(["--data", data] if data else []),
        *(word for text in (*kept, *use) for word in ("--set", text)),
    ]
    say(f"Use it: medground {command} {shlex.join(words)}")


def _named(folder: Path) -> str:
    """The folder as a setting names it: in a form that is no hub id."""
    return str(folder) if folder.is_absolute() or folder.parts[:1] == ("..",) else f"./{folder}"
