"""Command line, one file per command or group."""

from medground.cli import (  # noqa: F401  (each registers its commands)
    ask,
    chat,
    check,
    compare,
    demo,
    doctor,
    evaluate,
    export,
    index,
    merge,
    models,
    report,
    retrieve,
    serve,
    train,
)
from medground.cli.app import app, main

__all__ = ["app", "main"]
