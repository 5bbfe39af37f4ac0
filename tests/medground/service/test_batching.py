"""``Batcher``: shared batches, errors, cancellation and shutdown."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from served import ScriptedChain, until, yes

from chains.answer import Answer
from chains.qa.base import SharedChain
from common.errors import UserError
from medground.service.batching import Batcher, Cancellation, Cancelled


class BatchedChain(SharedChain):
    """A chain with its own batcher; ``sizes`` records the sizes of the batches."""

    def __init__(self, chain: ScriptedChain, *, max_batch: int = 4, workers: int = 1, max_wait: float = 0.05) -> None:
        self.sizes: list[int] = []
        self.batcher = Batcher(max_batch=max_batch, workers=workers, max_wait=max_wait, observe=self.sizes.append)
        super().__init__(chain, self.batcher.share)


def test_concurrent_questions_are_batched() -> None:
    chain = ScriptedChain()
    batched = BatchedChain(chain)
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(batched.invoke, [f"q{n}" for n in range(10)]))
    assert [answer.question for answer in answers] == [f"q{n}" for n in range(10)]
    assert sum(batched.sizes) == 10
    assert max(batched.sizes) <= 4
    assert len(batched.sizes) <= 6  # three if all questions arrive within max_wait
    assert sorted(question for batch in chain.batches for question in batch) == sorted(f"q{n}" for n in range(10))
    batched.batcher.close()


def test_full_batch_starts_at_once_and_single_question_after_max_wait() -> None:
    full = BatchedChain(ScriptedChain(), max_batch=2, max_wait=60)
    started = time.monotonic()
    assert len(full.batch(["a", "b"])) == 2
    assert time.monotonic() - started < 30
    full.batcher.close()
    single = BatchedChain(ScriptedChain(), max_batch=2, max_wait=0.2)
    started = time.monotonic()
    single.invoke("c")
    assert time.monotonic() - started >= 0.2
    assert (full.sizes, single.sizes) == ([2], [1])
    single.batcher.close()


def test_workers_compute_batches_concurrently() -> None:
    barrier = threading.Barrier(2, timeout=5)  # raises unless two batches are computed at the same time

    def answer(question) -> Answer:
        barrier.wait()
        return yes(question)

    batched = BatchedChain(ScriptedChain(answer=answer), max_batch=1, workers=2, max_wait=0)
    assert [answer.question for answer in batched.batch(["a", "b", "c", "d"])] == ["a", "b", "c", "d"]
    batched.batcher.close()


def test_error_reaches_only_the_caller_of_the_failed_question() -> None:
    def answer(question) -> Answer | UserError:
        if question.text == "fails":
            raise RuntimeError("boom")
        return UserError("too long") if question.text == "long" else yes(question)

    batched = BatchedChain(ScriptedChain(answer=answer))
    with ThreadPoolExecutor(4) as pool:
        answered, failed, too_long = (pool.submit(batched.invoke, text) for text in ("answered", "fails", "long"))
        assert answered.result().question == "answered"
        with pytest.raises(RuntimeError, match="boom"):
            failed.result()
        with pytest.raises(UserError, match="too long"):
            too_long.result()
    batched.batcher.close()


def test_cancelled_question_in_the_queue_is_not_computed() -> None:
    release = threading.Event()

    def answer(question) -> Answer:
        release.wait(60)
        return yes(question)

    chain = ScriptedChain(answer=answer)
    batched = BatchedChain(chain, max_batch=1)
    outcomes: list[str] = []

    def work(text: str, cancellation: Cancellation) -> None:
        with cancellation.bind_to_this_thread():
            try:
                batched.invoke(text)
                outcomes.append(f"{text} answered")
            except Cancelled:
                outcomes.append(f"{text} cancelled")

    cancellations = {text: Cancellation() for text in ("first", "second", "third")}
    threads = [threading.Thread(target=work, args=arguments) for arguments in cancellations.items()]
    for waiting, thread in enumerate(threads):
        thread.start()
        until(lambda waiting=waiting: len(chain.batches) == 1 and batched.batcher.waiting == waiting)
    cancellations["second"].cancel()
    until(lambda: "second cancelled" in outcomes)
    assert batched.batcher.waiting == 1
    release.set()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["first answered", "second cancelled", "third answered"]
    assert chain.batches == [["first"], ["third"]]
    batched.batcher.close()


def test_question_of_a_cancelled_request_raises_cancelled() -> None:
    batched, cancellation = BatchedChain(ScriptedChain()), Cancellation()
    cancellation.cancel()
    with cancellation.bind_to_this_thread(), pytest.raises(Cancelled):
        batched.invoke("too late")
    batched.batcher.close()


def test_close_cancels_waiting_questions_and_completes_the_running_batch() -> None:
    chain = ScriptedChain(seconds=0.3)
    batched = BatchedChain(chain, max_batch=1)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(batched.invoke, "first")
        until(lambda: bool(chain.batches))
        second = pool.submit(batched.invoke, "second")
        until(lambda: batched.batcher.waiting == 1)
        batched.batcher.close()
        assert first.result().label == "yes"
        with pytest.raises(Cancelled):
            second.result()
    with pytest.raises(Cancelled):
        batched.invoke("third")
    batched.batcher.close()  # a second call has no effect


def test_items_of_different_functions_are_not_mixed_in_a_batch() -> None:
    calls: list[tuple[str, list[int]]] = []
    release = threading.Event()

    def double(numbers: Sequence[int]) -> list[int]:
        calls.append(("double", list(numbers)))
        release.wait(5)
        return [2 * number for number in numbers]

    def to_text(numbers: Sequence[int]) -> list[str]:
        calls.append(("to_text", list(numbers)))
        return [str(number) for number in numbers]

    batcher = Batcher(max_batch=3, max_wait=0, observe=lambda _: None)
    shared_double, shared_to_text = batcher.share(double), batcher.share(to_text)
    with ThreadPoolExecutor(6) as pool:
        running = pool.submit(shared_double, [0])
        until(lambda: bool(calls))
        waiting = []
        for number in range(1, 6):
            shared = shared_to_text if number % 2 else shared_double
            waiting.append(pool.submit(shared, [number]))  # type: ignore[arg-type]
            until(lambda: batcher.waiting == len(waiting))
        release.set()
        assert [future.result() for future in waiting] == [["1"], [4], ["3"], [8], ["5"]]
        assert running.result() == [0]
    assert calls == [("double", [0]), ("to_text", [1, 3, 5]), ("double", [2, 4])]
    batcher.close()


def test_failed_batch_is_not_repeated_for_cancelled_requests() -> None:
    cancellation = Cancellation()
    calls: list[list[str]] = []

    def fail(texts: Sequence[str]) -> list[str]:
        calls.append(list(texts))
        cancellation.cancel()
        raise RuntimeError("the server is gone")

    batcher = Batcher(max_batch=2, max_wait=1, observe=lambda _: None)
    with cancellation.bind_to_this_thread(), pytest.raises(Cancelled):
        batcher.share(fail)(["a", "b"])
    assert calls == [["a", "b"]]
    batcher.close()
