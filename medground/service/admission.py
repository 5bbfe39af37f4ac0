"""Bounded admission of requests, with a worker thread, a timeout and cancellation for each."""

import asyncio
import math
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, Generic, TypeVar

from medground.service.batching import Cancellation, Cancelled

Event = TypeVar("Event")
_END = object()  # marks the end of the events in a request's queue


class Busy(Exception):  # noqa: N818
    """No slot is free; one is expected to be free after ``retry_after`` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too many requests are waiting; try again in {retry_after} s")
        self.retry_after = retry_after


class Closing(Exception):  # noqa: N818
    """The service is shutting down."""


class TimedOut(Exception):  # noqa: N818
    """The request was not answered in time."""


class Admission:
    """Admits requests while slots are free.

    A request holds a slot from ``open`` until its thread ends. The thread of a cancelled request ends at once, or after
    the model's current batch.

    Args:
        slots: maximum number of concurrent requests.
        timeout: seconds for each request.
    """

    def __init__(self, slots: int, timeout: float) -> None:
        self._slots, self._timeout = slots, timeout
        self._lock = threading.Lock()
        self._active: set[Cancellation] = set()
        self._mean_seconds = 1.0  # exponential moving average of the duration of a request
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
        self, make_events: Callable[[], Iterator[Event]], is_wanted: Callable[[Event], bool] = lambda _: True
    ) -> "AdmittedRequest[Event]":
        """Start a request in its thread; call this method on the event loop.

        Args:
            make_events: called in the thread; its iterator yields the request's events.
            is_wanted: whether an event is passed to the event loop.

        Raises:
            Busy: no slot is free.
            Closing: the service is shutting down.
            RuntimeError: the system cannot start another thread.
        """
        cancellation = Cancellation()
        with self._lock:
            if self._closing:
                raise Closing
            if len(self._active) >= self._slots:
                raise Busy(max(1, math.ceil(self._mean_seconds)))
            self._active.add(cancellation)
        request = AdmittedRequest[Event](cancellation, self._timeout)
        started = time.monotonic()

        def work() -> None:
            error = request.run(make_events, is_wanted)
            with self._lock:  # free the slot before ``end``, since the client may then send its next request
                self._active.discard(cancellation)
                self._mean_seconds += 0.1 * (time.monotonic() - started - self._mean_seconds)
            request.end(error)

        try:
            self._pool.submit(work)
        except RuntimeError as error:  # the pool was shut down after the check above, or no thread can be started
            with self._lock:
                self._active.discard(cancellation)
            if self._closing:
                raise Closing from error
            cancellation.cancel()  # the pool keeps the work in its queue even if it cannot start a thread
            raise
        return request

    def close(self) -> None:
        """Admit no further request."""
        with self._lock:
            self._closing = True

    def stop(self) -> None:
        """Cancel the remaining requests and wait for their threads."""
        self.close()
        with self._lock:
            active = list(self._active)
        for cancellation in active:
            cancellation.cancel()
        self._pool.shutdown(wait=True)


class AdmittedRequest(Generic[Event]):
    """Passes the events of one request from its thread to the event loop."""

    def __init__(self, cancellation: Cancellation, timeout: float) -> None:
        self._cancellation = cancellation
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + timeout
        self._queue: asyncio.Queue[Any] = asyncio.Queue()

    async def events(self) -> AsyncGenerator[Event]:
        """The events in order; closing the iterator cancels the request.

        Raises:
            TimedOut: the request took too long.
            Closing: the service was shut down.
            Exception: the error that ended the thread.
        """
        timer = self._loop.call_at(self._deadline, self._queue.put_nowait, TimedOut())
        try:
            while (item := await self._queue.get()) is not _END:
                if isinstance(item, BaseException):
                    raise Closing if isinstance(item, Cancelled) else item  # only a shutdown cancels here
                yield item
        finally:
            timer.cancel()
            self._cancellation.cancel()

    def run(
        self, make_events: Callable[[], Iterator[Event]], is_wanted: Callable[[Event], bool]
    ) -> BaseException | None:
        """Produce the events in the request's thread until they end or the request is cancelled.

        Returns:
            The error that ended the events, for ``end``; None if there was no error.
        """
        try:
            with self._cancellation.bind_to_this_thread(), closing(make_events()) as events:  # type: ignore[type-var]
                for event in events:
                    if self._cancellation.requested:
                        raise Cancelled
                    if is_wanted(event):
                        self._put(event)
        except BaseException as error:
            return error
        return None

    def end(self, error: BaseException | None) -> None:
        """End ``events``, with an error if there is one."""
        self._put(_END if error is None else error)

    def _put(self, item: object) -> None:
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)
        except RuntimeError:  # the event loop is closed, so the events have no reader
            self._cancellation.cancel()
