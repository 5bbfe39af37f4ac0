"""The user's own documents: which files a command names, and how they come into the library and leave it."""

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import DataError
from corpus.config import DocumentsConfig
from corpus.documents import archives, read
from corpus.documents.catalogue import Entry, KnownFile, Library, Problem
from corpus.documents.extract import Withdrawn
from corpus.documents.passages import Window, cut
from corpus.documents.source import SUFFIXES, Source, format_of

EDITION = 5  # to be raised when a format gives another text, or passages or sentences are cut otherwise
READ = ", ".join([*SUFFIXES, *archives.SUFFIXES])


@dataclass
class Intake:
    """What became of the files that were named.

    Attributes:
        added: files that are new.
        changed: files that are others than when they were read before, or whose passages were made by other settings.
        unchanged: files that were not read again.
        removed: files that are gone from the folders named.
        failed: what could not be read, and why. What was read of such a file before stays.
        skipped: files of a folder that are of other kinds.
        withdrawn: records that the files read now say are withdrawn.
        long_sentences: sentences longer than the embedder reads; they are in several passages.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: list[Problem] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    withdrawn: int = 0
    long_sentences: int = 0


def take_in(
    paths: Sequence[Path | str], library: Path, window: Window, config: DocumentsConfig, *, quiet: bool = False
) -> Intake:
    """Bring a library up to date with files, and with folders and everything below them.

    A file that is known with the same bytes and settings is not read again. One that was read from below ``paths`` and
    is no longer there is removed. Files elsewhere stay as they are. One that cannot be read is reported, and the rest
    is read; of a folder that cannot be looked into everything stays. In a folder hidden files, files of other kinds and
    links to folders are passed over. Stopped at any moment, the same call completes it.

    Args:
        paths: what to read.
        library: the library's file.
        window: what passages must fit.
        config: limits, and the columns of tables.
        quiet: no progress bar.

    Raises:
        LibraryError: the library cannot be written.
    """
    intake = Intake()
    with Library(library) as opened:
        known = opened.files()
        reader = _Reader(opened, library.parent, known, window, config, intake)
        roots = [_absolute(path) for path in paths]
        unseen: list[str] = []
        files = list(_files(paths, roots, known, library.parent, intake, unseen))
        for file in _with_progress(files, quiet=quiet):
            reader.take(file)
        found = {_place(file, library.parent) for file in files}
        for place in known.keys() - found:
            if _lies_below(place, roots, library.parent) and not _lies_below(place, unseen, library.parent):
                opened.remove(place)
                intake.removed += 1
    return intake


class _Reader:
    """Reads one file after another into a library."""

    def __init__(
        self,
        library: Library,
        store: Path,
        known: Mapping[str, KnownFile],
        window: Window,
        config: DocumentsConfig,
        intake: Intake,
    ) -> None:
        self._library = library
        self._store = store
        self._known = known
        self._names = {file.name for file in known.values()}
        self._window = window
        self._config = config
        self._intake = intake
        self._withdrawn = self._long = 0
        said = json.dumps([EDITION, window.limit, window.mark, config.columns.model_dump()])
        self._made_by = hashlib.sha256(said.encode()).hexdigest()

    def take(self, path: Path) -> None:
        """Read a file, if it is new or changed, and count it."""
        place = _place(path, self._store)
        known = self._known.get(place)
        name = known.name if known else _name(path, self._names)
        self._withdrawn = self._long = 0
        try:
            digest = _digest(path)
            if known and (known.digest, known.made_by) == (digest, self._made_by):
                self._intake.unchanged += 1
                self._intake.failed += known.problems
                return
            self._intake.failed += self._library.replace(place, name, digest, self._made_by, self._parts(path, name))
        except DataError as error:
            kept = " What it held before is kept." if known else ""
            self._intake.failed.append(Problem(name, f"{error}{kept}"))
            return
        self._intake.withdrawn += self._withdrawn
        self._intake.long_sentences += self._long
        if known:
            self._intake.changed += 1
        else:
            self._intake.added += 1

    def _parts(self, path: Path, name: str) -> Iterator[tuple[str, Iterator[Entry]]]:
        if not archives.is_archive(name):
            yield name, self._entries(Source(name, lambda: path.open("rb")))
            return
        for member in archives.members(path, name, self._config):
            if format_of(member.name) is not None:
                yield member.name, self._entries(member)

    def _entries(self, source: Source) -> Iterator[Entry]:
        format = format_of(source.name)
        assert format is not None  # the caller has seen to it
        for document in read(source, format, self._config):
            if isinstance(document, Withdrawn):
                self._withdrawn += 1
                yield document
            else:
                made = cut(document, self._window)
                self._long += made.long_sentences
                yield document, made.passages


def _files(
    paths: Sequence[Path | str],
    roots: Sequence[str],
    known: Mapping[str, KnownFile],
    store: Path,
    intake: Intake,
    unseen: list[str],
) -> Iterator[Path]:
    """The files to read, each once, in the order of the paths and within a folder sorted.

    Files and folders that cannot be looked at go into ``unseen``.
    """
    seen: set[Path] = set()

    def refuse(path: Path | str, error: OSError) -> None:
        unseen.append(_absolute(path))
        intake.failed.append(_problem(path, f"cannot be read ({error.strerror})."))

    for given, root in zip(map(Path, paths), roots, strict=True):
        path = given.expanduser()
        try:
            is_folder, is_there = path.is_dir(), path.exists()
        except OSError as error:
            refuse(given, error)
            continue
        if not is_there:
            if not any(_lies_below(place, [root], store) for place in known):
                intake.failed.append(_problem(given, "there is no such file or folder. Check the path."))
            continue
        for file in _walk(path, refuse) if is_folder else [path]:
            if not is_read(file.name):
                if file == path:
                    intake.failed.append(_problem(given, f"is of a kind that is not read. Those that are: {READ}."))
                else:
                    intake.skipped.append(file)
            elif (real := file.resolve()) not in seen:
                seen.add(real)
                yield file


def is_read(name: str) -> bool:
    """Whether files of such a name are read."""
    return archives.is_archive(name) or format_of(name) is not None


def _walk(folder: Path, refuse: Callable[[Path | str, OSError], None]) -> Iterator[Path]:
    """The visible files below a folder in sorted order; what cannot be looked at is refused."""
    for place, below, names in os.walk(folder, onerror=lambda error: refuse(error.filename or folder, error)):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(name for name in names if not name.startswith(".")):
            file = Path(place, name)
            try:
                if file.is_file():
                    yield file
            except OSError as error:
                refuse(file, error)


def _problem(path: Path | str, why: str) -> Problem:
    name = shown_path(path)
    return Problem(name, f"{name}: {why}")


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(shown_path(path), f"cannot be read ({error.strerror}).") from None


def _absolute(path: Path | str) -> str:
    return os.path.abspath(Path(path).expanduser())  # noqa: PTH100  (keeps symbolic links, which resolve() would follow)


def _place(path: Path, store: Path) -> str:
    """Where a file lies, seen from the store: the same wherever a command is started, also after both were moved."""
    return shown_path(os.path.relpath(_absolute(path), _absolute(store)))


def _lies_below(place: str, roots: Sequence[str], store: Path) -> bool:
    """Whether a place is one of these absolute paths or lies below one."""
    path = os.path.normpath(os.path.join(shown_path(_absolute(store)), place))  # noqa: PTH118
    return any(path == root or path.startswith(root.rstrip("/") + "/") for root in map(shown_path, roots))


def _name(path: Path, taken: Collection[str]) -> str:
    """The path from the working folder, where the file lies in it and no other file is called so; else all of it."""
    absolute = Path(_absolute(path))
    here = Path.cwd()
    name = shown_path(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)
    return name if name not in taken else shown_path(absolute)


def shown_path(path: Path | str) -> str:
    """A path as text; bytes of it that are no text are written out."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _with_progress(files: Sequence[Path], *, quiet: bool) -> Iterator[Path]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TextColumn("files"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet or not files) as progress:
        task = progress.add_task("reading", total=len(files))
        for file in files:
            yield file
            progress.advance(task)
