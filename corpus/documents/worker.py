"""A process that reads files within limits of time and memory.

Parsers of untrusted files may loop, exhaust the memory, or crash. So a separate process reads the files one by one and
cuts their texts into passages. It is killed if a file takes too much time or memory, and restarted for the next file.
The parent counts tokens, because it has the tokenizers. The process is a new interpreter instead of a fork, because
threads of the parent may hold locks; it does not import the parent's main module.
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
from corpus.documents.extract import Extract, Problem, Withdrawn, one_line
from corpus.documents.passages import Cut, Window, cut
from corpus.documents.readers import Readers
from corpus.documents.source import Source, escaped, listed_kinds

WATCHED_SECONDS = 0.05  # interval of the checks on the process
STOPS = 3  # killed members of an archive after which its other members are skipped
_START = """
import pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
from corpus.documents.worker import main
main()
"""

Read = tuple[Extract, Cut] | Withdrawn | Problem


@dataclass(frozen=True, slots=True)
class _Setup:
    config: DocumentsConfig
    limit: int
    mark: str


@dataclass(frozen=True, slots=True)
class _Request:
    path: str
    name: str
    skipped: int  # number of an archive's members that are already read


@dataclass(frozen=True, slots=True)
class _Member:
    """The start of a file, or of an archive's next member; its documents follow."""

    name: str


@dataclass(frozen=True, slots=True)
class _Failed:
    """The member, or the file if no member has begun, cannot be read."""

    why: str


@dataclass(frozen=True, slots=True)
class _Count:
    texts: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Done:
    """The end of the member, or of the file if no member has begun."""


class _ReadError(DataError):
    """A ``DataError`` whose message is complete."""

    def __init__(self, why: str) -> None:
        Exception.__init__(self, why)


class Worker:
    """Reads files in another process, which starts with the first file; use it as a context manager.

    Args:
        window: maximum size of a passage.
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

    def members(self, path: Path, name: str) -> Iterator[tuple[str, Iterator[Read]]]:
        """The supported members of an archive, or the file itself, each with its documents and their passages.

        Iterate over them in order. If the process is killed at a member, the others are still read.

        Raises (while iterating, over the members or over the documents of one):
            DataError: the member cannot be read, or exceeds a limit.
        """
        begun = stops = 0
        while True:
            process = self._ready()
            process.send(_Request(str(path), name, begun))
            while isinstance(message := self._receive(process, name), _Member):
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
        problem = f"{STOPS} files in it could not be read within the limits, so the files after them were skipped."
        raise DataError(name, f"{problem} Unpack it and index its files.")
        yield

    def _receive(self, process: "_Process", name: str) -> Any:
        while isinstance(message := process.receive(name), _Count):
            process.send(list(self._window.count(message.texts)))
        return message

    def _ready(self) -> "_Process":
        """An idle process."""
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
    """The process, as its parent sees it.

    Attributes:
        is_idle: whether it has read its last file to the end.
        stopped: whether it has ended.
    """

    def __init__(self, setup: _Setup) -> None:
        import psutil

        self._config = setup.config
        self.is_idle = True
        self.stopped = False
        self._why: str | None = None
        self._waited = 0.0  # seconds for the current document
        self._waiting_since: float | None = None
        errors = None if setup.config.readers else subprocess.DEVNULL  # libraries quote files there
        command = [sys.executable, "-P", "-c", _START]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        self._seen = psutil.Process(self._process.pid)
        self.send(sys.path)
        self.send(setup)
        message = self._load()  # without a limit of time
        if not isinstance(message, _Done):
            self.stop()
            why = message.why if isinstance(message, _Failed) else "it ended at once"
            raise UserError(f"The process that reads documents cannot be started: {why}. Run medground doctor.")
        threading.Thread(target=self._watch, daemon=True).start()

    def send(self, message: object) -> None:
        """Send a message; if the process has ended, ``receive`` raises."""
        stdin = self._process.stdin
        assert stdin is not None
        with suppress(OSError):
            stdin.write(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))
            stdin.flush()

    def receive(self, name: str) -> Any:
        """The next message."""
        self._waiting_since = time.monotonic()
        message = self._load()
        self._waited += time.monotonic() - self._waiting_since
        self._waiting_since = None
        if message is None:
            self.stop()
            status = self._process.returncode
            why = self._why or f"crashes the program that reads it (status {status}). Leave it out, or save it anew."
            raise DataError(name, why)
        if not isinstance(message, _Count):
            self._waited = 0.0
        return message

    def is_fit(self) -> bool:
        """Whether it runs, and has released the memory of earlier files."""
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
        """The next message of the process; None if it has ended."""
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
        """Kill the process when it exceeds a limit."""
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

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent also gets it, and ends this process
    threading.Thread(target=_end_with_parent, args=[os.getppid()], daemon=True).start()
    _Server(sys.stdin.buffer, _claimed_output()).serve()


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _claimed_output() -> IO[bytes]:
    """The stream to the parent; output of libraries goes to standard error instead."""
    stream = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return stream


class _Server:
    """The process's own side: it answers requests."""

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
        """Read files until the parent ends."""
        while True:
            request: _Request = self._load()
            others: list[str] = []
            with self._reported(request.name):
                for number, source in enumerate(self._sources(request, others)):
                    if number >= request.skipped:
                        self._read(source)
                if others:
                    self._send(_Member(request.name))
                    files = "file in it has" if len(others) == 1 else "files in it have"
                    why = f"{len(others)} {files} an unsupported type ({listed_kinds(others)})."
                    self._send(_Failed(f"{request.name}: {why}"))

    def _sources(self, request: _Request, others: list[str]) -> Iterator[Source]:
        """The file, or the supported members of an archive; names of the others are added to ``others``."""
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
        self._send(_Member(source.name))
        with self._reported(source.name):
            for document in self._readers.read(source):
                _limit_time(self._config)
                self._send((document, cut(document, self._window)) if isinstance(document, Extract) else document)

    @contextmanager
    def _reported(self, name: str) -> Iterator[None]:
        """Report the end of ``name``, or any error of a parser."""
        _limit_time(self._config)
        try:
            yield
            self._send(_Done())
        except Exception as error:
            self._send(_Failed(escaped(self._why(name, error))))

    def _why(self, name: str, error: BaseException) -> str:
        cause: BaseException | None = error
        while cause is not None:  # a reader may have translated it
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
        written = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)  # first: it may exhaust the memory
        try:
            self._answers.write(written)
            self._answers.flush()
        except BrokenPipeError:
            self._end()

    def _end(self) -> NoReturn:
        """End the process, since its parent has ended."""
        os._exit(0)


def _limit_memory(config: DocumentsConfig) -> None:
    """Make allocations beyond the limit fail, on systems with such a limit; the parent watches too."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (config.max_memory, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _limit_time(config: DocumentsConfig) -> None:
    """Let the system end a process without a parent if a parser's call blocks the thread that would end it."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        most = used.ru_utime + used.ru_stime + 60 + config.max_seconds * (os.cpu_count() or 1)
        resource.setrlimit(resource.RLIMIT_CPU, (int(most), resource.getrlimit(resource.RLIMIT_CPU)[1]))
