"""``medground train ...``: fine-tune a model."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from medground.cli import options
from medground.cli.app import app
from medground.cli.show import say

if TYPE_CHECKING:
    from medground.settings import Settings

train = typer.Typer(help="Fine-tune a model.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(train, name="train")


Output = Annotated[Path, typer.Option("--output", metavar="DIR", help="Folder of the result and its checkpoints.")]


@train.command()
def qlora(
    output: Output,
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    data: options.PairData = None,
    limit: options.Limit = None,
    quiet: options.Quiet = False,
) -> None:
    """Fine-tune the language model on pairs, by an adapter.

    DIR gets the adapter with the best figures on the dev pairs. An interrupted run resumes from its last checkpoint.
    """
    settings = options.make_settings(config, overrides, data=data, limit=limit, section="pairs")
    from corpus.load import load_records
    from finetune.qlora.train import train_qlora

    how = settings.train.qlora
    answers = load_records(settings.data, split="train") if how.answer_pairs else ()
    train_qlora(settings.llm, settings.prompt, settings.pairs, how, output, answers=answers, quiet=quiet)
    if summary := _summary(output):
        what, setting = ("adapter", "llm.adapter") if how.method == "lora" else ("model", "llm.model")
        _say_result(what, output, summary, summary["dev_accuracy"]["result"])
        _say_usage("eval nli", config, overrides, data, f"{setting}={_named(output)}")


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
    """Fine-tune a sequence classifier on pairs, or on questions and their texts.

    DIR gets the classifier with the best figures on the dev split. An interrupted run resumes from its last checkpoint.
    """
    settings = options.make_settings(config, overrides)
    section: Literal["data", "pairs"] = "data" if settings.train.encoder.task == "qa" else "pairs"
    settings = options.make_settings(config, overrides, data=data, limit=limit, section=section)
    from finetune.encoder.train import train_encoder

    train_encoder(settings.train.encoder, output, pairs=settings.pairs, data=settings.data, quiet=quiet)
    if summary := _summary(output):
        _say_result("classifier", output, summary, summary["dev_accuracy"])
        if section == "pairs":
            _say_usage("eval nli", config, overrides, data, "nli.kind=encoder", f"nli.model={_named(output)}")
        else:
            say(f"Use it in Python: chains.encoder.classifier.classifier_chain({_named(output)!r})")


@train.command()
def embedder(
    output: Output,
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="PATH", help="Records, or for train.embedder.task evidence claims."),
    ] = None,
    limit: options.Limit = None,
    quiet: options.Quiet = False,
) -> None:
    """Fine-tune an embedder on questions and their abstracts, or on claims and their evidence sentences.

    DIR gets the embedder with the best figures on the dev split, for embedders.NAME.model. An interrupted run resumes
    from its last checkpoint.
    """
    how = options.make_settings(config, overrides).train.embedder
    section: Literal["data", "claims"] = "claims" if how.task == "evidence" else "data"
    settings = options.make_settings(config, overrides, data=data, limit=limit, section=section)
    if section == "claims":
        _train_on_claims(settings, output, quiet=quiet)
        return
    from corpus.load import load_records

    records, dev = (load_records(settings.data, split=split) for split in ("train", "dev"))
    from finetune.embedder.train import train_embedder  # takes seconds; errors in the data come first

    train_embedder(how, output, train=records, dev=dev, quiet=quiet)
    if summary := _summary(output):
        _say_result("embedder", output, summary, summary["dev_accuracy@1"])
        replaced = next(iter(settings.embedders))
        place = f"embedders.{replaced}.model={_named(output)}"
        _say_usage("eval retrieval --split test", config, overrides, data, place)


def _train_on_claims(settings: "Settings", output: Path, *, quiet: bool) -> None:
    from corpus.inference.claims import load_claims

    claims = load_claims(settings.claims)
    from finetune.embedder.train import train_embedder

    train_embedder(settings.train.embedder, output, claims=claims, quiet=quiet)
    if summary := _summary(output):
        _say_result("embedder", output, summary, summary["dev_accuracy@1"])
        place = f"embedders.quotes.model={_named(output)}"
        say(f"Use it: medground ask QUESTION {shlex.join(['--set', place, '--set', 'chain.quote_embedder=quotes'])}")


def _summary(output: Path) -> dict[str, Any] | None:
    """The run's summary; None without a result, and in processes other than the main one."""
    from finetune.checkpoints import SUMMARY_FILE
    from finetune.distributed import is_main

    path = output / SUMMARY_FILE
    if not is_main() or not path.is_file():
        return None
    summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return summary


def _say_result(what: str, output: Path, summary: dict[str, Any], accuracy: float | None) -> None:
    figure = "not measured on a dev split" if accuracy is None else f"dev accuracy {accuracy:.3f}"
    typer.echo(f"{what}: {_named(output)}, step {summary['step']} of {summary['steps']}, {figure}")
    from finetune.leakage import leakage_warning

    if warning := leakage_warning(summary.get("repeated_premises", {})):
        say(warning)


def _say_usage(command: str, config: Path | None, overrides: list[str] | None, data: str | None, *use: str) -> None:
    """Show a command that uses the result, with the training command's settings of models and data."""
    kept = [text for text in overrides or [] if not text.startswith("train.")]
    words = [
        *(["--config", str(config)] if config else []),
        *(["--data", data] if data else []),
        *(word for text in (*kept, *use) for word in ("--set", text)),
    ]
    say(f"Use it: medground {command} {shlex.join(words)}")


def _named(folder: Path) -> str:
    """The folder as a path that cannot be a hub id."""
    return str(folder) if folder.is_absolute() or folder.parts[:1] == ("..",) else f"./{folder}"
