"""Errors whose messages are shown to the user."""

from pathlib import Path


class UserError(Exception):
    """A mistake that the user can correct; the message says what is wrong, which value, and what to do next.

    The command line prints it without a traceback and exits with status 1. Any function that reads settings, files,
    models or the store may raise it; ``Raises:`` lists it only where a caller may want to handle it.
    """


class DataError(UserError):
    """An unusable data file; the message names the file and, if known, record and field."""

    def __init__(self, path: Path | str, problem: str, *, record: str | None = None, field: str | None = None) -> None:
        where = str(path)
        if record is not None:
            where += f", record {record}"
        if field is not None:
            where += f", field {field}"
        super().__init__(f"{where}: {problem}")
