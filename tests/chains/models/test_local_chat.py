import asyncio
import queue
import threading
from pathlib import Path
from typing import Any

import pytest
from checkpoints import make_chat

from chains.config import LLMConfig
from chains.models.local import LocalLLM, load_llm


@pytest.fixture
def llm(tmp_path: Path) -> LocalLLM:
    return load_llm(LLMConfig(model=str(make_chat(tmp_path)), dtype="float32", device_map="cpu", max_new_tokens=6))


def test_no_wait_for_text_has_an_end(llm: LocalLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float | None] = []
    get = queue.Queue.get

    def waited(self: Any, block: bool = True, timeout: float | None = None) -> Any:
        if threading.current_thread() is threading.main_thread():
            waits.append(timeout)
        return get(self, block, timeout)

    monkeypatch.setattr(queue.Queue, "get", waited)
    assert list(llm.pipeline.stream("Is it?"))
    assert set(waits) == {None}


def test_what_the_model_raises_is_raised_after_its_text(llm: LocalLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = type(llm.model).forward
    steps = 0

    def failing(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 4:
            raise MemoryError("no more")
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(type(llm.model), "forward", failing)
    stream = llm.chat.stream("Is it?")
    with pytest.raises(MemoryError, match="no more"):
        list(stream)


def test_what_goes_wrong_before_the_model_is_raised(llm: LocalLLM) -> None:
    with pytest.raises(ValueError, match="nonsense"):
        list(llm.pipeline.stream("Is it?", pipeline_kwargs={"nonsense": 1}))


def test_it_ends_at_a_stop_word(llm: LocalLLM) -> None:
    whole = "".join(llm.pipeline.stream("Aspirin reduced it"))
    word = whole.split()[0]
    assert whole.count(word) > 1  # a random model repeats itself
    before = whole[: whole.index(word)]
    assert "".join(llm.pipeline.stream("Aspirin reduced it", stop=[word])) == before
    assert llm.pipeline.invoke("Aspirin reduced it", stop=[word]) == before


def test_the_chat_model_answers_in_an_event_loop_without_holding_it_up(
    llm: LocalLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = type(llm.model).forward
    threads: set[threading.Thread] = set()

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        threads.add(threading.current_thread())
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(type(llm.model), "forward", watched)

    async def ask() -> tuple[str, str]:
        pieces = [str(chunk.text) async for chunk in llm.chat.astream("Aspirin reduced it")]
        return str((await llm.chat.ainvoke("Aspirin reduced it")).text), "".join(pieces)

    whole, streamed = asyncio.run(ask())
    assert threading.main_thread() not in threads
    assert whole == str(llm.chat.invoke("Aspirin reduced it").text)
    assert streamed.strip() == whole.strip()
