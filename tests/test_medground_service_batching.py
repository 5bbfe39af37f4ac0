import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from served import Scripted, until, yes

from chains.answer import Answer
from corpus.errors import UserError
from medground.service.batching import BatchedChain, Cancel, Cancelled


def batched(chain: Scripted, most: int = 4, wait: float = 0.05) -> tuple[BatchedChain, list[int]]:
    sizes: list[int] = []
    return BatchedChain(chain, most=most, wait=wait, observe=sizes.append), sizes


def test_questions_that_wait_together_share_a_pass() -> None:
    chain = Scripted()
    asked, sizes = batched(chain)
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(asked.invoke, [f"q{n}" for n in range(10)]))
    assert [answer.question for answer in answers] == [f"q{n}" for n in range(10)]
    assert sum(sizes) == 10
    assert max(sizes) <= 4
    assert len(sizes) <= 6
    assert sorted(question for batch in chain.passes for question in batch) == sorted(f"q{n}" for n in range(10))
    asked.close()


def test_a_full_pass_does_not_wait_and_a_lonely_question_waits_its_time() -> None:
    asked, sizes = batched(Scripted(), most=2, wait=0.4)
    started = time.monotonic()
    assert len(asked.batch(["a", "b"])) == 2
    assert time.monotonic() - started < 0.3
    started = time.monotonic()
    asked.invoke("c")
    assert time.monotonic() - started >= 0.4
    assert sizes == [2, 1]
    asked.close()


def test_passes_go_on_at_once() -> None:
    together = threading.Barrier(2, timeout=5)  # passed only where two passes are under way

    def answer(question) -> Answer:
        together.wait()
        return yes(question)

    asked = BatchedChain(Scripted(answer=answer), most=1, passes=2, wait=0, observe=lambda _: None)
    assert [one.question for one in asked.batch(["a", "b", "c", "d"])] == ["a", "b", "c", "d"]
    asked.close()


def test_an_error_is_only_the_questions_own() -> None:
    def answer(question) -> Answer | UserError:
        if question.text == "bad":
            raise RuntimeError("boom")
        return UserError("too long") if question.text == "long" else yes(question)

    asked, _ = batched(Scripted(answer=answer))
    with ThreadPoolExecutor(4) as pool:
        good, bad, long = (pool.submit(asked.invoke, text) for text in ("good", "bad", "long"))
        assert good.result().question == "good"
        with pytest.raises(RuntimeError, match="boom"):
            bad.result()
        with pytest.raises(UserError, match="too long"):
            long.result()
    asked.close()


def test_what_is_cancelled_while_it_waits_never_reaches_the_model() -> None:
    chain = Scripted(seconds=0.3)
    asked, _ = batched(chain, most=1)
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
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    assert asked.waiting == 2
    cancels["second"]()
    until(lambda: "second cancelled" in ended, 0.2)
    assert asked.waiting == 1
    for thread in threads:
        thread.join()
    assert ended == ["second cancelled", "first answered", "third answered"]
    assert chain.passes == [["first"], ["third"]]
    late = Cancel()
    late()
    with late.around(), pytest.raises(Cancelled):
        asked.invoke("too late")
    asked.close()


def test_closing_cancels_what_waits_and_lets_the_pass_end() -> None:
    chain = Scripted(seconds=0.3)
    asked, _ = batched(chain, most=1)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(asked.invoke, "first")
        until(lambda: bool(chain.passes))
        second = pool.submit(asked.invoke, "second")
        until(lambda: asked.waiting == 1)
        asked.close()
        assert first.result().label == "yes"
        with pytest.raises(Cancelled):
            second.result()
    with pytest.raises(Cancelled):
        asked.invoke("third")
    with suppress(Cancelled):
        asked.close()  # a second time does nothing
