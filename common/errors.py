"""The one error class whose message is written for the user."""

from pathlib import Path


class UserError(Exception):
    """A mistake the user can mend: the message says what was wrong, which value, and what to do next.

    The command line prints the message without a traceback and exits with status 1.
    """


class DataError(UserError):
    """A data file that cannot be used; the message names the file and, where known, the record and the field."""

    def __init__(self, path: Path | str, problem: str, *, record: str | None = None, field: str | None = None) -> None:
        where = str(path)
        if record is not None:
            where += f", record {record}"
        if field is not None:
            where += f", field {field}"
        super().__init__(f"{where}: {problem}")
