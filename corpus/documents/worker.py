"""A process that reads files within limits of time and memory.

Parsers of untrusted files may loop, exhaust the memory, or crash. Therefore a worker process reads the files one by one
and splits their texts into passages. The worker is killed if a file takes too much time or memory; a new worker reads
the next file. The parent process counts tokens, because it has the tokenizers. The worker is a new interpreter instead
of a fork, because threads of the parent may hold locks. It does not import the parent's main module.
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
from typing import IO, Any

from common.errors import DataError, UserError
from corpus.config import DocumentsConfig
from corpus.documents import archives
from corpus.documents.extract import Extract, Problem, Withdrawn, one_line
from corpus.documents.passages import SplitDocument, Window, split_document
from corpus.documents.readers import Readers
from corpus.documents.source import Source, escaped, suffix_counts

CHECK_INTERVAL = 0.05  # seconds between checks of the worker's time and memory
MAX_KILLS = 3  # members of an archive at which a worker was killed; then the other members are skipped
_WORKER_SCRIPT = """
import pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
from corpus.documents.worker import main
main()
"""

ReadResult = tuple[Extract, SplitDocument] | Withdrawn | Problem


@dataclass(frozen=True, slots=True)
class _Request:
    path: str
    name: str
    skipped: int  # number of an archive's first members to skip, since earlier workers have begun to read them


@dataclass(frozen=True, slots=True)
class _Member:
    """The start of a file, or of an archive's next member; its documents follow."""

    name: str


@dataclass(frozen=True, slots=True)
class _CountTokens:
    """A request to the parent for the number of tokens of each text."""

    texts: Sequence[str]


@dataclass(frozen=True, slots=True)
class _End:
    """The end of a member, or of the file if no member has begun; ``error`` says why it cannot be read, if so."""

    error: str | None = None

    def check(self) -> None:
        """Raise the error, if any."""
        if self.error is not None:
            raise _ReadError(self.error)


class _ReadError(DataError):
    """A ``DataError`` whose message already names the file."""

    def __init__(self, why: str) -> None:
        Exception.__init__(self, why)


class Worker:
    """Reads files in a worker process, which starts with the first file; use as a context manager.

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

    def members(self, path: Path, name: str) -> Iterator[tuple[str, Iterator[ReadResult]]]:
        """The supported members of an archive, or the file itself, each with its documents and their passages.

        Iterate over a member's documents before the next member. If the worker is killed at a member, a new worker
        reads the remaining members.

        Raises (while iterating over members or documents):
            DataError: the member cannot be read, or exceeds a limit.
        """
        started = kills = 0  # number of members that workers began to read, and of those at which one was killed
        while True:
            process = self._ready()
            process.send(_Request(str(path), name, started))
            while isinstance(message := process.receive(name), _Member):
                started += 1
                yield message.name, self._documents(process, message.name)
                if process.stopped:
                    break
            if not process.stopped:
                process.is_idle = True
                message.check()
                return
            kills += 1
            if not archives.is_archive(name):
                return
            if kills == MAX_KILLS:
                yield name, self._skipped_members(name)
                return

    def _documents(self, process: "_Process", name: str) -> Iterator[ReadResult]:
        while not isinstance(message := process.receive(name), _End):
            yield message
        message.check()

    def _skipped_members(self, name: str) -> Iterator[ReadResult]:
        problem = f"{MAX_KILLS} files in it could not be read within the limits, so the files after them were skipped."
        raise DataError(name, f"{problem} Unpack it and index its files.")
        yield  # makes this function a generator

    def _ready(self) -> "_Process":
        """An idle process: the running one if it can read another file, else a new one."""
        if self._running is not None and not (self._running.is_idle and self._running.is_reusable()):
            self._stop()
        if self._running is None:
            self._running = _Process(self._window, self._config)
        self._running.is_idle = False
        return self._running

    def _stop(self) -> None:
        if self._running is not None:
            self._running.stop()
            self._running = None


class _Process:
    """The worker process, as its parent sees it.

    Attributes:
        is_idle: whether its last file has been read to the end.
        stopped: whether the process has ended.
    """

    def __init__(self, window: Window, config: DocumentsConfig) -> None:
        import psutil

        self._window = window
        self._config = config
        self.is_idle = True
        self.stopped = False
        self._kill_reason: str | None = None
        self._waited = 0.0  # seconds of waiting for the current document
        self._waiting_since: float | None = None
        errors = None if config.readers else subprocess.DEVNULL  # the libraries' messages may quote documents
        command = [sys.executable, "-P", "-c", _WORKER_SCRIPT]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        self._statistics = psutil.Process(self._process.pid)
        self.send(sys.path)
        self.send((config, window.limit, window.fingerprint))
        message = self._load() or _End("it ended at once")  # no time limit, since the watch has not started
        if reason := message.error:
            self.stop()
            raise UserError(f"The process that reads documents cannot be started: {reason}. Run medground doctor.")
        threading.Thread(target=self._watch, daemon=True).start()

    def send(self, message: object) -> None:
        """Send a message. If the process has ended, the next call of ``receive`` raises the error."""
        stdin = self._process.stdin
        assert stdin is not None
        with suppress(OSError):
            stdin.write(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))
            stdin.flush()

    def receive(self, name: str) -> Any:
        """The next message of the process; its requests for token counts are answered and not returned."""
        while True:
            self._waiting_since = time.monotonic()
            message = self._load()
            self._waited += time.monotonic() - self._waiting_since
            self._waiting_since = None
            if message is None:
                self.stop()
                status = self._process.returncode
                crash = f"crashes the program that reads it (status {status}). Leave it out, or save it anew."
                raise DataError(name, self._kill_reason or crash)
            if not isinstance(message, _CountTokens):
                self._waited = 0.0
                return message
            self.send(list(self._window.count(message.texts)))

    def is_reusable(self) -> bool:
        """Whether the process runs and has released most memory of earlier files."""
        runs = not self.stopped and self._kill_reason is None and self._process.poll() is None
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
            return int(self._statistics.memory_info().rss)
        except psutil.Error:
            return 0

    def _watch(self) -> None:
        """Kill the process when it exceeds a limit."""
        while not self.stopped:
            since = self._waiting_since
            waited = self._waited + (time.monotonic() - since if since is not None else 0.0)
            if since is not None and waited > self._config.max_seconds:
                self._kill_reason = _limit_message(f"documents.max_seconds ({self._config.max_seconds:,} s)")
            elif self._memory() > self._config.max_memory:
                self._kill_reason = _limit_message(f"documents.max_memory ({self._config.max_memory:,} bytes)")
            if self._kill_reason is not None:
                self._process.kill()
                return
            time.sleep(CHECK_INTERVAL)


def _limit_message(limit: str) -> str:
    return f"takes more than {limit} to read. Split it, or raise the setting."


def main() -> None:
    """Read files for the parent process until the parent ends."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C also reaches the parent, which ends this process
    threading.Thread(target=_end_with_parent, args=[os.getppid()], daemon=True).start()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output of libraries to standard output (1) goes to standard error (2)
    _WorkerServer(sys.stdin.buffer, answers).serve()


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


class _WorkerServer:
    """Answers the parent's requests in the worker process."""

    def __init__(self, requests: IO[bytes], answers: IO[bytes]) -> None:
        self._requests = requests
        self._answers = answers
        self._config, limit, fingerprint = self._load()
        self._window = Window(limit, self._count, fingerprint)
        try:
            self._readers = Readers(self._config)
        except UserError as error:
            self._send(_End(str(error)))
            raise SystemExit(1) from None
        # If the system supports it, allocations beyond the limit fail. The parent checks the memory too.
        _limit("RLIMIT_DATA", self._config.max_memory)
        self._send(_End())

    def serve(self) -> None:
        """Read files until the parent ends."""
        while True:
            request: _Request = self._load()
            unsupported: list[str] = []
            with self._reported(request.name):
                for number, source in enumerate(self._sources(request, unsupported)):
                    if number >= request.skipped:
                        self._read(source)
                if unsupported:
                    self._send(_Member(request.name))
                    files = "file in it has" if len(unsupported) == 1 else "files in it have"
                    why = f"{len(unsupported)} {files} an unsupported type ({suffix_counts(unsupported)})."
                    self._send(_End(f"{request.name}: {why}"))

    def _sources(self, request: _Request, unsupported: list[str]) -> Iterator[Source]:
        """The file, or an archive's supported members; the names of the other members are added to ``unsupported``."""
        path = Path(request.path)
        if archives.is_archive(request.name):
            for member in archives.members(path, request.name, self._config):
                if self._readers.can_read(member.name):
                    yield member
                else:
                    unsupported.append(member.name)
        else:
            yield Source(request.name, lambda: path.open("rb"))

    def _read(self, source: Source) -> None:
        self._send(_Member(source.name))
        with self._reported(source.name):
            for document in self._readers.read(source):
                _limit_time(self._config)
                self._send(
                    (document, split_document(document, self._window)) if isinstance(document, Extract) else document
                )

    @contextmanager
    def _reported(self, name: str) -> Iterator[None]:
        """Send the parent the end of the file or member ``name``, or any error of its parser."""
        _limit_time(self._config)
        try:
            yield
            self._send(_End())
        except Exception as error:
            self._send(_End(escaped(self._message(name, error))))

    def _message(self, name: str, error: BaseException) -> str:
        cause: BaseException | None = error
        while cause is not None:  # a reader may raise another error from a MemoryError
            if isinstance(cause, MemoryError):
                return f"{name}: {_limit_message(f'documents.max_memory ({self._config.max_memory:,} bytes)')}"
            cause = cause.__cause__ or cause.__context__
        if isinstance(error, DataError):
            return str(error)
        reason = one_line(f"{type(error).__name__}: {error}") or ""
        return f"{name}: cannot be read ({reason[:300]}). Leave it out, or save it anew."

    def _count(self, texts: Sequence[str]) -> list[int]:
        self._send(_CountTokens(texts))
        counts: list[int] = self._load()
        return counts

    def _load(self) -> Any:
        try:
            return pickle.load(self._requests)
        except EOFError:
            os._exit(0)  # the parent has ended

    def _send(self, message: object) -> None:
        # The message is pickled before it is written: if pickling exhausts the memory, the stream is still intact.
        pickled = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        try:
            self._answers.write(pickled)
            self._answers.flush()
        except BrokenPipeError:
            os._exit(0)


def _limit(name: str, value: int) -> None:
    """Set the limit ``name`` of this process, such as RLIMIT_DATA, if the system has this limit."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        kind = getattr(resource, name)
        resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))


def _limit_time(config: DocumentsConfig) -> None:
    """Limit the CPU time of this process.

    If the parent has ended while a parser blocks ``_end_with_parent``, the system ends this process at the limit.
    """
    _limit("RLIMIT_CPU", int(time.process_time() + 60 + config.max_seconds * (os.cpu_count() or 1)))
