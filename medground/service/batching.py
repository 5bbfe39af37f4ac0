"""Dynamic batching: questions of several requests share one pass through the model."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_thread = threading.local()


class Cancelled(Exception):  # noqa: N818  (nothing is wrong)
    """The request was cancelled, or the queue closed."""


class Cancel:
    """Cancels the queued work of one request; may be called from any thread and at any time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Future[Any]] = []
        self.requested = False

    def __call__(self) -> None:
        """Remove the request's work from the queue; a running pass is completed."""
        with self._lock:
            self.requested = True
            waiting, self._waiting = self._waiting, []
        for future in waiting:
            future.cancel()

    @contextmanager
    def around(self) -> Iterator[None]:
        """Assign this thread's calls of ``Passes`` inside the context to the request."""
        _thread.cancel = self
        try:
            yield
        finally:
            _thread.cancel = None

    def watch(self, futures: Sequence[Future[Any]]) -> None:
        """Cancel these futures together with the request.

        Raises:
            Cancelled: the request has been cancelled.
        """
        with self._lock:
            if not self.requested:
                self._waiting = list(futures)
                return
        raise Cancelled


class Passes:
    """A queue in front of batch functions that combines the items of concurrent callers.

    The first item waits ``wait`` seconds for others; then up to ``most`` items of the same function are computed in one
    pass, in order of arrival, while the next pass fills. A failed pass is repeated item by item, so that one caller's
    error does not affect the others.

    Args:
        most: maximum number of items in a pass.
        passes: number of concurrent passes, each in its own thread.
        wait: seconds.
        observe: called with the size of each pass.
    """

    def __init__(self, *, most: int, passes: int = 1, wait: float, observe: Callable[[int], None]) -> None:
        self._most = most
        self._wait = wait
        self._observe = observe
        self._queue: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._workers = [threading.Thread(target=self._work, name="model", daemon=True) for _ in range(passes)]
        for worker in self._workers:
            worker.start()

    @property
    def waiting(self) -> int:
        """Number of items that wait for a pass."""
        with self._changed:
            return sum(not one.future.cancelled() for one in self._queue)

    def share(self, run: Callable[[Sequence[Item]], Sequence[Result]]) -> Callable[[Sequence[Item]], list[Result]]:
        """A function that computes ``run`` through the queue.

        It raises ``Cancelled`` when the request of its thread is cancelled, or the queue is closed.
        """

        def shared(items: Sequence[Item]) -> list[Result]:
            return self._results(run, items)

        return shared

    def _results(self, run: Callable[[Sequence[Any]], Sequence[Any]], items: Sequence[Any]) -> list[Any]:
        cancel: Cancel | None = getattr(_thread, "cancel", None)
        waiting = [_Waiting(run, item, cancel) for item in items]
        if cancel is not None:
            cancel.watch([one.future for one in waiting])
        with self._changed:
            if self._closed:
                raise Cancelled
            self._queue.extend(waiting)
            self._changed.notify_all()
        results = []
        for one in waiting:
            try:
                results.append(one.future.result())
            except BaseException as error:
                if one.future.cancelled():
                    raise Cancelled from error
                raise
        return results

    def close(self) -> None:
        """Cancel waiting items and end the workers after their passes."""
        with self._changed:
            self._closed = True
            waiting = list(self._queue)
            self._queue.clear()
            self._changed.notify_all()
        for one in waiting:
            one.future.cancel()
        for worker in self._workers:
            worker.join()

    def _work(self) -> None:
        while batch := self._gather():
            self._observe(len(batch))
            run = batch[0].run
            try:
                results = run([one.item for one in batch])
            except BaseException as error:
                if len(batch) == 1:
                    batch[0].future.set_exception(error)
                    continue
                for one in batch:
                    try:
                        if one.cancel is not None and one.cancel.requested:  # a slow failure may outlast them all
                            raise Cancelled
                        one.future.set_result(run([one.item])[0])
                    except BaseException as own:
                        one.future.set_exception(own)
                continue
            for one, result in zip(batch, results, strict=True):
                one.future.set_result(result)

    def _gather(self) -> list["_Waiting"]:
        """The next pass: items of one function, none cancelled; empty when the queue is closed."""
        batch: list[_Waiting] = []
        with self._changed:
            while not batch and not self._closed:
                self._changed.wait_for(lambda: self._queue or self._closed)
                end = time.monotonic() + self._wait
                while len(self._queue) < self._most and not self._closed:
                    if not self._changed.wait_for(self._full, max(0.0, end - time.monotonic())):
                        break
                others: deque[_Waiting] = deque()
                while self._queue and len(batch) < self._most:
                    one = self._queue.popleft()
                    if batch and one.run != batch[0].run:
                        others.append(one)
                    elif one.future.set_running_or_notify_cancel():
                        batch.append(one)
                self._queue.extendleft(reversed(others))
        return batch

    def _full(self) -> bool:
        return len(self._queue) >= self._most or self._closed


@dataclass
class _Waiting:
    """An item that waits for a pass through ``run``."""

    run: Callable[[Sequence[Any]], Sequence[Any]]
    item: Any
    cancel: Cancel | None
    future: Future[Any] = field(default_factory=Future)
