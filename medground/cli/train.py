"""``medground train ...``: fine-tune a model."""

import json
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from common.errors import UserError
from medground.cli import options
from medground.cli.app import app
from medground.cli.show import print_err

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
    _check_overrides(overrides, "qlora")
    from corpus.load import load_records
    from finetune.qlora.train import train_qlora

    recipe = settings.train.qlora
    answers = load_records(settings.data, split="train") if recipe.answer_pairs else ()
    train_qlora(settings.llm, settings.prompt, settings.pairs, recipe, output, answers=answers, quiet=quiet)
    if summary := _summary(output):
        kind, setting = ("adapter", "llm.adapter") if recipe.method == "lora" else ("model", "llm.model")
        _print_result(kind, output, summary, summary["dev_accuracy"]["result"])
        _print_usage("eval nli", config, overrides, data, f"{setting}={_local_path(output)}")


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
    _check_overrides(overrides, "encoder")
    section: Literal["data", "pairs"] = "data" if settings.train.encoder.task == "qa" else "pairs"
    settings = options.make_settings(config, overrides, data=data, limit=limit, section=section)
    from finetune.encoder.train import train_encoder

    train_encoder(settings.train.encoder, output, pairs=settings.pairs, data=settings.data, quiet=quiet)
    if summary := _summary(output):
        _print_result("classifier", output, summary, summary["dev_accuracy"])
        if section == "pairs":
            _print_usage("eval nli", config, overrides, data, "nli.kind=encoder", f"nli.model={_local_path(output)}")
        else:
            print_err(f"Use it in Python: chains.encoder.classifier.classifier_chain({_local_path(output)!r})")


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
    recipe = options.make_settings(config, overrides).train.embedder
    _check_overrides(overrides, "embedder")
    section: Literal["data", "claims"] = "claims" if recipe.task == "evidence" else "data"
    settings = options.make_settings(config, overrides, data=data, limit=limit, section=section)
    examples: dict[str, Any]
    if section == "claims":
        from corpus.inference.claims import load_claims

        examples = {"claims": load_claims(settings.claims)}
    else:
        from corpus.load import load_records

        examples = {split: load_records(settings.data, split=split) for split in ("train", "dev")}
    from finetune.embedder.train import train_embedder  # last: it takes seconds, and errors in the data come first

    train_embedder(recipe, output, quiet=quiet, **examples)
    if summary := _summary(output):
        _print_result("embedder", output, summary, summary["dev_accuracy@1"])
        if section == "claims":
            setting = f"embedders.quotes.model={_local_path(output)}"
            words = shlex.join(["--set", setting, "--set", "chain.quote_embedder=quotes"])
            print_err(f"Use it: medground ask QUESTION {words}")
        else:
            setting = f"embedders.{next(iter(settings.embedders))}.model={_local_path(output)}"
            _print_usage("eval retrieval --split test", config, overrides, data, setting)


def _check_overrides(overrides: list[str] | None, command: str) -> None:
    """Refuse ``--set`` of another training command's settings; a settings file may have those of all commands."""
    for override in overrides or []:
        key = override.partition("=")[0].strip()
        if key.startswith("train.") and key.split(".")[1].strip() != command:
            raise UserError(
                f"--set {key} has no effect on `medground train {command}`. Remove it, or set a setting of "
                f"train.{command}."
            )


def _summary(output: Path) -> dict[str, Any] | None:
    """The run's summary; None if there is no result, or if this is not the main process."""
    from finetune.checkpoints import SUMMARY_FILE
    from finetune.distributed import is_main

    path = output / SUMMARY_FILE
    if not is_main() or not path.is_file():
        return None
    summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return summary


def _print_result(kind: str, output: Path, summary: dict[str, Any], accuracy: float | None) -> None:
    figure = "not measured on a dev split" if accuracy is None else f"dev accuracy {accuracy:.3f}"
    typer.echo(f"{kind}: {_local_path(output)}, step {summary['step']} of {summary['steps']}, {figure}")
    from finetune.leakage import leakage_warning

    if warning := leakage_warning(summary.get("repeated_premises", {})):
        print_err(warning)


def _print_usage(
    command: str, config: Path | None, overrides: list[str] | None, data: str | None, *settings: str
) -> None:
    """Print a command that uses the result.

    It has ``settings``, and the options of the training command except settings of ``train.*``.
    """
    kept_overrides = [setting for setting in overrides or [] if not setting.startswith("train.")]
    words = [
        *(["--config", str(config)] if config else []),
        *(["--data", data] if data else []),
        *(word for setting in (*kept_overrides, *settings) for word in ("--set", setting)),
    ]
    print_err(f"Use it: medground {command} {shlex.join(words)}")


def _local_path(folder: Path) -> str:
    """The folder in a form that is no hub id, such as ./org/model."""
    return str(folder) if folder.is_absolute() or folder.parts[:1] == ("..",) else f"./{folder}"
