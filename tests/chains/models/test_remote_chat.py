"""A model on a server as a LangChain chat model: what is sent, and the errors of servers that fail."""

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
from chains.models.remote_errors import RefusedError, ServerError

remote_chat = pytest.importorskip("chains.models.remote_chat").remote_chat
EVENTS = {"Content-Type": "text/event-stream"}


@pytest.fixture
def stub() -> Iterator[Stub]:
    with stub_openai() as running:
        yield running


def ask(stub: Stub, **how: Any) -> str:
    model = remote_chat("stub", f"{stub.url}/", **{"timeout": 5, "retries": 0, **how})
    return str(model.invoke("Is it?").text)


def failure(stub: Stub, kind: type[ServerError] = RefusedError, **how: Any) -> str:
    with pytest.raises(kind) as caught:
        ask(stub, **how)
    return str(caught.value)


def test_it_is_asked_as_a_langchain_model(stub: Stub) -> None:
    model = connect(LLMConfig(kind="openai", base_url=stub.url, model="stub")).chat
    assert model.invoke("Is it?", max_tokens=5).content == "yes"
    path, body, _ = stub.requests[-1]
    assert path == "/v1/chat/completions"
    assert (body["messages"], body["max_tokens"]) == ([{"role": "user", "content": "Is it?"}], 5)
    assert model.get_num_tokens("Is it so?") == 3


def test_only_this_projects_variable_holds_the_key(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_proxy_is_not_asked_about_this_machine(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert ask(stub) == "yes"


def test_it_streams(stub: Stub) -> None:
    pieces = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in ("It ", "is.")]
    events = "".join(f"data: {json.dumps({'id': '1', 'model': 'm', **piece})}\n\n" for piece in pieces)
    stub.reply = lambda _: (200, f"{events}data: [DONE]\n\n", EVENTS)
    model = remote_chat("stub", stub.url)
    assert [chunk.text for chunk in model.stream("Is it?") if chunk.text] == ["It ", "is."]
    stub.reply = lambda _: (200, f"data: {json.dumps({'error': {'message': 'lost it'}})}\n\n", EVENTS)
    with pytest.raises(ServerError, match="lost it"):
        list(model.stream("Is it?"))


@pytest.mark.parametrize("how", ["invoke", "stream", "ainvoke", "astream"])
def test_each_way_of_asking_has_the_same_errors(stub: Stub, how: str) -> None:
    async def in_a_loop(model: Any) -> None:
        if how == "ainvoke":
            await model.ainvoke("Is it?")
        else:
            async for _ in model.astream("Is it?"):
                pass

    def error(model: Any) -> str:
        with pytest.raises(ServerError) as caught:
            asyncio.run(in_a_loop(model)) if how.startswith("a") else list(getattr(model, how)("Is it?"))
        return str(caught.value)

    stub.reply = lambda _: (401, {"error": {"message": "no entry"}})
    wanted = "needs an API key: set the environment variable MEDGROUND_LLM_KEY. It says: no entry"
    assert wanted in error(remote_chat("stub", stub.url))
    stub.reply = delayed((200, completion("yes")), 1)
    stub.requests.clear()
    assert "did not answer within 0.2 seconds" in error(remote_chat("stub", stub.url, timeout=0.2))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        started = time.monotonic()
        assert f"No server can be reached at {url} (llm.base_url)" in error(remote_chat("stub", url))
    assert time.monotonic() - started < 5  # no further tries
    assert len(stub.requests) == 1


def test_a_connection_that_breaks(stub: Stub) -> None:
    stub.reply = lambda _: (200, "{}", {"Content-Length": "999"})
    assert "The connection to the server at" in failure(stub, ServerError)


@pytest.mark.parametrize("drops", [1, 2])
def test_a_kept_connection_that_the_server_closes_is_made_anew(stub: Stub, drops: int) -> None:
    model = remote_chat("stub", stub.url, retries=1)
    model.invoke("1")
    dropped = iter(range(drops))

    def reply(_: object) -> Any:
        if next(dropped, None) is not None:
            raise ConnectionAbortedError
        return 200, completion("again")

    stub.reply = reply
    if drops == 1:
        assert model.invoke("2").text == "again"
    else:
        with pytest.raises(ServerError, match=r"broke: Server disconnected without sending a response\."):
            model.invoke("2")
    assert [body["messages"][0]["content"] for body in stub.bodies] == ["1", "2", "2"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_wrong(stub: Stub, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    stub.reply = lambda _: (status, {"error": {"message": "no entry"}})
    monkeypatch.setenv("MEDGROUND_LLM_KEY", "my-secret")
    message = failure(stub)
    assert "refuses the key in MEDGROUND_LLM_KEY" in message
    assert "my-secret" not in message


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"error": {"message": "of OpenAI"}}, "of OpenAI"),
        ({"object": "error", "message": "of vLLM"}, "of vLLM"),
        ({"error": "of TGI", "error_type": "validation"}, "of TGI"),
        ({"detail": [{"msg": "of FastAPI"}]}, '[{"msg": "of FastAPI"}]'),
        ("plain\n text", "plain text"),
        ("", None),
    ],
)
def test_the_servers_words_are_in_the_message(stub: Stub, document: object, words: str | None) -> None:
    stub.reply = lambda _: (400, document)
    message = failure(stub)
    assert "refuses the request with status 400." in message
    assert message.endswith(f"It says: {words}" if words else "400.")


def test_a_prompt_that_is_too_long_says_what_to_set(stub: Stub) -> None:
    words = "This model's maximum context length is 2048 tokens. However, you requested 2100 tokens."
    stub.reply = lambda _: (400, {"error": {"message": words, "code": "context_length_exceeded"}})
    message = failure(stub)
    assert words in message
    assert "Set llm.window" in message
    stub.reply = lambda _: (422, {"error": "Input validation error: `inputs` must have less than 1024 tokens."})
    assert "Set llm.window" in failure(stub)
    stub.reply = lambda _: (504, "the upstream took too long", {"Retry-After": "999"})
    assert "failed with status 504" in failure(stub)


def test_a_wrong_path_a_broken_server_and_one_that_moved(stub: Stub) -> None:
    stub.reply = lambda _: (404, {"detail": "Not Found"})
    assert "404, not found. It says: Not Found Check llm.base_url and llm.model." in failure(stub)
    stub.reply = lambda _: (500, "boom")
    assert "failed with status 500. It says: boom" in failure(stub)
    stub.reply = lambda _: (307, "", {"Location": "http://203.0.113.7/v1"})
    assert "redirects to http://203.0.113.7/v1; redirects are not followed" in failure(stub)
    assert len(stub.bodies) == 3


@pytest.mark.parametrize("kind", ["text/html", "application/json"])
@pytest.mark.parametrize("document", ["<html>", "", "[1,"])
def test_what_is_no_json(stub: Stub, document: str, kind: str) -> None:
    stub.reply = lambda _: (200, document, {"Content-Type": kind})
    assert "with a response that is not in OpenAI's format" in failure(stub, ServerError)


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_when_it_says(stub: Stub, status: int) -> None:
    waits = iter(["0.3", "0.2"])

    def reply(_: object) -> Any:
        again = next(waits, None)
        return (200, completion("yes")) if again is None else (status, {}, {"Retry-After": again})

    stub.reply = reply
    started = time.monotonic()
    assert ask(stub, retries=2) == "yes"
    assert time.monotonic() - started >= 0.5
    assert len(stub.bodies) == 3


@pytest.mark.parametrize("again", ["0", "-1", "Wed, 21 Oct 2015 07:28:00 GMT", "soon", "nan"])
def test_a_wait_that_is_none_does_not_hammer_the_server(stub: Stub, again: str) -> None:
    stub.reply = lambda _: (429, {"error": {"message": "slow down"}}, {"Retry-After": again})
    started = time.monotonic()
    assert "is too busy. It says: slow down Try again later" in failure(stub, retries=1)
    assert time.monotonic() - started >= 0.3
    assert len(stub.bodies) == 2
