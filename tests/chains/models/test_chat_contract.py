"""Contract of the chat models on this machine, of transformers and llama.cpp."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.runnables import ConfigurableField

from chains.config import LLMConfig
from chains.models import make_llm
from chains.models.base import LabelScorer, TooLongError, as_llm

QUESTION = "Aspirin reduced it"


@pytest.fixture(scope="module", params=["huggingface", "llamacpp"])
def llm(request: pytest.FixtureRequest) -> Any:
    if request.param == "huggingface":
        return make_llm(LLMConfig(dtype="float32", device_map="cpu", max_new_tokens=6))
    pytest.importorskip("xllamacpp")
    file = request.getfixturevalue("tiny_gguf")
    return make_llm(LLMConfig(kind="llamacpp", model=str(file), threads=1, max_new_tokens=6))


def stream_text(llm: Any, conversation: Any = QUESTION, **options: Any) -> str:
    return "".join(str(chunk.text) for chunk in llm.chat.stream(conversation, **options))


def test_a_stream_has_the_answer_in_several_pieces(llm: Any) -> None:
    whole = str(llm.chat.invoke(QUESTION, max_tokens=40).text)
    pieces = [str(chunk.text) for chunk in llm.chat.stream(QUESTION, max_tokens=40)]
    assert "".join(pieces) == whole
    assert len([piece for piece in pieces if piece]) > 1


def test_max_tokens_cuts_the_answer(llm: Any) -> None:
    whole = str(llm.chat.invoke(QUESTION, max_tokens=40).text)
    shorter = str(llm.chat.invoke(QUESTION, max_tokens=10).text)
    assert shorter != whole
    assert whole.startswith(shorter)


def test_finish_reason_is_length_if_max_tokens_cuts_the_answer(llm: Any) -> None:
    stop = str(llm.chat.invoke(QUESTION).text)[2:7]
    for options, reason in (({}, "length"), ({"stop": [stop]}, "stop")):
        streamed_message = sum(llm.chat.stream(QUESTION, **options), start=AIMessageChunk(""))
        batched = llm.chat.batch([QUESTION, QUESTION], **options)[0]
        for message in (llm.chat.invoke(QUESTION, **options), streamed_message, batched):
            assert message.response_metadata["finish_reason"] == reason


def test_an_answer_ends_before_a_stop_text(llm: Any) -> None:
    whole = str(llm.chat.invoke(QUESTION).text)
    stop = whole[2:7]  # begins within a token and may end within one
    before = whole[: whole.index(stop)]
    assert stream_text(llm, stop=[stop]) == before
    assert llm.chat.invoke(QUESTION, stop=[stop]).text == before
    assert llm.chat.bind(stop=["absent", stop]).invoke(QUESTION).text == before


def test_usage_counts_the_tokens_of_prompt_and_answer(llm: Any) -> None:
    message = llm.chat.invoke(QUESTION)
    streamed_message = sum(llm.chat.stream(QUESTION), start=AIMessageChunk(""))
    batched = llm.chat.batch([QUESTION, "Is it?"])[0]
    assert message.usage_metadata == streamed_message.usage_metadata == batched.usage_metadata
    [prompt] = llm.prompts([[{"role": "user", "content": QUESTION}]])
    assert message.usage_metadata["input_tokens"] == llm.length(prompt)
    assert 0 < message.usage_metadata["output_tokens"] <= 6


def test_a_batch_has_the_answers_of_single_calls_in_order(llm: Any) -> None:
    questions = [QUESTION, "Is it?", "Was it so?"]
    answers = llm.writer(4).batch(questions)
    assert [answer.text for answer in answers] == [llm.chat.invoke(text, max_tokens=4).text for text in questions]


def test_a_prompt_longer_than_the_window_is_refused(llm: Any) -> None:
    with pytest.raises(TooLongError, match=rf"model's window is {llm.window}"):
        llm.chat.invoke("word " * 9000)
    conversations = ["word " * 9000, QUESTION]
    with pytest.raises(TooLongError):
        llm.chat.batch(conversations)
    refused, answer = llm.chat.batch(conversations, return_exceptions=True)
    assert isinstance(refused, TooLongError)
    assert answer.text == llm.chat.invoke(QUESTION).text


def test_all_turns_of_a_conversation_are_in_the_prompt(llm: Any) -> None:
    turns = [SystemMessage("Be brief."), HumanMessage("Is it?"), AIMessage("No."), HumanMessage("Why?")]
    whole = llm.chat.invoke(turns, max_tokens=40)
    assert stream_text(llm, turns, max_tokens=40).strip() == str(whole.text).strip()
    last = llm.chat.invoke(turns[-1:], max_tokens=40)
    assert whole.usage_metadata["input_tokens"] > last.usage_metadata["input_tokens"]


def test_closing_a_stream_stops_generation(llm: Any) -> None:
    stream = llm.chat.stream(QUESTION, max_tokens=900)
    next(stream)
    start = time.monotonic()
    stream.close()
    llm.chat.invoke(QUESTION)
    seconds_after_closing = time.monotonic() - start
    start = time.monotonic()
    list(llm.chat.stream(QUESTION, max_tokens=900))
    assert seconds_after_closing < 0.5 * (time.monotonic() - start)  # than the whole stream takes


def test_threads_get_the_same_answers_as_single_calls(llm: Any) -> None:
    questions = [f"Is it {word}?" for word in ("so", "not", "old", "new")]
    expected = [stream_text(llm, question) for question in questions]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda question: stream_text(llm, question), questions)) == expected


def test_the_event_loop_runs_during_generation(llm: Any) -> None:
    async def ask() -> tuple[str, str, int]:
        iterations = 0

        async def count() -> None:
            nonlocal iterations
            while True:
                iterations += 1
                await asyncio.sleep(0.001)

        counting = asyncio.create_task(count())
        pieces = [str(chunk.text) async for chunk in llm.chat.astream(QUESTION, max_tokens=60)]
        whole = str((await llm.chat.ainvoke(QUESTION, max_tokens=60)).text)
        counting.cancel()
        return whole, "".join(pieces), iterations

    whole, pieces, iterations = asyncio.run(ask())
    assert iterations > 3
    assert whole == str(llm.chat.invoke(QUESTION, max_tokens=60).text)
    assert pieces.strip() == whole.strip()


def test_every_prompt_gets_label_scores(llm: Any) -> None:
    assert isinstance(llm, LabelScorer)
    prompts = llm.prompts([[{"role": "user", "content": text}] for text in ("Is it?", "Aspirin reduced it. Is it?")])
    scores: dict[int, Any] = {}
    for indices, rows in llm.score([*prompts, prompts[0]], ["yes", "no", "not so"]):
        scores.update(zip(indices, rows, strict=True))
    assert sorted(scores) == [0, 1, 2]
    assert list(scores[0]) == pytest.approx(list(scores[2]), abs=1e-2)
    assert all(score < 0 for row in scores.values() for score in row)


def test_clean_replaces_special_tokens_by_spaces(llm: Any) -> None:
    text = "a<|end|>b<|assistant|>\x00"
    cleaned = llm.clean(text)
    assert len(cleaned) == len(text)
    assert cleaned.split() == ["a", "b"]


def test_as_llm_keeps_alternatives_and_fallbacks_of_a_chat_model(llm: Any) -> None:
    other = FakeListChatModel(responses=["other"])
    alternatives = llm.chat.configurable_alternatives(ConfigurableField(id="model"), other=other)
    chosen = as_llm(alternatives).writer(4).with_config(configurable={"model": "other"})
    assert chosen.invoke([{"role": "user", "content": QUESTION}]).content == "other"
    fallbacks = llm.chat.with_fallbacks([other])
    assert as_llm(fallbacks).writer(4) is fallbacks


def test_as_llm_finds_the_llm_of_a_chat_model(llm: Any) -> None:
    assert as_llm(llm.chat) is llm
    assert llm.chat.invoke(QUESTION).response_metadata["model_name"] == llm.name
