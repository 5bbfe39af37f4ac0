"""Updates of the library: finds the files below given paths, and adds, replaces and removes them in the library."""

import errno
import hashlib
import json
import os
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from common.errors import DataError
from corpus.config import DocumentsConfig
from corpus.documents import archives
from corpus.documents.catalogue import Entry, Library, Member
from corpus.documents.extract import Problem, Withdrawn, shortened
from corpus.documents.passages import Window
from corpus.documents.readers import Readers
from corpus.documents.source import check_size, escaped_name, is_hidden, unescaped_name
from corpus.documents.worker import ReadResult, Worker

MAX_HOLE = 100_000_000  # bytes of a hole in a sparse file
EDITION = 9  # version of the passages: increase it when a reader or the splitting into sentences or passages changes


@dataclass
class UpdateReport:
    """The outcome of an indexing command.

    Attributes:
        added: number of new files.
        changed: number of files whose content or settings changed.
        unchanged: number of files that were not read again.
        removed: number of files that no longer exist in the given folders.
        failed: files, records and pages that could not be read. Earlier passages of these files are kept.
        skipped: files with an unsupported type in a folder.
        linked: links in a folder that were skipped, since they lead to files outside of it.
        copies: names of files that were skipped as copies, each with the name of the file with the same bytes.
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


def update_library(
    paths: Sequence[Path | str],
    library: Path,
    window: Window,
    config: DocumentsConfig,
    *,
    excluded: Collection[Path] = (),
    quiet: bool = False,
) -> UpdateReport:
    """Update a library from files, and from folders with everything below them.

    A file is skipped if it is a copy of another file, or if its bytes and the settings have not changed, even if the
    file or the library was moved. Files below ``paths`` that no longer exist are removed from the library; files
    elsewhere stay. A file that cannot be read is reported, and the next one is read. The library keeps the files of an
    unreadable folder. In folders, hidden files, unsupported types and links to folders are skipped; so are links to
    files outside, unless ``config.follow_links`` is set. An interrupted call can be repeated.

    Args:
        paths: files and folders.
        library: the library's file.
        window: the maximum size of a passage.
        config: limits, the columns of tables, and further readers.
        excluded: files and folders to skip, such as the store's.
        quiet: whether to hide the progress bar.

    Raises:
        LibraryError: the library cannot be written.
        UserError: a reader of the settings cannot be used.
    """
    readers = Readers(config)
    with Library(library) as database, Worker(window, config) as worker:
        update = _Update(database, library.parent, window, config, readers, worker)
        files = list(update.find(paths, {_real_path(path) for path in excluded}))
        update.follow_moved(files)
        update.remove_missing(paths, files)
        for file in _with_progress(files, quiet=quiet):
            update.add(file)
    return update.report


class _Update:
    """An update of a library.

    A *place* is a file's path relative to the store's folder, so that it stays valid if file and store move together.
    """

    def __init__(
        self, library: Library, store: Path, window: Window, config: DocumentsConfig, readers: Readers, worker: Worker
    ) -> None:
        self.report = UpdateReport()
        self._library, self._config, self._readers, self._worker = library, config, readers, worker
        self._store = _real_path(store)
        self._known = library.files()
        self._inaccessible: set[str] = set()  # escaped paths that cannot be read now; known files below them stay
        # Settings that earlier versions lack enter the digest only if set, so that stored digests stay valid.
        optional = [value for value in (config.readers, config.encoding) if value]
        settings = json.dumps([EDITION, window.limit, window.fingerprint, config.columns.model_dump(), *optional])
        self._settings_digest = hashlib.sha256(settings.encode()).hexdigest()
        # A file with problems is also read again if the limits change, since these may have caused the problems.
        limits = (config.max_bytes, config.max_seconds, config.max_memory, config.max_pages)
        self._problems_digest = hashlib.sha256(json.dumps([settings, *limits]).encode()).hexdigest()
        self._withdrawn_count = self._long_sentence_count = 0  # of the current file

    def find(self, paths: Sequence[Path | str], excluded: Collection[str]) -> Iterator[Path]:
        """The files to read, each once, in the order of the paths and sorted within a folder."""
        seen: set[Path] = set()
        for given in map(Path, paths):
            path = given.expanduser()
            try:
                is_folder = stat.S_ISDIR(path.stat().st_mode)  # Path.is_dir hides errors in Python 3.14
            except (FileNotFoundError, NotADirectoryError):
                if _escaped_real_path(given) not in self._known_paths:
                    self._report_problem(given, "there is no such file or folder. Check the path.")
                continue
            except OSError as error:
                self._report_os_error(given, error)
                continue
            for file in self._walk(path, excluded) if is_folder else [path]:
                if not (archives.is_archive(file.name) or self._readers.can_read(file.name)):
                    if self._place(file) in self._known:  # it was read with other settings; its passages stay
                        self._inaccessible.add(_escaped_real_path(file))
                    if file == path:
                        kinds = ", ".join(self._readers.suffixes)
                        self._report_problem(given, f"has an unsupported type. Supported are: {kinds}.")
                    else:
                        self.report.skipped.append(file)
                elif not file.is_file():
                    problem = "is no regular file" if file.exists() else "is a link to a file that does not exist"
                    self._report_problem(given if file == path else file, f"{problem}. Give a file or a folder.")
                elif is_folder and not self._config.follow_links and not file.resolve().is_relative_to(path.resolve()):
                    self.report.linked.append(file)
                elif (real := file.resolve()) not in seen:
                    seen.add(real)
                    yield file

    def follow_moved(self, files: Sequence[Path]) -> None:
        """Change the place of known files that were moved. They are recognised by their bytes, else by their names.

        A known file keeps its name if its new path ends with that name; otherwise it gets a new name. A file whose
        suffix has changed is not followed, since another reader may have to read it.
        """
        new = {place: file for file in files if (place := self._place(file)) not in self._known}
        if not new:
            return
        missing = {place: file for place, file in self._known.items() if not os.path.lexists(self._path_of(place))}
        linked = {os.path.realpath(self._path_of(place)): place for place in self._known.keys() - missing.keys()}
        digests = {file.digest: place for place, file in missing.items()}
        names = {file.name: place for place, file in missing.items()}
        taken = {file.name for file in self._known.values()}
        for place, file in new.items():
            old = linked.pop(os.path.realpath(file), None)
            if old is None and missing:
                try:
                    old = digests.get(_digest(file)) or names.get(_display_name(file, ()))
                except DataError:
                    continue
            if old is not None and old in self._known and self._suffix(old) == self._suffix(place):
                moved = self._known.pop(old)
                taken.remove(moved.name)
                name = moved.name if _real_path(file).endswith(f"/{moved.name}") else _display_name(file, taken)
                taken.add(name)
                self._library.move(old, place, name)
                self._known[place] = replace(moved, name=name)

    def _suffix(self, place: str) -> tuple[str, bool]:
        """The suffix by which a file's reader is chosen, and whether the file is compressed."""
        lower = place.lower()
        stem = lower.removesuffix(".gz")
        suffixes = [suffix for suffix in self._readers.suffixes if stem.endswith(suffix) or lower.endswith(suffix)]
        return max(suffixes, key=len, default=""), stem != lower

    def remove_missing(self, paths: Sequence[Path | str], files: Sequence[Path]) -> None:
        """Remove the known files that are below the paths and no longer exist; ``files`` are those that exist."""
        roots, found = {_escaped_real_path(path) for path in paths}, {self._place(file) for file in files}
        for place in self._known.keys() - found:
            locations = self._paths_of(place)
            if not locations.isdisjoint(roots) and locations.isdisjoint(self._inaccessible):
                self._library.remove(place)
                del self._known[place]
                self.report.removed += 1

    def add(self, path: Path) -> None:
        """Read a file if it is new or changed, and count it in the report."""
        place = self._place(path)
        known = self._known.get(place)
        name = known.name if known else _display_name(path, self._names)
        self._withdrawn_count = self._long_sentence_count = 0
        try:
            if known is None:
                check_size(path, name, self._config)  # first, since the digest reads the whole file
            digest = _digest(path)
            settings_digest = self._problems_digest if known and known.problems else self._settings_digest
            if known and (known.digest, known.settings_digest) == (digest, settings_digest):
                self.report.unchanged += 1
                self.report.failed += known.problems
                return
            if (original := self._identical_file(place, digest)) is not None:
                self.report.copies.append((name, original))
                if known:
                    self._library.remove(place)
                return
            members = self._members(path, name)
            problems = self._library.replace(
                place, name, digest, self._settings_digest, members, problems_digest=self._problems_digest
            )
        except DataError as error:
            advice = " Its earlier passages are kept." if known else ""
            self.report.failed.append(Problem(name, f"{error}{advice}"))
            return
        self._by_digest[digest] = (place, name)
        self._names.add(name)
        self.report.failed += problems
        self.report.withdrawn += self._withdrawn_count
        self.report.long_sentences += self._long_sentence_count
        if known:
            self.report.changed += 1
        else:
            self.report.added += 1

    @cached_property
    def _known_paths(self) -> set[str]:
        """The paths of the files in the library before this update, and of the folders that contain them."""
        return {path for place in self._known for path in self._paths_of(place)}

    @cached_property
    def _names(self) -> set[str]:
        """Names of the files in the library, including files that this update adds."""
        return {file.name for file in self._known.values()}

    @cached_property
    def _by_digest(self) -> dict[str, tuple[str, str]]:
        """Place and name by digest of the files in the library, including files that this update adds."""
        return {file.digest: (place, file.name) for place, file in self._known.items()}

    def _identical_file(self, place: str, digest: str) -> str | None:
        """The name of another known file that still has the same bytes; None if there is none."""
        other, name = self._by_digest.get(digest, (place, ""))
        try:
            return name if other != place and _digest(Path(self._path_of(other))) == digest else None
        except DataError:
            return None

    def _members(self, path: Path, name: str) -> Iterator[Member]:
        for member, documents in self._worker.members(path, name):
            yield member, map(self._entry, documents)

    def _entry(self, document: ReadResult) -> Entry:
        if isinstance(document, tuple):
            extract, split = document
            self._long_sentence_count += split.long_sentences
            return replace(extract, metadata=shortened(extract.metadata)), split.passages
        self._withdrawn_count += isinstance(document, Withdrawn)
        return document

    def _walk(self, folder: Path, excluded: Collection[str]) -> Iterator[Path]:
        """The visible files, links and devices below a folder, sorted; ``excluded`` are real paths."""

        def report(error: OSError) -> None:
            self._report_os_error(error.filename or folder, error)

        for parent, subfolders, names in os.walk(folder, onerror=report):
            real_parent = _real_path(parent)
            subfolders[:] = _visible_names(subfolders, real_parent, excluded)
            for name in _visible_names(names, real_parent, excluded):
                file = Path(parent, name)
                try:
                    file.stat()
                except (FileNotFoundError, NotADirectoryError):
                    yield file  # a broken link
                except OSError as error:
                    self._report_os_error(file, error)
                else:
                    yield file

    def _report_os_error(self, path: Path | str, error: OSError) -> None:
        self._inaccessible.add(_escaped_real_path(path))
        self._report_problem(path, f"cannot be read ({error.strerror}).")

    def _report_problem(self, path: Path | str, problem: str) -> None:
        name = escaped_path(path)
        self.report.failed.append(Problem(name, f"{name}: {problem}"))

    def _place(self, path: Path) -> str:
        return escaped_path(os.path.relpath(_real_path(path), self._store))

    def _path_of(self, place: str) -> str:
        return os.path.normpath(os.path.join(self._store, unescaped_name(place)))  # noqa: PTH118

    def _paths_of(self, place: str) -> set[str]:
        """The escaped absolute paths of a place and of the folders that contain it."""
        path = Path(os.path.normpath(os.path.join(escaped_path(self._store), place)))  # noqa: PTH118
        return {str(path), *map(str, path.parents)}


def _visible_names(names: Collection[str], folder: str, excluded: Collection[str]) -> list[str]:
    return sorted(name for name in names if not is_hidden(name) and os.path.join(folder, name) not in excluded)  # noqa: PTH118


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            if _has_hole(file.fileno()):  # hashing 100 GB of zeros would take minutes
                problem = f"has a hole of more than {MAX_HOLE:,} bytes, so it is no document."
                raise DataError(escaped_path(path), problem)
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(escaped_path(path), f"cannot be read ({error.strerror}).") from None


def _has_hole(file: int) -> bool:
    """Whether a sparse file has a hole of more than ``MAX_HOLE`` bytes, on systems that report holes."""
    size, at = os.fstat(file).st_size, 0
    try:
        while size - at > MAX_HOLE:
            data = os.lseek(file, at, os.SEEK_DATA)
            if data - at > MAX_HOLE:
                return True
            at = os.lseek(file, data, os.SEEK_HOLE)
    except (OSError, AttributeError) as error:  # ENXIO: only a hole follows; others: the system has no such calls
        return isinstance(error, OSError) and error.errno == errno.ENXIO
    finally:
        os.lseek(file, 0, os.SEEK_SET)
    return False


def _real_path(path: Path | str) -> str:
    """The absolute path without symbolic links, so that each file has one path."""
    return os.path.realpath(Path(path).expanduser())


def _escaped_real_path(path: Path | str) -> str:
    return escaped_path(_real_path(path))


def _display_name(path: Path, taken: Collection[str]) -> str:
    """The path relative to the working folder; the absolute path if the file is elsewhere or that name is taken."""
    absolute = Path(_real_path(path))
    here = Path.cwd()
    name = escaped_path(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)
    return name if name not in taken else escaped_path(absolute)


def escaped_path(path: Path | str) -> str:
    """A path as text; see ``escaped_name``."""
    return escaped_name(os.fsdecode(path))


def _with_progress(files: Sequence[Path], *, quiet: bool) -> Iterator[Path]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TextColumn("files"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet or not files) as progress:
        yield from progress.track(files)
