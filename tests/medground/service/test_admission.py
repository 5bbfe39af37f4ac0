"""``Admission``: slots, events, timeouts, cancellation and shutdown."""

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from served import until

from medground.service.admission import Admission, Busy, Closing, TimedOut

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def numbers(count: int, seconds: float = 0.0, ended: list[str] | None = None) -> Iterator[int]:
    """Yield a number after each ``seconds``; at the end, add the thread's name to ``ended``."""
    try:
        for number in range(count):
            time.sleep(seconds)
            yield number
    finally:
        if ended is not None:
            ended.append(threading.current_thread().name)


async def test_requests_run_in_different_threads_and_a_request_beyond_the_slots_is_refused() -> None:
    admission, ended = Admission(slots=2, timeout=5), []
    requests = [admission.open(lambda: numbers(5, 0.1, ended)) for _ in range(2)]
    assert admission.active == 2
    with pytest.raises(Busy) as caught:
        admission.open(lambda: numbers(1))
    assert caught.value.retry_after >= 1
    for request in requests:
        assert [number async for number in request.events()] == [0, 1, 2, 3, 4]
    await asyncio.to_thread(until, lambda: admission.active == 0)
    assert len(set(ended)) == 2
    assert threading.current_thread().name not in ended
    admission.stop()


async def test_slot_is_free_before_the_end_of_the_events_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    admission, loop = Admission(slots=1, timeout=5), asyncio.get_running_loop()
    call_soon_threadsafe, active = loop.call_soon_threadsafe, []

    def recorded(*arguments: Any) -> asyncio.Handle:
        active.append(admission.active)
        return call_soon_threadsafe(*arguments)

    monkeypatch.setattr(loop, "call_soon_threadsafe", recorded)
    assert [number async for number in admission.open(lambda: numbers(2)).events()] == [0, 1]
    assert active == [1, 1, 0]  # two events and the end
    admission.stop()


async def test_only_wanted_events_are_passed_on() -> None:
    request = Admission(slots=1, timeout=5).open(lambda: numbers(6), lambda number: number % 2 == 1)
    assert [number async for number in request.events()] == [1, 3, 5]


async def test_error_in_the_thread_is_raised_to_the_reader_of_the_events() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise ValueError("boom")

    admission = Admission(slots=1, timeout=5)
    events = admission.open(failing).events()
    assert await anext(events) == 1
    with pytest.raises(ValueError, match="boom"):
        await anext(events)
    admission.stop()


async def test_closing_the_events_cancels_the_request_and_frees_its_slot() -> None:
    admission, ended = Admission(slots=1, timeout=5), []
    events = admission.open(lambda: numbers(1000, 0.02, ended)).events()
    await anext(events)
    await events.aclose()
    await asyncio.to_thread(until, lambda: bool(ended))
    admission.open(lambda: numbers(1))
    admission.stop()


async def test_request_beyond_the_timeout_raises_timed_out() -> None:
    admission = Admission(slots=1, timeout=0.1)
    with pytest.raises(TimedOut):
        [number async for number in admission.open(lambda: numbers(3, 0.2)).events()]
    admission.stop()


async def test_thread_that_cannot_be_started_raises_its_error_and_frees_the_slot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    admission = Admission(slots=1, timeout=5)
    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        admission.open(lambda: numbers(1))
    assert admission.active == 0
    monkeypatch.undo()
    assert [number async for number in admission.open(lambda: numbers(1)).events()] == [0]
    admission.stop()


async def test_close_refuses_new_requests_and_stop_ends_admitted_ones() -> None:
    admission = Admission(slots=1, timeout=5)
    events = admission.open(lambda: numbers(1000, 0.02)).events()
    await anext(events)
    admission.close()
    with pytest.raises(Closing):
        admission.open(lambda: numbers(1))
    await anext(events)
    await asyncio.to_thread(admission.stop)
    with pytest.raises(Closing):
        [number async for number in events]
    assert admission.active == 0
