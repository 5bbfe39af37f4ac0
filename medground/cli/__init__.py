"""The command line: one file for each command or group of commands."""

from medground.cli import ask, demo, doctor, evaluate, index, merge, retrieve, train
from medground.cli.app import app, main

__all__ = ["app", "ask", "demo", "doctor", "evaluate", "index", "main", "merge", "retrieve", "train"]
