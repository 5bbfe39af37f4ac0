"""``medground serve`` over the sample: clients of OpenAI's API, stored conversations, overload and shutdown."""

import re
import resource
import signal
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from served import until
from served_process import serving
from stub_openai import Reply, completion, stub_openai

from chains.chat import Conversations

openai = pytest.importorskip("openai")
BM25 = "--set=retriever=bm25"  # faster than the default, as it embeds nothing
NO_PAGE = "--set=serve.page=false"
QUESTION = "Is itch score decreased by rotesartan in men with breast cancer?"
REQUEST: dict[str, Any] = {"model": "medground", "messages": [{"role": "user", "content": QUESTION}]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with serving(folder, BM25, NO_PAGE) as (url, _):
        yield url


def client(url: str, token: str = "none") -> "openai.OpenAI":
    return openai.OpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0)


def test_openai_client_gets_the_same_answer_whole_and_streamed(url: str) -> None:
    whole = client(url).chat.completions.create(**REQUEST)
    text = whole.choices[0].message.content
    assert re.match(r"(Yes|No|Maybe)\.\n\n\[1\] mg0312: “", text)
    assert re.search(
        r"Note: No documents are indexed in \S+, so the sample was searched.* medground-tiny answered\.", text
    )
    assert whole.model_extra["medground"]["citations"][0]["passage_id"] == "mg0312"
    chunks = list(client(url).chat.completions.create(**REQUEST, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].model_extra["medground"] == whole.model_extra["medground"]
    assert [model.id for model in client(url).models.list()] == ["medground"]


def test_openai_client_raises_the_errors_of_the_service(url: str) -> None:
    create = client(url).chat.completions.create
    with pytest.raises(openai.NotFoundError, match="There is no model 'gpt-4'"):
        create(**{**REQUEST, "model": "gpt-4"})
    with pytest.raises(openai.BadRequestError, match="The message is empty"):
        create(model="medground", messages=[{"role": "user", "content": ""}])
    long = [{"role": "user", "content": "Is it? " * 9000}]
    with pytest.raises(openai.BadRequestError, match="The question is too long"):
        create(model="medground", messages=long)
    with pytest.raises(openai.APIError, match="The question is too long"):
        list(create(model="medground", messages=long, stream=True))


def test_langchain_chat_model_gets_the_same_answer_whole_and_streamed(url: str) -> None:
    langchain_openai = pytest.importorskip("langchain_openai")
    model = langchain_openai.ChatOpenAI(model="medground", base_url=f"{url}/v1", api_key="none")
    text = model.invoke([("system", "Be brief."), ("human", QUESTION)]).text
    assert "[1] mg0312: “" in text
    assert "".join(chunk.text for chunk in model.stream(QUESTION)) == text


def test_service_can_be_the_model_of_another_chain(url: str) -> None:
    from chains.config import LLMConfig
    from chains.models.remote import connect
    from chains.qa.chain import qa_chain

    chain = qa_chain(connect(LLMConfig(kind="openai", model="medground", base_url=f"{url}/v1")), context="none")
    answers = chain.batch([QUESTION] * 5)
    assert {answer.label for answer in answers} <= {"yes", "no", "maybe"}
    assert answers[0].output is not None
    assert "the label was parsed from its text" in answers[0].notes[0]


def test_conversations_are_private_and_survive_a_restart(folder: Path, url: str) -> None:
    answer = client(url).chat.completions.create(**REQUEST, extra_body={"medground": {"conversation": "new"}})
    id = answer.model_extra["medground"]["conversation"]
    tokens = folder / "tokens.yaml"
    tokens.write_text("local: token-of-the-local-user\nother: token-of-another-user\n")
    tokens.chmod(0o600)
    settings = ("--set=llm.kind=extractive", "--set=serve.tokens_file=tokens.yaml")
    with serving(folder, BM25, NO_PAGE, *settings) as (new_url, process):
        turns = client(new_url, "token-of-the-local-user").get(f"/conversations/{id}", cast_to=dict)["turns"]
        assert [turn["message"] for turn in turns] == [QUESTION]
        with pytest.raises(openai.NotFoundError):
            client(new_url, "token-of-another-user").get(f"/conversations/{id}", cast_to=dict)
        with pytest.raises(openai.AuthenticationError):
            client(new_url).models.list()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    paths = [folder / ".medground", *(folder / ".medground").rglob("*")]
    modes = {(path.is_dir(), path.stat().st_mode & 0o777) for path in paths}
    assert modes == {(True, 0o700), (False, 0o600)}  # only the owner may read


@pytest.mark.slow
def test_shutdown_under_load_stores_every_answer(tmp_path: Path) -> None:
    conversation_ids: list[str] = []
    failures: list[object] = []

    def ask_until_failure(url: str) -> None:
        with httpx.Client(base_url=url, trust_env=False, timeout=60) as http:
            while True:
                try:
                    answer = http.post("/v1/chat/completions", json={**REQUEST, "medground": {"conversation": "new"}})
                except httpx.HTTPError as error:
                    failures.append(repr(error))
                    return
                if answer.status_code != 200:
                    failures.append(answer.status_code)
                    return
                conversation_ids.append(answer.json()["medground"]["conversation"])

    with serving(tmp_path, NO_PAGE) as (url, process), ThreadPoolExecutor(64) as pool:
        for _ in range(64):
            pool.submit(ask_until_failure, url)
        until(lambda: len(conversation_ids) > 100, 120)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert failures == [503] * 64
    stored = Conversations(tmp_path / ".medground" / "conversations.sqlite3")
    turns = {conversation.id: conversation.turns for conversation in stored.list("local")}
    assert turns == dict.fromkeys(conversation_ids, 1)
    assert [turn.message for turn in stored.read("local", conversation_ids[-1])] == [QUESTION]


@pytest.mark.slow
def test_1500_incomplete_requests_do_not_delay_others(tmp_path: Path) -> None:
    """The server may open 1,024 files, fewer than there are connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip("the process may not open 4,096 files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))

    def limit_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))

    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    incomplete = (b"", head, head + b"Content-Length: 99\r\n\r\n{", b"GET /v1/models HTTP/1.1\r\nHo")
    with (
        serving(tmp_path, NO_PAGE, preexec=limit_files) as (url, _),
        httpx.Client(base_url=url, trust_env=False, timeout=60, headers={"Connection": "close"}) as http,
    ):
        http.post("/v1/chat/completions", json=REQUEST)  # loads models and fills caches
        http.timeout = 10
        port = int(url.rsplit(":", 1)[1])
        started = time.monotonic()
        connections = []
        seconds: list[float] = []
        for number in range(1500):
            connection = socket.create_connection(("127.0.0.1", port), timeout=10)
            connection.sendall(incomplete[number % len(incomplete)])
            connections.append(connection)
            if number % 100 == 99:
                seconds.append(seconds_of(http.get("/v1/models")))
        seconds += [seconds_of(http.post("/v1/chat/completions", json=REQUEST)) for _ in range(10)]
        assert statistics.median(seconds) < 1
        for connection in connections:  # the server closes all of them within 40 seconds
            connection.settimeout(max(0.1, 40 - (time.monotonic() - started)))
            with connection, suppress(ConnectionResetError):
                while connection.recv(65536):
                    pass
        assert time.monotonic() - started < 40
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def seconds_of(response: httpx.Response) -> float:
    assert response.status_code == 200
    return response.elapsed.total_seconds()


def test_shutdown_does_not_wait_for_a_model_that_never_answers(tmp_path: Path) -> None:
    request_received, test_ended = threading.Event(), threading.Event()

    def never_reply(_: object) -> Reply:
        request_received.set()
        test_ended.wait(60)
        return 200, completion("yes")

    with stub_openai(never_reply) as model, ThreadPoolExecutor(1) as pool:
        settings = ("llm.kind=openai", f"llm.base_url={model.url}", "llm.model=stub", "serve.grace=1")
        with serving(tmp_path, BM25, NO_PAGE, *(f"--set={item}" for item in settings)) as (url, process):
            pool.submit(httpx.post, f"{url}/v1/chat/completions", json=REQUEST, timeout=60, trust_env=False)
            assert request_received.wait(30)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 1
            assert process.stderr is not None
            assert "still working 2 seconds after the stop" in process.stderr.read()
        test_ended.set()


def test_serving_other_machines_without_tokens_is_an_error(command: Callable[..., Any]) -> None:
    outcome = command("serve", "--host", "0.0.0.0", "--port", "0", "--quiet")
    assert outcome.status == 1
    assert "which other machines can reach, and there are no tokens" in outcome.err
