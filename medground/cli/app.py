"""The command line as one Typer application, and the exit status of what goes wrong."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from common.errors import UserError
from medground.environment import prepare

_STOPPED = 130
_GOES_ON = {  # commands that are worth running again after they were stopped
    "index": "where it stood",
    "eval": "where it stood",
    "train": "from its last checkpoint",
}

app = typer.Typer(
    name="medground",
    help="Medical question answering with open models on your own machine: it retrieves, cites and measures.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 done, 1 a user's mistake or a failed check, 2 wrong usage, 130 stopped by hand.

    A mistake is told in a sentence on stderr; with ``MEDGROUND_DEBUG=1`` its traceback is shown instead.
    """
    prepare()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        app(arguments, prog_name="medground")
    except (UserError, OSError) as error:
        if os.environ.get("MEDGROUND_DEBUG") == "1":
            raise
        print(f"medground: {_told(error)}", file=sys.stderr)  # noqa: T201
    except RuntimeError as error:
        if "home directory" not in str(error):  # pathlib's word for a path such as ~nobody/file
            raise
        print(f"medground: {error} Write the path out.", file=sys.stderr)  # noqa: T201
    except (SystemExit, KeyboardInterrupt) as ended:  # while a command runs, Typer makes the second of them the first
        if isinstance(ended, SystemExit) and ended.code != _STOPPED:
            raise
        named = next(iter(sys.argv[1:] if arguments is None else arguments), None)
        more = f" The same command goes on {_GOES_ON[named]}." if named in _GOES_ON else ""
        print(f"Stopped.{more}", file=sys.stderr)  # noqa: T201
        sys.exit(_STOPPED)
    sys.exit(1)


def _told(error: UserError | OSError) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)
