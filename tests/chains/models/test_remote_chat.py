"""LangChain chat model of an OpenAI-compatible server: its requests, and its errors if the server fails."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from stub_openai import Stub, completion, delayed, stub_openai

from chains.config import LLMConfig
from chains.models.remote import connect
from chains.models.remote_errors import ServerError, StatusError

remote_chat = pytest.importorskip("chains.models.remote_chat").remote_chat
EVENT_STREAM = {"Content-Type": "text/event-stream"}


@pytest.fixture
def stub() -> Iterator[Stub]:
    with stub_openai() as running:
        yield running


def ask(stub: Stub, **options: Any) -> str:
    model = remote_chat("stub", f"{stub.url}/", **{"timeout": 5, "retries": 0, **options})
    return str(model.invoke("Is it?").text)


def raised_message(stub: Stub, error_type: type[ServerError] = StatusError, **options: Any) -> str:
    """The message of the error that ``ask`` raises."""
    with pytest.raises(error_type) as caught:
        ask(stub, **options)
    return str(caught.value)


def test_requests_have_messages_and_max_tokens(stub: Stub) -> None:
    model = connect(LLMConfig(kind="openai", base_url=stub.url, model="stub")).chat
    assert model.invoke("Is it?", max_tokens=5).content == "yes"
    path, body, _ = stub.requests[-1]
    assert path == "/v1/chat/completions"
    assert (body["messages"], body["max_tokens"]) == ([{"role": "user", "content": "Is it?"}], 5)
    assert model.get_num_tokens("Is it so?") == 3


def test_openai_s_environment_variables_are_ignored(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_BASE_URL", "OPENAI_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/private")
    monkeypatch.setenv("MEDGROUND_LLM_KEY", "sesame")
    assert ask(stub) == "yes"
    headers = stub.requests[-1][2]
    assert headers["Authorization"] == "Bearer sesame"
    assert "private" not in json.dumps(headers)
    monkeypatch.delenv("MEDGROUND_LLM_KEY")
    ask(stub)
    assert stub.requests[-1][2]["Authorization"] == "Bearer none"


def test_no_proxy_is_used_for_a_server_on_this_machine(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert ask(stub) == "yes"


def server_sent(*events: dict[str, Any]) -> str:
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events)


def test_a_stream_has_the_pieces_or_the_error_of_the_server(stub: Stub) -> None:
    pieces = [
        {"id": "1", "model": "m", "choices": [{"index": 0, "delta": {"content": text}}]} for text in ("It ", "is.")
    ]
    stub.reply = lambda _: (200, f"{server_sent(*pieces)}data: [DONE]\n\n", EVENT_STREAM)
    model = remote_chat("stub", stub.url)
    assert [chunk.text for chunk in model.stream("Is it?") if chunk.text] == ["It ", "is."]
    stub.reply = lambda _: (200, server_sent({"error": {"message": "lost it"}}), EVENT_STREAM)
    with pytest.raises(ServerError, match="lost it"):
        list(model.stream("Is it?"))


@pytest.mark.parametrize("method", ["invoke", "stream", "ainvoke", "astream"])
def test_all_methods_have_the_same_errors(stub: Stub, method: str) -> None:
    async def call_async(model: Any) -> None:
        if method == "ainvoke":
            await model.ainvoke("Is it?")
        else:
            async for _ in model.astream("Is it?"):
                pass

    def error(model: Any) -> str:
        with pytest.raises(ServerError) as caught:
            asyncio.run(call_async(model)) if method.startswith("a") else list(getattr(model, method)("Is it?"))
        return str(caught.value)

    stub.reply = lambda _: (401, {"error": {"message": "no entry"}})
    expected = "needs an API key: set the environment variable MEDGROUND_LLM_KEY. It says: no entry"
    assert expected in error(remote_chat("stub", stub.url))
    stub.reply = delayed((200, completion("yes")), 1)
    stub.requests.clear()
    assert "did not answer within 0.2 seconds" in error(remote_chat("stub", stub.url, timeout=0.2))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # a port on which nothing listens refuses connections
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        start = time.monotonic()
        assert f"No server can be reached at {url} (llm.base_url)" in error(remote_chat("stub", url))
    assert time.monotonic() - start < 5  # without retries
    assert len(stub.requests) == 1


def test_a_model_is_used_in_several_event_loops(stub: Stub) -> None:
    model = remote_chat("stub", stub.url, retries=0)
    assert [asyncio.run(model.ainvoke("Is it?")).text for _ in range(3)] == ["yes"] * 3


def test_an_incomplete_response_is_a_broken_connection(stub: Stub) -> None:
    stub.reply = lambda _: (200, "{}", {"Content-Length": "999"})
    assert "The connection to the server at" in raised_message(stub, ServerError)


@pytest.mark.parametrize("drops", [1, 2])  # the number of requests whose connection is dropped
def test_a_dropped_connection_is_retried_once(stub: Stub, drops: int) -> None:
    model = remote_chat("stub", stub.url, retries=1)
    model.invoke("1")
    remaining_drops = iter(range(drops))

    def reply(_: object) -> Any:
        if next(remaining_drops, None) is not None:
            raise ConnectionAbortedError
        return 200, completion("done")

    stub.reply = reply
    if drops == 1:
        assert model.invoke("2").text == "done"
    else:
        with pytest.raises(ServerError, match=r"broke: Server disconnected without sending a response\."):
            model.invoke("2")
    assert [body["messages"][0]["content"] for body in stub.bodies] == ["1", "2", "2"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_not_in_the_message(stub: Stub, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    stub.reply = lambda _: (status, {"error": {"message": "no entry"}})
    monkeypatch.setenv("MEDGROUND_LLM_KEY", "my-secret")
    message = raised_message(stub)
    assert "refuses the key in MEDGROUND_LLM_KEY" in message
    assert "my-secret" not in message


@pytest.mark.parametrize(
    ("document", "description"),
    [
        ({"error": {"message": "of OpenAI"}}, "of OpenAI"),
        ({"object": "error", "message": "of vLLM"}, "of vLLM"),
        ({"error": "of TGI", "error_type": "validation"}, "of TGI"),
        ({"detail": [{"msg": "of FastAPI"}]}, '[{"msg": "of FastAPI"}]'),
        ("plain\n text", "plain text"),
        ("", None),
    ],
)
def test_the_server_s_description_is_in_the_message(stub: Stub, document: object, description: str | None) -> None:
    stub.reply = lambda _: (400, document)
    message = raised_message(stub)
    assert "refuses the request with status 400." in message
    assert message.endswith(f"It says: {description}" if description else "400.")


def test_the_error_of_a_too_long_prompt_advises_to_set_the_window(stub: Stub) -> None:
    description = "This model's maximum context length is 2048 tokens. However, you requested 2100 tokens."
    stub.reply = lambda _: (400, {"error": {"message": description, "code": "context_length_exceeded"}})
    message = raised_message(stub)
    assert description in message
    assert "Set llm.window" in message
    stub.reply = lambda _: (422, {"error": "Input validation error: `inputs` must have less than 1024 tokens."})
    assert "Set llm.window" in raised_message(stub)
    stub.reply = lambda _: (504, "the upstream took too long", {"Retry-After": "999"})
    assert "failed with status 504" in raised_message(stub)


def test_a_wrong_path_a_failed_server_and_a_redirect_have_different_errors(stub: Stub) -> None:
    stub.reply = lambda _: (404, {"detail": "Not Found"})
    assert "404, not found. It says: Not Found Check llm.base_url and llm.model." in raised_message(stub)
    stub.reply = lambda _: (500, "boom")
    assert "failed with status 500. It says: boom" in raised_message(stub)
    stub.reply = lambda _: (307, "", {"Location": "http://203.0.113.7/v1"})
    assert "redirects to http://203.0.113.7/v1; redirects are not followed" in raised_message(stub)
    assert len(stub.bodies) == 3


@pytest.mark.parametrize("content_type", ["text/html", "application/json"])
@pytest.mark.parametrize("document", ["<html>", "", "[1,"])
def test_responses_without_json_are_refused(stub: Stub, document: str, content_type: str) -> None:
    stub.reply = lambda _: (200, document, {"Content-Type": content_type})
    assert "with a response that is not in OpenAI's format" in raised_message(stub, ServerError)


@pytest.mark.parametrize("status", [429, 503])
def test_retries_wait_for_the_seconds_in_retry_after(stub: Stub, status: int) -> None:
    waits = iter(["0.3", "0.2"])

    def reply(_: object) -> Any:
        seconds = next(waits, None)
        return (200, completion("yes")) if seconds is None else (status, {}, {"Retry-After": seconds})

    stub.reply = reply
    start = time.monotonic()
    assert ask(stub, retries=2) == "yes"
    assert time.monotonic() - start >= 0.5
    assert len(stub.bodies) == 3


@pytest.mark.parametrize("retry_after", ["0", "-1", "Wed, 21 Oct 2015 07:28:00 GMT", "soon", "nan"])
def test_retries_wait_even_if_retry_after_has_no_valid_time(stub: Stub, retry_after: str) -> None:
    stub.reply = lambda _: (429, {"error": {"message": "slow down"}}, {"Retry-After": retry_after})
    start = time.monotonic()
    assert "is too busy. It says: slow down Try again later" in raised_message(stub, retries=1)
    assert time.monotonic() - start >= 0.3  # the SDK's shortest pause is 0.375 s
    assert len(stub.bodies) == 2
