"""A process that reads files within limits of time and memory.

Parsers of untrusted files may loop, need more memory than there is, or crash. So a separate process reads the files,
one after the other. It is killed when a file takes too long or too much memory, and started again for the next file.
It is a new interpreter, not a fork, because threads of the parent may hold locks, and it does not import the parent's
main module. It also cuts the texts into passages. The parent counts tokens, because it has the tokenizers.
"""

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

from common.errors import DataError, UserError
from corpus.config import DocumentsConfig
from corpus.documents import archives
from corpus.documents.extract import Extract, Withdrawn, one_line
from corpus.documents.passages import Cut, Window, cut
from corpus.documents.readers import Readers
from corpus.documents.source import Source, escaped, listed_kinds

WATCHED_SECONDS = 0.05  # between two looks at the process
STOPS = 3  # members of one archive that may be stopped before the rest of it is given up
_START = """
import pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
from corpus.documents.worker import main
main()
"""

Read = tuple[Extract, Cut] | Withdrawn


@dataclass(frozen=True, slots=True)
class _Setup:
    config: DocumentsConfig
    limit: int
    mark: str


@dataclass(frozen=True, slots=True)
class _Request:
    path: str
    name: str
    skipped: int  # members of an archive that were read before


@dataclass(frozen=True, slots=True)
class _Part:
    """A file, or an archive's next member; what it holds follows."""

    name: str


@dataclass(frozen=True, slots=True)
class _Failed:
    """The part, or the file where no part has begun, cannot be read."""

    why: str


@dataclass(frozen=True, slots=True)
class _Count:
    texts: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Done:
    """The part is read to its end, or the file where no part has begun."""


class _ReadError(DataError):
    """A ``DataError`` whose message is complete."""

    def __init__(self, why: str) -> None:
        Exception.__init__(self, why)


class Worker:
    """Reads files in another process; use it as a context. The process starts with the first file.

    Args:
        window: what passages must fit.
        config: limits and readers.
    """

    def __init__(self, window: Window, config: DocumentsConfig) -> None:
        self._window = window
        self._config = config
        self._running: _Process | None = None

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def parts(self, path: Path, name: str) -> Iterator[tuple[str, Iterator[Read]]]:
        """The parts of a file, each with its documents and their passages; to be gone through in order.

        A plain file is one part, an archive has one for each member that is read. Where a member is stopped the others
        are read all the same.

        Raises (while iterating, over the parts or over the documents of one):
            DataError: what cannot be read, and the limits that it passes.
        """
        begun = stops = 0
        while True:
            process = self._ready()
            process.send(_Request(str(path), name, begun))
            while isinstance(message := self._receive(process, name), _Part):
                begun += 1
                yield message.name, self._documents(process, message.name)
                if process.stopped:
                    break
            if not process.stopped:
                process.is_idle = True
                if isinstance(message, _Failed):
                    raise _ReadError(message.why)
                return
            stops += 1
            if not archives.is_archive(name):
                return
            if stops == STOPS:
                yield name, self._given_up(name)
                return

    def _documents(self, process: "_Process", name: str) -> Iterator[Read]:
        while not isinstance(message := self._receive(process, name), _Done):
            if isinstance(message, _Failed):
                raise _ReadError(message.why)
            yield message

    def _given_up(self, name: str) -> Iterator[Read]:
        problem = f"{STOPS} files in it could not be read within the limits, so those after them were not tried."
        raise DataError(name, f"{problem} Unpack it and index what is in it.")
        yield

    def _receive(self, process: "_Process", name: str) -> Any:
        while isinstance(message := process.receive(name), _Count):
            process.send(list(self._window.count(message.texts)))
        return message

    def _ready(self) -> "_Process":
        """A process that waits for a file."""
        if self._running is not None and not (self._running.is_idle and self._running.is_fit()):
            self._stop()
        if self._running is None:
            self._running = _Process(_Setup(self._config, self._window.limit, self._window.mark))
        self._running.is_idle = False
        return self._running

    def _stop(self) -> None:
        if self._running is not None:
            self._running.stop()
            self._running = None


class _Process:
    """The process, seen from its parent.

    Attributes:
        is_idle: it has read its last file to the end.
        stopped: it reads nothing any more.
    """

    def __init__(self, setup: _Setup) -> None:
        import psutil

        self._config = setup.config
        self.is_idle = True
        self.stopped = False
        self._why: str | None = None
        self._waited = 0.0  # for the document that is being read
        self._waiting_since: float | None = None
        errors = None if setup.config.readers else subprocess.DEVNULL  # libraries write there what files say
        command = [sys.executable, "-P", "-c", _START]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        self._seen = psutil.Process(self._process.pid)
        self.send(sys.path)
        self.send(setup)
        message = self._load()  # its start is not a file's fault, and has no limit
        if not isinstance(message, _Done):
            self.stop()
            why = message.why if isinstance(message, _Failed) else "it ends at once"
            raise UserError(f"The process that reads documents cannot be started: {why}. Run medground doctor.")
        threading.Thread(target=self._watch, daemon=True).start()

    def send(self, message: object) -> None:
        """Send a message; where the process is gone ``receive`` says so."""
        stdin = self._process.stdin
        assert stdin is not None
        with suppress(OSError):
            stdin.write(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))
            stdin.flush()

    def receive(self, name: str) -> Any:
        """The next message.

        Raises:
            DataError: the process was stopped, or has crashed, over the file ``name``.
        """
        self._waiting_since = time.monotonic()
        message = self._load()
        self._waited += time.monotonic() - self._waiting_since
        self._waiting_since = None
        if message is None:
            self.stop()
            status = self._process.returncode
            why = self._why or f"ends the program that reads it (status {status}). Leave it out, or save it anew."
            raise DataError(name, why)
        if not isinstance(message, _Count):
            self._waited = 0.0
        return message

    def is_fit(self) -> bool:
        """Whether it runs, and keeps little memory from the files before."""
        runs = not self.stopped and self._why is None and self._process.poll() is None
        return runs and self._memory() < self._config.max_memory / 4

    def stop(self) -> None:
        """End the process."""
        self.stopped = True
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with suppress(OSError):
                stream.close()

    def _load(self) -> Any:
        """What the process says next; None where it has ended."""
        stdout = self._process.stdout
        assert stdout is not None
        try:
            return pickle.load(stdout)
        except (EOFError, OSError, pickle.UnpicklingError):
            return None

    def _memory(self) -> int:
        import psutil

        try:
            return int(self._seen.memory_info().rss)
        except psutil.Error:
            return 0

    def _watch(self) -> None:
        """Stop the process when it passes a limit."""
        while not self.stopped:
            since = self._waiting_since
            took = self._waited + (time.monotonic() - since if since is not None else 0.0)
            if since is not None and took > self._config.max_seconds:
                self._why = _too_long(self._config)
            elif self._memory() > self._config.max_memory:
                self._why = _too_much(self._config)
            if self._why is not None:
                self._process.kill()
                return
            time.sleep(WATCHED_SECONDS)


def _too_long(config: DocumentsConfig) -> str:
    return f"takes more than documents.max_seconds ({config.max_seconds:,} s) to read. Split it, or raise the setting."


def _too_much(config: DocumentsConfig) -> str:
    limit = f"documents.max_memory ({config.max_memory:,} bytes)"
    return f"takes more than {limit} to read. Split it, or raise the setting."


def main() -> None:
    """Read files for the parent until it ends."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and ends this process
    threading.Thread(target=_end_with_parent, args=[os.getppid()], daemon=True).start()
    _Server(sys.stdin.buffer, _claimed_output()).serve()


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _claimed_output() -> IO[bytes]:
    """The stream to the parent; what libraries print goes to standard error instead."""
    stream = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return stream


class _Server:
    """The other side: answers requests."""

    def __init__(self, requests: IO[bytes], answers: IO[bytes]) -> None:
        self._requests = requests
        self._answers = answers
        setup: _Setup = self._load()
        self._config = setup.config
        self._window = Window(setup.limit, self._count, setup.mark)
        try:
            self._readers = Readers(self._config)
        except UserError as error:
            self._send(_Failed(str(error)))
            raise SystemExit(1) from None
        _limit_memory(self._config)
        self._send(_Done())

    def serve(self) -> None:
        """Read files until there is no parent."""
        while True:
            request: _Request = self._load()
            others: list[str] = []
            with self._reported(request.name):
                for number, source in enumerate(self._sources(request, others)):
                    if number >= request.skipped:
                        self._read(source)
                if others:
                    self._send(_Part(request.name))
                    are = "file in it is" if len(others) == 1 else "files in it are"
                    why = f"{len(others)} {are} of a kind that is not read ({listed_kinds(others)})."
                    self._send(_Failed(f"{request.name}: {why}"))

    def _sources(self, request: _Request, others: list[str]) -> Iterator[Source]:
        """What is read of a file; names of an archive's members of other kinds go into ``others``."""
        path = Path(request.path)
        if archives.is_archive(request.name):
            for member in archives.members(path, request.name, self._config):
                if self._readers.can_read(member.name):
                    yield member
                else:
                    others.append(member.name)
        else:
            yield Source(request.name, lambda: path.open("rb"))

    def _read(self, source: Source) -> None:
        self._send(_Part(source.name))
        with self._reported(source.name):
            for document in self._readers.read(source):
                _limit_time(self._config)
                if isinstance(document, Withdrawn):
                    self._send(document)
                else:
                    self._send((document, cut(document, self._window)))

    @contextmanager
    def _reported(self, name: str) -> Iterator[None]:
        """Report how the reading of ``name`` ends, whatever a parser raises."""
        _limit_time(self._config)
        try:
            yield
            self._send(_Done())
        except Exception as error:
            self._send(_Failed(escaped(self._why(name, error))))

    def _why(self, name: str, error: BaseException) -> str:
        cause: BaseException | None = error
        while cause is not None:  # a reader may have taken it for a fault of the file
            if isinstance(cause, MemoryError):
                return f"{name}: {_too_much(self._config)}"
            cause = cause.__cause__ or cause.__context__
        if isinstance(error, DataError):
            return str(error)
        reason = one_line(f"{type(error).__name__}: {error}") or ""
        return f"{name}: cannot be read ({reason[:300]}). Leave it out, or save it anew."

    def _count(self, texts: Sequence[str]) -> list[int]:
        self._send(_Count(texts))
        counts: list[int] = self._load()
        return counts

    def _load(self) -> Any:
        try:
            return pickle.load(self._requests)
        except EOFError:
            self._end()

    def _send(self, message: object) -> None:
        written = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)  # where memory ends, nothing of it is sent
        try:
            self._answers.write(written)
            self._answers.flush()
        except BrokenPipeError:
            self._end()

    def _end(self) -> NoReturn:
        """There is no parent any more."""
        os._exit(0)


def _limit_memory(config: DocumentsConfig) -> None:
    """Have allocations beyond the limit fail, where the system knows such a limit; the parent watches too."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (config.max_memory, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _limit_time(config: DocumentsConfig) -> None:
    """Have the system end a process without a parent where a call of the parser keeps our thread from running."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        most = used.ru_utime + used.ru_stime + 60 + config.max_seconds * (os.cpu_count() or 1)
        resource.setrlimit(resource.RLIMIT_CPU, (int(most), resource.getrlimit(resource.RLIMIT_CPU)[1]))
