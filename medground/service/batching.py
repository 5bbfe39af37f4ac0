"""Dynamic batching: the model computes items of several requests in one batch."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_thread = threading.local()


class Cancelled(Exception):  # noqa: N818  (not an error)
    """The request was cancelled, or the batcher closed."""


class Cancellation:
    """Cancels one request; ``cancel`` may be called from any thread and at any time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._futures: list[Future[Any]] = []
        self.requested = False

    def cancel(self) -> None:
        """Remove the request's items from the queue; a running batch is completed."""
        with self._lock:
            self.requested = True
            futures, self._futures = self._futures, []
        for future in futures:
            future.cancel()

    @contextmanager
    def bind_to_this_thread(self) -> Iterator[None]:
        """Inside the context, items that this thread passes to a ``Batcher`` belong to the request."""
        _thread.cancellation = self
        try:
            yield
        finally:
            _thread.cancellation = None

    def include(self, futures: Sequence[Future[Any]]) -> None:
        """Cancel these futures together with the request.

        Raises:
            Cancelled: the request has been cancelled.
        """
        with self._lock:
            if not self.requested:
                self._futures = list(futures)
                return
        raise Cancelled


class Batcher:
    """A queue in front of batch functions that combines the items of concurrent callers.

    The first item waits ``max_wait`` seconds for further items; then up to ``max_batch`` items of the same function are
    computed together, in order of arrival, while the next batch is collected. A failed batch is repeated item by item,
    so that one caller's error does not affect other callers.

    Args:
        max_batch: maximum number of items in a batch.
        workers: number of threads; each computes one batch at a time.
        max_wait: maximum wait of the first item, in seconds.
        observe: called with the size of each batch.
    """

    def __init__(self, *, max_batch: int, workers: int = 1, max_wait: float, observe: Callable[[int], None]) -> None:
        self._max_batch = max_batch
        self._max_wait = max_wait
        self._observe = observe
        self._queue: deque[_QueuedItem] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._workers = [threading.Thread(target=self._work, name="model", daemon=True) for _ in range(workers)]
        for worker in self._workers:
            worker.start()

    @property
    def waiting(self) -> int:
        """Number of items that wait for a batch."""
        with self._changed:
            return sum(not queued.future.cancelled() for queued in self._queue)

    def share(self, run: Callable[[Sequence[Item]], Sequence[Result]]) -> Callable[[Sequence[Item]], list[Result]]:
        """A function with the results of ``run`` that shares batches with concurrent callers.

        The function raises ``Cancelled`` if the request of its thread is cancelled, or the batcher is closed.
        """

        def shared(items: Sequence[Item]) -> list[Result]:
            cancellation: Cancellation | None = getattr(_thread, "cancellation", None)
            queued_items = [_QueuedItem(run, item, cancellation) for item in items]
            if cancellation is not None:
                cancellation.include([queued.future for queued in queued_items])
            with self._changed:
                if self._closed:
                    raise Cancelled
                self._queue.extend(queued_items)
                self._changed.notify_all()
            try:
                return [queued.future.result() for queued in queued_items]
            except CancelledError as error:
                raise Cancelled from error

        return shared

    def close(self) -> None:
        """Cancel waiting items and end the workers after their batches."""
        with self._changed:
            self._closed = True
            waiting = list(self._queue)
            self._queue.clear()
            self._changed.notify_all()
        for queued in waiting:
            queued.future.cancel()
        for worker in self._workers:
            worker.join()

    def _work(self) -> None:
        while batch := self._next_batch():
            self._observe(len(batch))
            run = batch[0].run
            try:
                results = run([queued.item for queued in batch])
            except BaseException as error:
                if len(batch) == 1:
                    batch[0].future.set_exception(error)
                    continue
                for queued in batch:
                    try:
                        # The request may have been cancelled during the failed batch.
                        if queued.cancellation is not None and queued.cancellation.requested:
                            raise Cancelled
                        queued.future.set_result(run([queued.item])[0])
                    except BaseException as item_error:
                        queued.future.set_exception(item_error)
                continue
            for queued, result in zip(batch, results, strict=True):
                queued.future.set_result(result)

    def _next_batch(self) -> list["_QueuedItem"]:
        """Wait for items of one function, none of them cancelled; empty when the batcher is closed."""
        batch: list[_QueuedItem] = []
        with self._changed:
            while not batch and not self._closed:
                self._changed.wait_for(lambda: self._queue or self._closed)
                self._changed.wait_for(lambda: len(self._queue) >= self._max_batch or self._closed, self._max_wait)
                of_other_functions: deque[_QueuedItem] = deque()
                while self._queue and len(batch) < self._max_batch:
                    queued = self._queue.popleft()
                    if batch and queued.run != batch[0].run:
                        of_other_functions.append(queued)
                    elif queued.future.set_running_or_notify_cancel():
                        batch.append(queued)
                self._queue.extendleft(reversed(of_other_functions))
        return batch


@dataclass
class _QueuedItem:
    """An item that waits for a batch of ``run``."""

    run: Callable[[Sequence[Any]], Sequence[Any]]
    item: Any
    cancellation: Cancellation | None
    future: Future[Any] = field(default_factory=Future)
