"""Command line, one file per command or group."""

import sys

try:  # the imports take most of a command's first second
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
except KeyboardInterrupt:
    sys.stderr.write("Stopped.\n")
    sys.exit(130)  # as in ``main``

__all__ = ["app", "main"]
