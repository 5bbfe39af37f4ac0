"""Options that several commands share, and the settings and pipeline made from them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from common.errors import UserError

if TYPE_CHECKING:
    from medground.pipeline import Pipeline
    from medground.settings import Settings

Split = Literal["train", "dev", "test", "all"]

ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Settings file (YAML); default: the embedded default.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One setting, such as llm.dtype=float32. Repeatable."),
]
Data = Annotated[
    str | None,
    typer.Option("--data", metavar="FILE", help="Records in PubMedQA's format; default: data.path (the sample)."),
]
SplitChoice = Annotated[Split | None, typer.Option("--split", help="Records to use; default: data.split (test).")]
PairData = Annotated[
    str | None,
    typer.Option(
        "--data", metavar="PATH", help="Pairs: a public set by name, a folder or one file; default: pairs.path."
    ),
]
PairSplit = Annotated[
    Literal["train", "dev", "test"] | None, typer.Option("--split", help="Pairs to use; default: pairs.split (test).")
]
ClaimData = Annotated[
    str | None,
    typer.Option("--data", metavar="FILE", help="Claims in SciFact's or HealthVer's format; default: claims.path."),
]
ClaimCorpus = Annotated[
    str | None,
    typer.Option("--corpus", metavar="FILE", help="Documents of SciFact's claims; default: corpus.jsonl beside them."),
]
SplitFile = Annotated[
    str | None,
    typer.Option(
        "--split-file",
        metavar="FILE",
        help="Ids of the test split; default: test_ground_truth.json beside the records.",
    ),
]
Limit = Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Maximum number of records.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document only.")]


def _silence(quiet: bool) -> bool:
    """Hide the progress bars of the Hugging Face libraries, which read these environment variables on import."""
    if quiet:
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    return quiet


Quiet = Annotated[bool, typer.Option("--quiet", callback=_silence, help="No progress bars.")]


def validated_text(text: str, name: str = "question", example: str = 'ask "Does ...?"') -> str:
    """Strip an argument; ``UserError`` if it is empty or was not UTF-8.

    ``name`` names the argument in the message, and ``example`` is a correct command.
    """
    text = text.strip()
    if not text:
        raise UserError(f"The {name} is empty. Put it in quotes: medground {example}")
    if any("\ud800" <= char <= "\udfff" for char in text):  # bytes that are not UTF-8 become lone surrogates
        raise UserError(f"The {name} has bytes that are not UTF-8. Check the encoding of the terminal or file.")
    return text


def make_settings(
    config: Path | None,
    overrides: list[str] | None,
    *,
    data: str | None = None,
    split: Split | None = None,
    split_file: str | None = None,
    limit: int | None = None,
    corpus: str | None = None,
    section: Literal["data", "pairs", "claims"] = "data",
    other_options: Mapping[str, Any] | None = None,
) -> "Settings":
    """The settings of a command line: those of ``config``, changed by ``overrides``, then by the other arguments.

    ``data``, ``split``, ``split_file``, ``limit`` and ``corpus`` are written into the section ``section``;
    ``other_options`` maps dotted keys to values. A value of None is an option that is not given.
    """
    from medground.settings import load_settings
    from medground.yaml_file import read_value

    changes: dict[str, Any] = {}  # by dotted key
    for text in overrides or []:
        key, separator, value = text.partition("=")
        if not separator or not all(part.strip() for part in key.split(".")):
            raise typer.BadParameter(f"{text!r} is not KEY=VALUE, such as chain.decide=generate", param_hint="--set")
        changes[key.strip()] = read_value(value, f"--set {key.strip()}")
    options = {"path": data, "split": split, "split_file": split_file, "limit": limit, "corpus": corpus}
    given = {**{f"{section}.{key}": value for key, value in options.items()}, **(other_options or {})}
    changes |= {key: value for key, value in given.items() if value is not None}
    return load_settings(config, changes)


def make_pipeline(settings: "Settings", data: str | None, quiet: bool) -> "Pipeline":
    """The pipeline over the user's documents; with ``--data``, or if none are indexed, over the data's abstracts."""
    from medground.ingest import searched_corpus
    from medground.pipeline import Pipeline

    return Pipeline.from_settings(settings, searched_corpus(settings, data_given=data is not None), quiet=quiet)
