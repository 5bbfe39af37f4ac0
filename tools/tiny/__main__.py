"""``python -m tools.tiny --output DIR``: train medground-tiny from scratch on generated text."""

import argparse
import sys
from pathlib import Path

from common.errors import UserError
from tools.tiny.train import train_tiny


def main(arguments: list[str] | None = None) -> int:
    """Train, and return the exit status: 1 after a mistake of the user."""
    parser = argparse.ArgumentParser(prog="python -m tools.tiny", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the model")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    options = parser.parse_args(arguments)
    try:
        train_tiny(options.output, quiet=options.quiet)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
