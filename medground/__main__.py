"""Entry point of ``python -m medground``, the same as the command ``medground``."""

from medground.cli import main

main()
