"""Command line, one file per command or group."""

from medground.cli import (
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

__all__ = [
    "app",
    "ask",
    "chat",
    "check",
    "compare",
    "demo",
    "doctor",
    "evaluate",
    "export",
    "index",
    "main",
    "merge",
    "models",
    "report",
    "retrieve",
    "serve",
    "train",
]
