"""Indexing of the user's files: finds the files of a command and adds, updates and removes them in the library."""

import errno
import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from common.errors import DataError
from corpus.config import DocumentsConfig
from corpus.documents import archives
from corpus.documents.catalogue import Entry, KnownFile, Library, Problem
from corpus.documents.extract import Withdrawn, shortened
from corpus.documents.passages import Window
from corpus.documents.readers import Readers
from corpus.documents.source import check_size, is_hidden, named, shown_name
from corpus.documents.worker import Read, Worker

HOLE = 100_000_000  # maximum bytes of a hole in a sparse file
EDITION = 6  # increase it when a reader's text, or the split into passages or sentences changes


@dataclass
class Intake:
    """The outcome of an indexing command.

    Attributes:
        added: number of new files.
        changed: number of files whose content or settings changed.
        unchanged: number of files that were not read again.
        removed: number of files that no longer exist in the given folders.
        failed: files and records that could not be read, with the reason. Passages read from them before are kept.
        skipped: files in a folder with an unsupported type.
        linked: links in a folder to files outside of it.
        copies: unread files with the same bytes as another file, and that file's name.
        withdrawn: number of records that the files mark as withdrawn.
        long_sentences: number of sentences longer than the embedder's window; they span several passages.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: list[Problem] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    linked: list[Path] = field(default_factory=list)
    copies: list[tuple[str, str]] = field(default_factory=list)
    withdrawn: int = 0
    long_sentences: int = 0


def take_in(
    paths: Sequence[Path | str],
    library: Path,
    window: Window,
    config: DocumentsConfig,
    *,
    own: Collection[Path] = (),
    quiet: bool = False,
) -> Intake:
    """Update a library from files, and from folders with everything below them.

    A file with known bytes and settings is not read again, even if it or the library was moved; nor is a copy of
    another file. Files below ``paths`` that no longer exist are removed; files elsewhere are kept. A file that cannot
    be read is reported and the others are read; the files of an unreadable folder are kept. In folders, hidden files,
    unsupported types, links to folders and, unless the settings follow them, links to outside files are skipped. An
    interrupted call can be repeated.

    Args:
        paths: files and folders.
        library: the library's file.
        window: the maximum size of a passage.
        config: limits, the columns of tables, and further readers.
        own: files and folders of the store, which are never documents.
        quiet: whether to hide the progress bar.

    Raises:
        LibraryError: the library cannot be written.
        UserError: a reader of the settings cannot be used.
    """
    intake, readers = Intake(), Readers(config)
    with Library(library) as opened:
        known = opened.files()
        roots = [_absolute(path) for path in paths]
        unseen: list[str] = []
        excluded = {_absolute(path) for path in own}
        files = list(_files(paths, roots, known, library.parent, intake, unseen, readers, excluded, config))
        found = {_place(file, library.parent) for file in files}
        known = _moved(opened, known, files, library.parent)
        for place in known.keys() - found:
            if _lies_below(place, roots, library.parent) and not _lies_below(place, unseen, library.parent):
                opened.remove(place)
                del known[place]
                intake.removed += 1
        with Worker(window, config) as worker:
            reader = _Reader(opened, library.parent, known, window, config, worker, intake)
            for file in _with_progress(files, quiet=quiet):
                reader.take(file)
    return intake


def _moved(
    library: Library, known: Mapping[str, KnownFile], files: Sequence[Path], store: Path
) -> dict[str, KnownFile]:
    """The known files by their present place; a moved file is recognised by its bytes, else by its name.

    A renamed file has its new name from then on; one moved with the folders in its name keeps its name.
    """
    current = dict(known)
    new = {place: file for file in files if (place := _place(file, store)) not in known}
    if not new:
        return current
    gone = {place: file for place, file in known.items() if not os.path.lexists(_path_of(place, store))}
    linked = {os.path.realpath(_path_of(place, store)): place for place in known.keys() - gone.keys()}
    digests = {file.digest: place for place, file in gone.items()}
    names = {file.name: place for place, file in gone.items()}
    for place, file in new.items():
        old = linked.pop(os.path.realpath(file), None)
        if old is None and gone:
            try:
                old = digests.get(_digest(file)) or names.get(_name(file, ()))
            except DataError:
                continue
        if old is not None and old in current:
            moved = current.pop(old)
            others = {other.name for other in current.values()}
            name = moved.name if _absolute(file).endswith(f"/{moved.name}") else _name(file, others)
            library.move(old, place, name)
            current[place] = replace(moved, name=name)
    return current


class _Reader:
    """Reads one file after another into a library."""

    def __init__(
        self,
        library: Library,
        store: Path,
        known: Mapping[str, KnownFile],
        window: Window,
        config: DocumentsConfig,
        worker: Worker,
        intake: Intake,
    ) -> None:
        self._library = library
        self._store = store
        self._known = known
        self._names = {file.name for file in known.values()}
        self._by_digest = {file.digest: (place, file.name) for place, file in known.items()}
        self._config = config
        self._worker = worker
        self._intake = intake
        self._withdrawn = self._long = 0
        own = [one for one in (config.readers, config.encoding) if one]  # absent: what earlier versions read stays
        said = json.dumps([EDITION, window.limit, window.mark, config.columns.model_dump(), *own])
        self._made_by = hashlib.sha256(said.encode()).hexdigest()

    def take(self, path: Path) -> None:
        """Read a file, if it is new or changed, and count it."""
        place = _place(path, self._store)
        known = self._known.get(place)
        name = known.name if known else _name(path, self._names)
        self._withdrawn = self._long = 0
        try:
            if known is None:
                check_size(
                    path, name, self._config
                )  # first, since computing the digest would read all of an endless file
            digest = _digest(path)
            if known and (known.digest, known.made_by) == (digest, self._made_by):
                self._intake.unchanged += 1
                self._intake.failed += known.problems
                return
            if (twin := self._twin(place, digest)) is not None:
                self._intake.copies.append((name, twin))
                if known:
                    self._library.remove(place)
                return
            self._intake.failed += self._library.replace(place, name, digest, self._made_by, self._parts(path, name))
            self._by_digest[digest] = (place, name)
            self._names.add(name)
        except DataError as error:
            kept = " Its earlier passages are kept." if known else ""
            self._intake.failed.append(Problem(name, f"{error}{kept}"))
            return
        self._intake.withdrawn += self._withdrawn
        self._intake.long_sentences += self._long
        if known:
            self._intake.changed += 1
        else:
            self._intake.added += 1

    def _twin(self, place: str, digest: str) -> str | None:
        """The name of another known file that still has the same bytes."""
        other, name = self._by_digest.get(digest, (place, ""))
        try:
            return name if other != place and _digest(Path(_path_of(other, self._store))) == digest else None
        except DataError:
            return None

    def _parts(self, path: Path, name: str) -> Iterator[tuple[str, Iterator[Entry]]]:
        for part, documents in self._worker.parts(path, name):
            yield part, self._entries(documents)

    def _entries(self, documents: Iterator[Read]) -> Iterator[Entry]:
        for document in documents:
            if isinstance(document, Withdrawn):
                self._withdrawn += 1
                yield document
            else:
                extract, made = document
                self._long += made.long_sentences
                yield replace(extract, metadata=shortened(extract.metadata)), made.passages


def _files(
    paths: Sequence[Path | str],
    roots: Sequence[str],
    known: Mapping[str, KnownFile],
    store: Path,
    intake: Intake,
    unseen: list[str],
    readers: Readers,
    excluded: Collection[str],
    config: DocumentsConfig,
) -> Iterator[Path]:
    """The files to read, each once, in the order of the paths and sorted within a folder.

    Files and folders that cannot be accessed are added to ``unseen``.
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
        for file in _walk(path, refuse, excluded) if is_folder else [path]:
            if not (archives.is_archive(file.name) or readers.can_read(file.name)):
                if _place(file, store) in known:  # it was read with other settings; its passages are kept
                    unseen.append(_absolute(file))
                if file == path:
                    kinds = ", ".join(readers.suffixes)
                    intake.failed.append(_problem(given, f"has an unsupported type. Supported are: {kinds}."))
                else:
                    intake.skipped.append(file)
            elif not file.is_file():
                why = "is no regular file" if file.exists() else "is a link to a file that does not exist"
                intake.failed.append(_problem(given if file == path else file, f"{why}. Give a file or a folder."))
            elif is_folder and not config.follow_links and not file.resolve().is_relative_to(path.resolve()):
                intake.linked.append(file)
            elif (real := file.resolve()) not in seen:
                seen.add(real)
                yield file


def _walk(
    folder: Path, refuse: Callable[[Path | str, OSError], None], excluded: Collection[str] = ()
) -> Iterator[Path]:
    """The visible files, links and devices below a folder, sorted; ``refuse`` is called for inaccessible ones.

    ``excluded`` are absolute paths without links.
    """
    for place, below, names in os.walk(folder, onerror=lambda error: refuse(error.filename or folder, error)):
        absolute = Path(_absolute(place))

        def shown(names: Collection[str], absolute: Path = absolute) -> list[str]:
            return sorted(one for one in names if not is_hidden(one) and str(absolute / one) not in excluded)

        below[:] = shown(below)
        for name in shown(names):
            file = Path(place, name)
            try:
                file.is_file()
            except OSError as error:
                refuse(file, error)
            else:
                yield file


def _problem(path: Path | str, why: str) -> Problem:
    name = shown_path(path)
    return Problem(name, f"{name}: {why}")


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            if _has_hole(file.fileno()):  # to read some 100 GB of nothing takes minutes
                raise DataError(shown_path(path), f"has a hole of more than {HOLE:,} bytes, so it is no document.")
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(shown_path(path), f"cannot be read ({error.strerror}).") from None


def _has_hole(file: int) -> bool:
    """Whether a sparse file has a hole of more than ``HOLE`` bytes, where the system can say so."""
    size, at = os.fstat(file).st_size, 0
    try:
        while size - at > HOLE:
            data = os.lseek(file, at, os.SEEK_DATA)
            if data - at > HOLE:
                return True
            at = os.lseek(file, data, os.SEEK_HOLE)
    except (OSError, AttributeError) as error:  # no data behind this place, or no such calls
        return isinstance(error, OSError) and error.errno == errno.ENXIO
    finally:
        os.lseek(file, 0, os.SEEK_SET)
    return False


def _absolute(path: Path | str) -> str:
    """The path without symbolic links, so that a file has one path."""
    return os.path.realpath(Path(path).expanduser())


def _place(path: Path, store: Path) -> str:
    """The file's path relative to the store; it stays valid if both are moved together."""
    return shown_path(os.path.relpath(_absolute(path), _absolute(store)))


def _path_of(place: str, store: Path) -> str:
    """The absolute path of a place."""
    return os.path.normpath(os.path.join(_absolute(store), named(place)))  # noqa: PTH118


def _lies_below(place: str, roots: Sequence[str], store: Path) -> bool:
    """Whether a place is one of these absolute paths or lies below one."""
    path = os.path.normpath(os.path.join(shown_path(_absolute(store)), place))  # noqa: PTH118
    return any(path == root or path.startswith(root.rstrip("/") + "/") for root in map(shown_path, roots))


def _name(path: Path, taken: Collection[str]) -> str:
    """The path relative to the working folder if it is below it and the name is not taken, else the absolute path."""
    absolute = Path(_absolute(path))
    here = Path.cwd()
    name = shown_path(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)
    return name if name not in taken else shown_path(absolute)


def shown_path(path: Path | str) -> str:
    """A path as text; see ``shown_name``."""
    return shown_name(os.fsdecode(path))


def _with_progress(files: Sequence[Path], *, quiet: bool) -> Iterator[Path]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TextColumn("files"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet or not files) as progress:
        task = progress.add_task("reading", total=len(files))
        for file in files:
            yield file
            progress.advance(task)
