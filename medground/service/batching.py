"""Many requests, one model: questions that wait together are answered in one pass."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager

from chains.answer import Answer
from chains.runnable import AnswerChain, Question
from corpus.errors import UserError

_thread = threading.local()


class Cancelled(Exception):  # noqa: N818  (nothing is wrong)
    """Nobody waits for the answer any more."""


class Cancel:
    """Stops what one request waits for; may be called from any thread, and before there is anything to stop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Future[Answer | UserError]] = []
        self.requested = False

    def __call__(self) -> None:
        """Take the request's questions out of the queue; those that the model reads already are let go."""
        with self._lock:
            self.requested = True
            waiting, self._waiting = self._waiting, []
        for future in waiting:
            future.cancel()

    @contextmanager
    def around(self) -> Iterator[None]:
        """Inside, what this thread asks of a ``BatchedChain`` belongs to the request."""
        _thread.cancel = self
        try:
            yield
        finally:
            _thread.cancel = None

    def watch(self, futures: "Sequence[Future[Answer | UserError]]") -> None:
        """Cancel these too.

        Raises:
            Cancelled: the request is cancelled already.
        """
        with self._lock:
            if not self.requested:
                self._waiting = list(futures)
                return
        raise Cancelled


class BatchedChain(AnswerChain):
    """A chain whose callers, each in a thread of its own, share passes through ``chain``.

    The first question that waits is given ``wait`` seconds for others to join it; then up to ``most`` of those that
    wait are answered in one pass, in the order they came in. Meanwhile the next pass gathers. A pass that fails is
    taken apart, so that one question's error is not the others'.

    Args:
        chain: is called from ``passes`` threads.
        most: questions in a pass.
        passes: how many at once.
        wait: seconds.
        observe: is told the size of each pass.
    """

    def __init__(
        self, chain: AnswerChain, *, most: int, passes: int = 1, wait: float, observe: Callable[[int], None]
    ) -> None:
        self._chain = chain
        self._most = most
        self._wait = wait
        self._observe = observe
        self._queue: deque[tuple[Question, Future[Answer | UserError]]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._workers = [threading.Thread(target=self._work, name="model", daemon=True) for _ in range(passes)]
        for worker in self._workers:
            worker.start()

    @property
    def waiting(self) -> int:
        """How many questions wait for a pass."""
        with self._changed:
            return sum(not future.cancelled() for _, future in self._queue)

    def answer_all(self, questions: Sequence[Question]) -> list[Answer | UserError]:
        """Wait until the questions have been in a pass.

        Raises:
            Cancelled: the request that this thread works for was cancelled, or the chain was closed.
        """
        futures: list[Future[Answer | UserError]] = [Future() for _ in questions]
        cancel: Cancel | None = getattr(_thread, "cancel", None)
        if cancel is not None:
            cancel.watch(futures)
        with self._changed:
            if self._closed:
                raise Cancelled
            self._queue.extend(zip(questions, futures, strict=True))
            self._changed.notify_all()
        answers = []
        for future in futures:
            try:
                answers.append(future.result())
            except BaseException as error:
                if future.cancelled():
                    raise Cancelled from error
                raise
        return answers

    def close(self) -> None:
        """Cancel what waits and end the workers when their passes are over."""
        with self._changed:
            self._closed = True
            waiting = list(self._queue)
            self._queue.clear()
            self._changed.notify_all()
        for _, future in waiting:
            future.cancel()
        for worker in self._workers:
            worker.join()

    def _work(self) -> None:
        while batch := self._gather():
            self._observe(len(batch))
            try:
                answers: Sequence[Answer | UserError] = self._chain.answer_all([question for question, _ in batch])
            except BaseException as error:
                if len(batch) == 1:
                    batch[0][1].set_exception(error)
                    continue
                for question, future in batch:
                    try:
                        future.set_result(self._chain.answer_all([question])[0])
                    except BaseException as own:
                        future.set_exception(own)
                continue
            for (_, future), answer in zip(batch, answers, strict=True):
                future.set_result(answer)

    def _gather(self) -> list[tuple[Question, "Future[Answer | UserError]"]]:
        """The next pass, none of it cancelled; empty when the chain is closed."""
        batch: list[tuple[Question, Future[Answer | UserError]]] = []
        with self._changed:
            while not batch and not self._closed:
                self._changed.wait_for(lambda: self._queue or self._closed)
                end = time.monotonic() + self._wait
                while len(self._queue) < self._most and not self._closed:
                    if not self._changed.wait_for(self._full, max(0.0, end - time.monotonic())):
                        break
                while self._queue and len(batch) < self._most:
                    question, future = self._queue.popleft()
                    if future.set_running_or_notify_cancel():
                        batch.append((question, future))
        return batch

    def _full(self) -> bool:
        return len(self._queue) >= self._most or self._closed
