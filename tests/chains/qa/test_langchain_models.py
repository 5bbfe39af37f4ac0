"""``qa_chain`` over LangChain's models: chat models, an LLM, and a server."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import ConfigurableField
from langchain_huggingface import ChatHuggingFace, HuggingFacePipeline
from served import ScriptedChain, make_service, running
from transformers import pipeline
from word_retriever import WordRetriever

from chains.config import LLMConfig
from chains.models.local import EMBEDDED, load_llm
from chains.qa import qa_chain
from common.errors import UserError
from corpus.config import DataConfig
from corpus.load import load_records

langchain_openai = pytest.importorskip("langchain_openai")
RECORDS = [one for one in load_records(DataConfig()) if one.label in ("yes", "no")][:3]
QUESTIONS: list[Any] = [one.question for one in RECORDS]


def make_retriever() -> WordRetriever:
    return WordRetriever(texts={one.id: one.context for one in RECORDS})


def yes_model() -> GenericFakeChatModel:
    return GenericFakeChatModel(messages=repeat(AIMessage("Yes, it does.")))


@pytest.fixture(scope="module")
def tiny() -> HuggingFacePipeline:
    generator = pipeline("text-generation", model=str(EMBEDDED), max_new_tokens=8, do_sample=False)
    return HuggingFacePipeline(pipeline=generator)


@pytest.fixture(scope="module")
def tiny_labels() -> list[str | None]:
    """The labels that medground-tiny generates as a ``LocalLLM``."""
    answers = qa_chain(load_llm(LLMConfig(dtype="float32")), make_retriever(), decide="generate").batch(QUESTIONS)
    return [answer.label for answer in answers]


@pytest.fixture(params=["ChatHuggingFace", "HuggingFacePipeline", "fake", "ChatOpenAI"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    match request.param:
        case "ChatHuggingFace":
            model = request.getfixturevalue("tiny")
            yield ChatHuggingFace(llm=model, tokenizer=model.pipeline.tokenizer)
        case "HuggingFacePipeline":
            yield request.getfixturevalue("tiny")
        case "fake":
            yield yes_model()
        case "ChatOpenAI":
            with running(make_service(ScriptedChain(), tmp_path)) as (url, _):
                yield langchain_openai.ChatOpenAI(model="medground", base_url=f"{url}/v1", api_key="none")


def test_all_runnable_methods_give_the_same_answers_and_events(model: Any, tiny_labels: list[str | None]) -> None:
    chain = qa_chain(model, make_retriever())
    answers = chain.batch(QUESTIONS)
    is_tiny = isinstance(model, ChatHuggingFace | HuggingFacePipeline)
    assert [answer.label for answer in answers] == (tiny_labels if is_tiny else ["yes"] * len(QUESTIONS))
    assert all(answer.passages and answer.citations and answer.output for answer in answers)
    assert answers[0].notes == ("the model gives no label probabilities: the label was parsed from its text",)
    assert chain.invoke(QUESTIONS[0]) == answers[0]
    assert list(chain.stream(QUESTIONS[0])) == answers[:1]
    assert asyncio.run(chain.ainvoke(QUESTIONS[0])) == answers[0]

    async def events() -> list[str]:
        return [event["event"] async for event in chain.astream_events(QUESTIONS[0])]

    received = asyncio.run(events())
    kind = "llm" if isinstance(model, HuggingFacePipeline) else "chat_model"
    expected_events = ["on_retriever_end", "on_prompt_end", f"on_{kind}_start", f"on_{kind}_end", "on_parser_end"]
    assert [event for event in received if event in expected_events] == expected_events
    assert (received[0], received[-1]) == ("on_chain_start", "on_chain_end")


def test_each_model_run_of_a_batch_has_its_own_root_run() -> None:
    class RunRecorder(BaseCallbackHandler):
        def __init__(self) -> None:
            self.parents: dict[Any, Any] = {}
            self.models: list[Any] = []

        def on_chain_start(self, *_: Any, run_id: Any, parent_run_id: Any = None, **__: Any) -> None:
            self.parents[run_id] = parent_run_id

        def on_chat_model_start(self, *_: Any, run_id: Any, parent_run_id: Any = None, **kwargs: Any) -> None:
            self.parents[run_id] = parent_run_id
            self.models.append((run_id, kwargs["tags"]))

    recorder = RunRecorder()
    qa_chain(yes_model(), make_retriever()).with_config(tags=["mine"]).batch(QUESTIONS, {"callbacks": [recorder]})
    roots = set()
    for run, tags in recorder.models:
        assert "mine" in tags
        while recorder.parents[run] is not None:
            run = recorder.parents[run]
        roots.add(run)
    assert len(recorder.models) == len(roots) == len(QUESTIONS)


def test_config_selects_an_alternative_model() -> None:
    no = GenericFakeChatModel(messages=repeat(AIMessage("No.")))
    model = yes_model().configurable_alternatives(ConfigurableField(id="llm"), default_key="yes", no=no)
    chain = qa_chain(model, make_retriever())
    assert chain.invoke(QUESTIONS[0]).label == "yes"
    assert chain.invoke(QUESTIONS[0], {"configurable": {"llm": "no"}}).label == "no"
    assert chain.with_config(configurable={"llm": "no"}).invoke(QUESTIONS[0]).label == "no"


@pytest.mark.parametrize(
    "bind",
    [lambda one: one.bind(stop=["x"]), lambda one: one.with_retry(), lambda one: one.with_config(tags=["t"])],
    ids=["bind", "with_retry", "with_config"],
)
def test_bound_models_are_accepted(bind: Callable[[Any], Any]) -> None:
    assert qa_chain(bind(yes_model()), make_retriever(), decide="generate").invoke(QUESTIONS[0]).label == "yes"


@pytest.mark.parametrize(
    ("output", "text"),
    [("<think>No trial says no.</think>\n\nYes, it does.", "Yes, it does."), ("<think>Perhaps", "<think>Perhaps")],
)
def test_reasoning_is_in_the_output_and_not_in_the_text(output: str, text: str) -> None:
    model = GenericFakeChatModel(messages=repeat(AIMessage(output)))
    answer = qa_chain(model, make_retriever(), decide="generate").invoke(QUESTIONS[0])
    assert (answer.text, answer.output) == (text, output)


def test_model_answers_without_passages_and_its_error_is_raised() -> None:
    answer = qa_chain(yes_model(), WordRetriever(texts={}), decide="generate").invoke(QUESTIONS[0])
    assert (answer.label, answer.passages) == ("yes", ())
    empty = GenericFakeChatModel(messages=iter([]))
    with pytest.raises(RuntimeError):
        qa_chain(empty, make_retriever()).invoke(QUESTIONS[0])


@pytest.mark.parametrize("not_a_model", ["gpt", None, make_retriever()])
def test_object_that_is_no_model_is_refused(not_a_model: Any) -> None:
    with pytest.raises(UserError, match="must be a LangChain chat model or LLM"):
        qa_chain(not_a_model, make_retriever())
