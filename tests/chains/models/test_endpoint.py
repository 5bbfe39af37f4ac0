import email.utils
import socket
import time
from collections.abc import Iterator

import pytest
from stub_openai import Stub, said, slowly, stub_openai

from chains.models.endpoint import ElsewhereError, Endpoint, RefusedError
from common.errors import UserError


@pytest.fixture
def stub() -> Iterator[Stub]:
    with stub_openai() as running:
        yield running


def ask(stub: Stub, **how: float) -> object:
    return Endpoint(stub.url, None, **{"timeout": 5.0, "patience": 0.0, **how}).post("/chat/completions", {"n": 1})


def refusal(stub: Stub, **how: float) -> str:
    with pytest.raises(RefusedError) as caught:
        ask(stub, **how)
    return str(caught.value)


def test_what_is_sent_and_what_comes_back(stub: Stub) -> None:
    endpoint = Endpoint(f"{stub.url}/", "secret-key")
    assert endpoint.post("/chat/completions", {"n": 1}) == said("yes")
    assert endpoint.get("/models")["object"] == "list"
    (path, body, headers), (listing, nothing, _) = stub.asked
    assert (path, body, headers["Authorization"]) == ("/v1/chat/completions", {"n": 1}, "Bearer secret-key")
    assert (listing, nothing) == ("/v1/models", None)
    stub.asked.clear()
    ask(stub)
    assert "Authorization" not in stub.asked[0][2]


def test_a_server_that_is_not_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(ElsewhereError, match=rf"No server can be reached at {url} \(llm\.base_url\).*Start it"):
            Endpoint(url, None).get("/models")


def test_a_server_that_does_not_answer_in_time(stub: Stub) -> None:
    stub.reply = slowly((200, said("yes")), 1)
    with pytest.raises(ElsewhereError, match=r"did not answer within 0\.2 seconds"):
        ask(stub, timeout=0.2)


def test_a_connection_that_breaks(stub: Stub) -> None:
    stub.reply = lambda _: (200, "{}", {"Content-Length": "999"})
    with pytest.raises(ElsewhereError, match=r"The connection to the server at .* broke"):
        ask(stub, timeout=0.5)


@pytest.mark.parametrize("drops", [1, 2])
def test_a_kept_connection_that_the_server_closes_is_made_anew_once(stub: Stub, drops: int) -> None:
    endpoint = Endpoint(stub.url, None, timeout=5)
    endpoint.post("/chat/completions", {"n": 1})
    dropped = iter(range(drops))

    def reply(_: object):
        if next(dropped, None) is not None:
            raise ConnectionAbortedError
        return 200, said("again")

    stub.reply = reply
    if drops == 1:
        assert endpoint.post("/chat/completions", {"n": 2}) == said("again")
    else:
        with pytest.raises(ElsewhereError, match=r"broke: Server disconnected without sending a response\."):
            endpoint.post("/chat/completions", {"n": 2})
    assert [body["n"] for body in stub.bodies] == [1, 2, 2]


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_missing_or_wrong(stub: Stub, status: int) -> None:
    stub.reply = lambda _: (status, {"error": {"message": "no entry"}})
    assert "wants a key: put it into the environment variable MEDGROUND_LLM_KEY. It says: no entry" in refusal(stub)
    with pytest.raises(RefusedError, match="refuses the key in MEDGROUND_LLM_KEY") as caught:
        Endpoint(stub.url, "my-secret").post("/chat/completions", {})
    assert "my-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"error": {"message": "of OpenAI"}}, "of OpenAI"),
        ({"object": "error", "message": "of vLLM"}, "of vLLM"),
        ({"error": "of TGI", "error_type": "validation"}, "of TGI"),
        ({"detail": [{"msg": "of FastAPI"}]}, '[{"msg": "of FastAPI"}]'),
        ("plain\n text", "plain text"),
        ("", None),
    ],
)
def test_the_servers_own_words(stub: Stub, document: object, told: str | None) -> None:
    stub.reply = lambda _: (400, document)
    message = refusal(stub)
    assert "refuses the request with status 400." in message
    assert message.endswith(f"It says: {told}" if told else "400.")


def test_a_prompt_that_is_too_long_says_what_to_set(stub: Stub) -> None:
    words = "This model's maximum context length is 2048 tokens. However, you requested 2100 tokens."
    stub.reply = lambda _: (400, {"error": {"message": words}})
    message = refusal(stub)
    assert words in message
    assert "Set llm.window" in message
    stub.reply = lambda _: (422, {"error": "Input validation error: `inputs` must have less than 1024 tokens."})
    assert "Set llm.window" in refusal(stub)
    stub.reply = lambda _: (500, "the upstream failed")
    assert "Set llm.window" not in refusal(stub)


def test_a_server_that_takes_too_long_is_not_a_prompt_that_is_too_long(stub: Stub) -> None:
    stub.reply = lambda _: (504, "the upstream took too long", {"Retry-After": "999"})
    assert "failed with status 504" in refusal(stub)


def test_a_wrong_path_a_broken_server_and_one_that_moved(stub: Stub) -> None:
    stub.reply = lambda _: (404, {"detail": "Not Found"})
    assert "404, not found. It says: Not Found Check llm.base_url and llm.model." in refusal(stub)
    stub.reply = lambda _: (500, "boom")
    assert "failed with status 500. It says: boom" in refusal(stub)
    stub.reply = lambda _: (307, "", {"Location": "http://203.0.113.7/v1"})
    assert "points to http://203.0.113.7/v1, and is not followed" in refusal(stub)
    assert len(stub.bodies) == 3


@pytest.mark.parametrize("document", ["<html>", "", "[1,"])
def test_what_is_no_json(stub: Stub, document: str) -> None:
    stub.reply = lambda _: (200, document)
    with pytest.raises(UserError, match="with what OpenAI's protocol does not have"):
        ask(stub)


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_when_it_says(stub: Stub, status: int) -> None:
    waits = iter(["0.2", email.utils.formatdate(time.time() - 5, usegmt=True)])

    def reply(_: object):
        again = next(waits, None)
        return (200, said("yes")) if again is None else (status, {}, {"Retry-After": again})

    stub.reply = reply
    started = time.monotonic()
    assert ask(stub, patience=5) == said("yes")
    assert time.monotonic() - started >= 0.2
    assert len(stub.bodies) == 3


@pytest.mark.parametrize("again", ["0", "-1", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_wait_that_is_none_does_not_hammer_the_server(stub: Stub, again: str) -> None:
    stub.reply = lambda _: (429, {}, {"Retry-After": again})
    refusal(stub, patience=2)
    assert 2 <= len(stub.bodies) <= 3  # pauses of at least a half, one and two seconds


@pytest.mark.parametrize("again", ["60", "-1", "soon", "nan"])
def test_patience_ends(stub: Stub, again: str) -> None:
    stub.reply = lambda _: (429, {"error": {"message": "slow down"}}, {"Retry-After": again})
    started = time.monotonic()
    message = refusal(stub, patience=0.3)
    assert "is too busy: it still said so after 0.3 seconds. It says: slow down" in message
    assert time.monotonic() - started < 2


def test_a_proxy_is_not_asked_about_this_machine(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert ask(stub) == said("yes")
