"""What holds for the chat model of every kind of model on this machine."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage

from chains.config import LLMConfig
from chains.models import make_llm
from chains.models.base import LabelScorer, TooLongError, as_llm

ASKED = "Aspirin reduced it"


def _local(request: pytest.FixtureRequest) -> Any:
    return make_llm(LLMConfig(dtype="float32", device_map="cpu", max_new_tokens=6))


def _llamacpp(request: pytest.FixtureRequest) -> Any:
    pytest.importorskip("xllamacpp")
    file = request.getfixturevalue("tiny_gguf")
    return make_llm(LLMConfig(kind="llamacpp", model=str(file), threads=1, max_new_tokens=6))


MAKERS: dict[str, Callable[[pytest.FixtureRequest], Any]] = {"huggingface": _local, "llamacpp": _llamacpp}


@pytest.fixture(scope="module", params=MAKERS)
def llm(request: pytest.FixtureRequest) -> Any:
    return MAKERS[request.param](request)


def streamed(llm: Any, asked: Any = ASKED, **options: Any) -> str:
    return "".join(str(chunk.text) for chunk in llm.chat.stream(asked, **options))


def test_a_stream_is_the_answer_in_pieces(llm: Any) -> None:
    whole = str(llm.chat.invoke(ASKED, max_tokens=40).text)
    pieces = [str(chunk.text) for chunk in llm.chat.stream(ASKED, max_tokens=40)]
    assert "".join(pieces) == whole
    assert len([piece for piece in pieces if piece]) > 1
    shorter = str(llm.chat.invoke(ASKED, max_tokens=10).text)
    assert shorter != whole
    assert whole.startswith(shorter)


def test_it_ends_at_a_stop_text(llm: Any) -> None:
    whole = str(llm.chat.invoke(ASKED).text)
    later = whole[2:7]  # it begins within a token, and may end within one
    before = whole[: whole.index(later)]
    assert streamed(llm, stop=[later]) == before
    assert llm.chat.invoke(ASKED, stop=[later]).text == before
    assert llm.chat.bind(stop=["never written", later]).invoke(ASKED).text == before


def test_usage_counts_the_tokens_of_prompt_and_answer(llm: Any) -> None:
    message = llm.chat.invoke(ASKED)
    pieces = sum(llm.chat.stream(ASKED), start=AIMessageChunk(""))
    batched = llm.chat.batch([ASKED, "Is it?"])[0]
    assert message.usage_metadata == pieces.usage_metadata == batched.usage_metadata
    [prompt] = llm.prompts([[{"role": "user", "content": ASKED}]])
    assert message.usage_metadata["input_tokens"] == llm.length(prompt)
    assert 0 < message.usage_metadata["output_tokens"] <= 6


def test_a_batch_is_in_order_and_its_errors_are_of_one_conversation(llm: Any) -> None:
    asked = [ASKED, "Is it?", "word " * 9000, "Was it so?"]
    found = llm.writer(4).batch(asked[:2] + asked[3:])
    assert [one.text for one in found] == [
        llm.chat.invoke(one, max_tokens=4).text for one in (ASKED, "Is it?", "Was it so?")
    ]
    with pytest.raises(TooLongError, match=rf"model's window is {llm.window}"):
        llm.chat.invoke(asked[2])


def test_conversations_of_several_turns_are_answered(llm: Any) -> None:
    turns = [SystemMessage("Be brief."), HumanMessage("Is it?"), AIMessage("No."), HumanMessage("Why?")]
    whole = llm.chat.invoke(turns, max_tokens=40)
    assert streamed(llm, turns, max_tokens=40).strip() == str(whole.text).strip()
    last = llm.chat.invoke(turns[-1:], max_tokens=40)
    assert whole.usage_metadata["input_tokens"] > last.usage_metadata["input_tokens"]


def test_a_closed_stream_makes_way_for_the_next(llm: Any) -> None:
    stream = llm.chat.stream(ASKED, max_tokens=900)
    next(stream)
    started = time.monotonic()
    stream.close()
    llm.chat.invoke(ASKED)
    closed = time.monotonic() - started
    started = time.monotonic()
    list(llm.chat.stream(ASKED, max_tokens=900))
    assert closed < 0.5 * (time.monotonic() - started)


def test_threads_get_their_own_answers(llm: Any) -> None:
    asked = [f"Is it {word}?" for word in ("so", "not", "old", "new")]
    alone = [streamed(llm, one) for one in asked]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda one: streamed(llm, one), asked)) == alone


def test_the_event_loop_goes_on_while_the_model_writes(llm: Any) -> None:
    async def ask() -> tuple[str, str, int]:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.001)

        counting = asyncio.create_task(count())
        pieces = [str(chunk.text) async for chunk in llm.chat.astream(ASKED, max_tokens=60)]
        whole = str((await llm.chat.ainvoke(ASKED, max_tokens=60)).text)
        counting.cancel()
        return whole, "".join(pieces), turns

    whole, pieces, turns = asyncio.run(ask())
    assert turns > 3
    assert whole == str(llm.chat.invoke(ASKED, max_tokens=60).text)
    assert pieces.strip() == whole.strip()
    assert threading.current_thread() is threading.main_thread()


def test_labels_are_scored_in_any_order(llm: Any) -> None:
    assert isinstance(llm, LabelScorer)
    prompts = llm.prompts([[{"role": "user", "content": text}] for text in ("Is it?", "Aspirin reduced it. Is it?")])
    rows: dict[int, Any] = {}
    for places, found in llm.score([*prompts, prompts[0]], ["yes", "no", "not so"]):
        rows.update(zip(places, found, strict=True))
    assert sorted(rows) == [0, 1, 2]
    assert list(rows[0]) == pytest.approx(list(rows[2]), abs=1e-2)
    assert all(value < 0 for row in rows.values() for value in row)


def test_special_tokens_of_a_text_are_blanked(llm: Any) -> None:
    text = "a<|end|>b<|assistant|>\x00"
    cleaned = llm.clean(text)
    assert len(cleaned) == len(text)
    assert cleaned.split() == ["a", "b"]


def test_its_chat_model_stands_for_it(llm: Any) -> None:
    assert as_llm(llm.chat) is llm
    assert llm.chat.invoke(ASKED).response_metadata["model_name"] == llm.name
