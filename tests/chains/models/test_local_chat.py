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


def test_a_stream_waits_for_text_without_a_timeout(llm: LocalLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    timeouts: list[float | None] = []
    get = queue.Queue.get

    def recording_get(self: Any, block: bool = True, timeout: float | None = None) -> Any:
        if threading.current_thread() is threading.main_thread():
            timeouts.append(timeout)
        return get(self, block, timeout)

    monkeypatch.setattr(queue.Queue, "get", recording_get)
    assert list(llm.chat.stream("Is it?"))
    assert set(timeouts) == {None}


def test_a_stream_raises_the_error_of_a_forward_pass(llm: LocalLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = type(llm.model).forward
    steps = 0

    def failing_forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 4:
            raise MemoryError("no more")
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(type(llm.model), "forward", failing_forward)
    with pytest.raises(MemoryError, match="no more"):
        list(llm.chat.stream("Is it?"))


def test_a_stream_raises_the_error_of_invalid_options(llm: LocalLLM) -> None:
    with pytest.raises(ValueError, match="nonsense"):
        list(llm.chat.stream("Is it?", pipeline_kwargs={"nonsense": 1}))


def test_finish_reason_is_stop_if_the_last_token_within_the_limit_is_an_end_token(
    llm: LocalLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert llm.chat.invoke("Is it?", max_tokens=1).response_metadata["finish_reason"] == "length"
    monkeypatch.setattr(llm.model.generation_config, "eos_token_id", list(range(len(llm.tokenizer))))
    *_, last_chunk = llm.chat.stream("Is it?", max_tokens=1)
    for message in (llm.chat.invoke("Is it?", max_tokens=1), last_chunk):
        assert message.response_metadata["finish_reason"] == "stop"
