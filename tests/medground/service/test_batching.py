import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from served import Scripted, until, yes

from chains.answer import Answer
from chains.qa.base import SharedChain
from common.errors import UserError
from medground.service.batching import Cancel, Cancelled, Passes


class Batched(SharedChain):
    """With passes of its own."""

    def __init__(self, chain: Scripted, *, most: int = 4, passes: int = 1, wait: float = 0.05) -> None:
        self.sizes: list[int] = []
        self.passes = Passes(most=most, passes=passes, wait=wait, observe=self.sizes.append)
        super().__init__(chain, self.passes.share)


def test_questions_that_wait_together_share_a_pass() -> None:
    chain = Scripted()
    asked = Batched(chain)
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(asked.invoke, [f"q{n}" for n in range(10)]))
    assert [answer.question for answer in answers] == [f"q{n}" for n in range(10)]
    assert sum(asked.sizes) == 10
    assert max(asked.sizes) <= 4
    assert len(asked.sizes) <= 6
    assert sorted(question for batch in chain.batches for question in batch) == sorted(f"q{n}" for n in range(10))
    asked.passes.close()


def test_a_full_pass_does_not_wait_and_a_lonely_question_waits_its_time() -> None:
    patient = Batched(Scripted(), most=2, wait=60)
    started = time.monotonic()
    assert len(patient.batch(["a", "b"])) == 2
    assert time.monotonic() - started < 30
    patient.passes.close()
    asked = Batched(Scripted(), most=2, wait=0.2)
    started = time.monotonic()
    asked.invoke("c")
    assert time.monotonic() - started >= 0.2
    assert (patient.sizes, asked.sizes) == ([2], [1])
    asked.passes.close()


def test_passes_go_on_at_once() -> None:
    together = threading.Barrier(2, timeout=5)  # passed only where two passes are under way

    def answer(question) -> Answer:
        together.wait()
        return yes(question)

    asked = Batched(Scripted(answer=answer), most=1, passes=2, wait=0)
    assert [one.question for one in asked.batch(["a", "b", "c", "d"])] == ["a", "b", "c", "d"]
    asked.passes.close()


def test_an_error_is_only_the_questions_own() -> None:
    def answer(question) -> Answer | UserError:
        if question.text == "bad":
            raise RuntimeError("boom")
        return UserError("too long") if question.text == "long" else yes(question)

    asked = Batched(Scripted(answer=answer))
    with ThreadPoolExecutor(4) as pool:
        good, bad, long = (pool.submit(asked.invoke, text) for text in ("good", "bad", "long"))
        assert good.result().question == "good"
        with pytest.raises(RuntimeError, match="boom"):
            bad.result()
        with pytest.raises(UserError, match="too long"):
            long.result()
    asked.passes.close()


def test_what_is_cancelled_while_it_waits_never_reaches_the_model() -> None:
    release = threading.Event()

    def answer(question) -> Answer:
        release.wait(60)
        return yes(question)

    chain = Scripted(answer=answer)
    asked = Batched(chain, most=1)
    ended: list[str] = []

    def work(text: str, cancel: Cancel) -> None:
        with cancel.around():
            try:
                asked.invoke(text)
                ended.append(f"{text} answered")
            except Cancelled:
                ended.append(f"{text} cancelled")

    cancels = {text: Cancel() for text in ("first", "second", "third")}
    threads = [threading.Thread(target=work, args=one) for one in cancels.items()]
    for waiting, thread in enumerate(threads):
        thread.start()
        until(lambda waiting=waiting: len(chain.batches) == 1 and asked.passes.waiting == waiting)
    cancels["second"]()
    until(lambda: "second cancelled" in ended)
    assert asked.passes.waiting == 1
    release.set()
    for thread in threads:
        thread.join()
    assert sorted(ended) == ["first answered", "second cancelled", "third answered"]
    assert chain.batches == [["first"], ["third"]]
    late = Cancel()
    late()
    with late.around(), pytest.raises(Cancelled):
        asked.invoke("too late")
    asked.passes.close()


def test_closing_cancels_what_waits_and_lets_the_pass_end() -> None:
    chain = Scripted(seconds=0.3)
    asked = Batched(chain, most=1)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(asked.invoke, "first")
        until(lambda: bool(chain.batches))
        second = pool.submit(asked.invoke, "second")
        until(lambda: asked.passes.waiting == 1)
        asked.passes.close()
        assert first.result().label == "yes"
        with pytest.raises(Cancelled):
            second.result()
    with pytest.raises(Cancelled):
        asked.invoke("third")
    with suppress(Cancelled):
        asked.passes.close()  # a second time does nothing


def test_functions_have_passes_of_their_own_and_share_the_workers() -> None:
    calls: list[tuple[str, list[int]]] = []
    busy = threading.Event()

    def first(numbers: Sequence[int]) -> list[int]:
        calls.append(("first", list(numbers)))
        busy.wait(5)
        return [2 * number for number in numbers]

    def second(numbers: Sequence[int]) -> list[str]:
        calls.append(("second", list(numbers)))
        return [str(number) for number in numbers]

    passes = Passes(most=3, wait=0, observe=lambda _: None)
    double, text = passes.share(first), passes.share(second)
    with ThreadPoolExecutor(6) as pool:
        held = pool.submit(double, [0])
        until(lambda: bool(calls))
        others = []
        for work, number in ((text, 1), (double, 2), (text, 3), (double, 4), (text, 5)):
            others.append(pool.submit(work, [number]))  # type: ignore[arg-type]
            until(lambda: passes.waiting == len(others))
        busy.set()
        assert [one.result() for one in others] == [["1"], [4], ["3"], [8], ["5"]]
        assert held.result() == [0]
    assert calls == [("first", [0]), ("second", [1, 3, 5]), ("first", [2, 4])]
    passes.close()


def test_a_pass_that_failed_is_not_taken_apart_for_those_who_left() -> None:
    cancel = Cancel()
    calls: list[list[str]] = []

    def failing(texts: Sequence[str]) -> list[str]:
        calls.append(list(texts))
        cancel()
        raise RuntimeError("the server is gone")

    passes = Passes(most=2, wait=1, observe=lambda _: None)
    with cancel.around(), pytest.raises(Cancelled):
        passes.share(failing)(["a", "b"])
    assert calls == [["a", "b"]]
    passes.close()
