"""The Typer application and its exit statuses."""

import gc
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from common.errors import UserError
from medground.cli.show import print_err

_INTERRUPTED = 130  # exit status that a shell gives a command that SIGINT has ended
_RESUME_POINTS = {  # for each command that can resume an interrupted run
    "index": "where it stopped",
    "eval": "where it stopped",
    "train": "from its last checkpoint",
}

app = typer.Typer(
    name="medground",
    help="Medical question answering with open LLMs on your own machine: retrieval, citations, evaluation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 success, 1 a user error or failed check, 2 wrong usage, 130 interrupted.

    A user error is one sentence on stderr, or with ``MEDGROUND_DEBUG=1`` a traceback.
    """
    gc.set_threshold(50_000)  # saves 5 % of a first answer's time: imports create many objects and little garbage
    handlers = {sys.stdin: "surrogateescape", sys.stdout: "backslashreplace", sys.stderr: "backslashreplace"}
    for stream, errors in handlers.items():
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=errors)
    try:
        app(arguments, prog_name="medground")
    except (UserError, OSError) as error:
        if os.environ.get("MEDGROUND_DEBUG") == "1":
            raise
        print_err(f"medground: {_message(error)}")
    except RuntimeError as error:
        if "home directory" not in str(error):  # pathlib raises it for a path such as ~unknown-user/file
            raise
        print_err(f"medground: {error} Write the path out.")
    except (SystemExit, KeyboardInterrupt) as ended:  # Typer turns an interrupt into SystemExit while a command runs
        if isinstance(ended, SystemExit) and ended.code != _INTERRUPTED:
            raise
        command = next(iter(sys.argv[1:] if arguments is None else arguments), None)
        hint = f" The same command resumes {_RESUME_POINTS[command]}." if command in _RESUME_POINTS else ""
        print_err(f"Stopped.{hint}")
        sys.exit(_INTERRUPTED)
    sys.exit(1)


def _message(error: UserError | OSError) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)
