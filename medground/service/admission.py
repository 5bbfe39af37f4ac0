"""Bounded admission of requests, with a worker thread, a timeout and cancellation for each."""

import asyncio
import math
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, Generic, TypeVar

from medground.service.batching import Cancel, Cancelled

Event = TypeVar("Event")
_END = object()


class Busy(Exception):  # noqa: N818
    """No slot is free; one may be in ``retry_after`` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too many requests are waiting; try again in {retry_after} s")
        self.retry_after = retry_after


class Closing(Exception):  # noqa: N818
    """The service is shutting down."""


class TimedOut(Exception):  # noqa: N818
    """The request was not answered in time."""


class Admission:
    """Admits requests while slots are free.

    A request holds a slot from ``open`` until its thread ends. If it is cancelled, the thread ends at once, or after
    the model's current pass.

    Args:
        slots: maximum number of concurrent requests.
        timeout: seconds for each request.
    """

    def __init__(self, slots: int, timeout: float) -> None:
        self._slots, self._timeout = slots, timeout
        self._lock = threading.Lock()
        self._active: set[Cancel] = set()
        self._seconds = 1.0  # moving average of the time of a request
        self._closing = False
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix="request")

    @property
    def active(self) -> int:
        """Number of slots in use."""
        return len(self._active)

    @property
    def closing(self) -> bool:
        """Whether the service is shutting down."""
        return self._closing

    def open(
        self, make: Callable[[], Iterator[Event]], wanted: Callable[[Event], bool] = lambda _: True
    ) -> "Ticket[Event]":
        """Start a request whose events are those of ``make``; call it on the event loop.

        Args:
            make: runs in the request's thread.
            wanted: whether an event is passed to the event loop.

        Raises:
            Busy: no slot is free.
            Closing: the service is shutting down.
        """
        cancel = Cancel()
        with self._lock:
            if self._closing:
                raise Closing
            if len(self._active) >= self._slots:
                raise Busy(max(1, math.ceil(self._seconds)))
            self._active.add(cancel)
        ticket = Ticket[Event](cancel, self._timeout)
        started = time.monotonic()

        def work() -> None:
            try:
                ticket.run(make, wanted)
            finally:
                with self._lock:
                    self._active.discard(cancel)
                    self._seconds += 0.1 * (time.monotonic() - started - self._seconds)

        try:
            self._pool.submit(work)
        except RuntimeError as error:  # closed in between
            with self._lock:
                self._active.discard(cancel)
            raise Closing from error
        return ticket

    def close(self) -> None:
        """Admit no further request."""
        with self._lock:
            self._closing = True

    def stop(self) -> None:
        """Cancel the remaining requests and wait for their threads."""
        self.close()
        with self._lock:
            active = list(self._active)
        for cancel in active:
            cancel()
        self._pool.shutdown(wait=True)


class Ticket(Generic[Event]):
    """The events of one request, passed from its thread to the event loop; closing the iterator cancels the request."""

    def __init__(self, cancel: Cancel, timeout: float) -> None:
        self._cancel = cancel
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time() + timeout
        self._queue: asyncio.Queue[Any] = asyncio.Queue()

    async def events(self) -> AsyncGenerator[Event]:
        """The events in order.

        Raises:
            TimedOut: the request took too long.
            Closing: the service was shut down.
            Exception: the error that ended the thread.
        """
        timer = self._loop.call_at(self._end, self._queue.put_nowait, TimedOut())
        try:
            while (item := await self._queue.get()) is not _END:
                if isinstance(item, BaseException):
                    raise Closing if isinstance(item, Cancelled) else item
                yield item
        finally:
            timer.cancel()
            self._cancel()

    def run(self, make: Callable[[], Iterator[Event]], wanted: Callable[[Event], bool]) -> None:
        """Produce the events until they end or the request is cancelled; runs in the request's thread."""
        try:
            with self._cancel.around(), closing(make()) as events:  # type: ignore[type-var]
                for event in events:
                    if self._cancel.requested:
                        raise Cancelled
                    if wanted(event):
                        self._put(event)
            self._put(_END)
        except BaseException as error:
            self._put(error)

    def _put(self, item: object) -> None:
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)
        except RuntimeError:  # the loop is closed: nobody reads
            self._cancel()
