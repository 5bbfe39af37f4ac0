import asyncio
import threading
import time
from collections.abc import Iterator

import pytest
from served import until

from medground.service.admission import Admission, Busy, Closing, TimedOut


def counting(count: int, seconds: float = 0.0, ended: list[str] | None = None) -> Iterator[int]:
    try:
        for number in range(count):
            time.sleep(seconds)
            yield number
    finally:
        if ended is not None:
            ended.append(threading.current_thread().name)


def test_events_come_in_order_from_a_thread_of_their_own() -> None:
    async def run() -> None:
        admission, ended = Admission(2, 5), []
        tickets = [admission.open(lambda: counting(5, 0.01, ended)) for _ in range(2)]
        assert admission.active == 2
        with pytest.raises(Busy) as caught:
            admission.open(lambda: counting(1))
        assert caught.value.retry_after >= 1
        for ticket in tickets:
            assert [number async for number in ticket.events()] == [0, 1, 2, 3, 4]
        await asyncio.to_thread(until, lambda: admission.active == 0)
        assert len(set(ended)) == 2
        assert threading.current_thread().name not in ended
        admission.stop()

    asyncio.run(run())


def test_unwanted_events_stay_in_the_thread() -> None:
    async def main() -> list[int]:
        ticket = Admission(1, 5).open(lambda: counting(6), lambda event: event % 2 == 1)
        return [event async for event in ticket.events()]

    assert asyncio.run(main()) == [1, 3, 5]


def test_an_error_is_raised_where_the_events_are_read() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise ValueError("boom")

    async def run() -> None:
        admission = Admission(1, 5)
        events = admission.open(failing).events()
        assert await anext(events) == 1
        with pytest.raises(ValueError, match="boom"):
            await anext(events)
        admission.stop()

    asyncio.run(run())


def test_who_stops_reading_stops_the_work() -> None:
    async def run() -> None:
        admission, ended = Admission(1, 5), []
        events = admission.open(lambda: counting(1000, 0.02, ended)).events()
        await anext(events)
        await events.aclose()
        await asyncio.to_thread(until, lambda: bool(ended))
        admission.open(lambda: counting(1))
        admission.stop()

    asyncio.run(run())


def test_time_and_the_end() -> None:
    async def run() -> None:
        admission = Admission(2, 0.1)
        with pytest.raises(TimedOut):
            [number async for number in admission.open(lambda: counting(3, 0.2)).events()]
        patient = Admission(1, 5)
        events = patient.open(lambda: counting(1000, 0.02)).events()
        await anext(events)
        patient.close()
        with pytest.raises(Closing):
            patient.open(lambda: counting(1))
        await anext(events)  # what was taken in goes on
        await asyncio.to_thread(patient.stop)
        with pytest.raises(Closing):
            [number async for number in events]
        assert patient.active == 0
        admission.stop()

    asyncio.run(run())
