"""``medground serve`` on the embedded default, with clients that know nothing of it."""

import re
import resource
import signal
import socket
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
BM25 = ("--set", "retriever=bm25")  # which has nothing to embed
QUESTION = "Is itch score decreased by rotesartan in men with breast cancer?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with serving(folder, *BM25, "--set", "serve.page=false") as (address, _):
        yield address


def client(url: str) -> "openai.OpenAI":
    return openai.OpenAI(base_url=f"{url}/v1", api_key="none")


def test_the_openai_client_chats_and_streams(url: str) -> None:
    asked = {"model": "medground", "messages": [{"role": "user", "content": QUESTION}]}
    whole = client(url).chat.completions.create(**asked)
    text = whole.choices[0].message.content
    assert re.match(r"(Yes|No|Maybe)\.\n\n\[1\] mg0312: “", text)
    assert re.search(
        r"Note: No documents are indexed in \S+, so the sample was searched.* medground-tiny answered\.", text
    )
    assert whole.model_extra["medground"]["citations"][0]["passage_id"] == "mg0312"
    chunks = list(client(url).chat.completions.create(**asked, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].model_extra["medground"] == whole.model_extra["medground"]
    assert [model.id for model in client(url).models.list()] == ["medground"]


def test_the_openai_client_is_told_what_is_wrong(url: str) -> None:
    with pytest.raises(openai.NotFoundError, match="There is no model 'gpt-4'"):
        client(url).chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": QUESTION}])
    with pytest.raises(openai.BadRequestError, match="The message is empty"):
        client(url).chat.completions.create(model="medground", messages=[{"role": "user", "content": ""}])
    long = [{"role": "user", "content": "Is it? " * 9000}]
    with pytest.raises(openai.BadRequestError, match="The question is too long"):
        client(url).chat.completions.create(model="medground", messages=long)
    with pytest.raises(openai.APIError, match="The question is too long"):
        list(client(url).chat.completions.create(model="medground", messages=long, stream=True))


def test_langchains_chat_model_chats_and_streams(url: str) -> None:
    langchain_openai = pytest.importorskip("langchain_openai")
    model = langchain_openai.ChatOpenAI(model="medground", base_url=f"{url}/v1", api_key="none")
    text = model.invoke([("system", "Be brief."), ("human", QUESTION)]).text
    assert "[1] mg0312: “" in text
    assert "".join(chunk.text for chunk in model.stream(QUESTION)) == text


def test_it_is_a_server_for_our_own_chains(url: str) -> None:
    from chains.config import LLMConfig
    from chains.models.remote import connect
    from chains.qa.chain import qa_chain

    chain = qa_chain(connect(LLMConfig(kind="openai", model="medground", base_url=f"{url}/v1")), context="none")
    answers = chain.batch([QUESTION] * 5)
    assert {answer.label for answer in answers} <= {"yes", "no", "maybe"}
    assert answers[0].output is not None
    assert "the label was parsed from its text" in answers[0].notes[0]


def test_conversations_outlive_the_process(folder: Path, url: str) -> None:
    new = {"medground": {"conversation": "new"}}
    asked = {"model": "medground", "messages": [{"role": "user", "content": QUESTION}]}
    begun = client(url).chat.completions.create(**asked, extra_body=new)
    id = begun.model_extra["medground"]["conversation"]
    tokens = folder / "tokens.yaml"
    tokens.write_text("local: token-of-the-local-user\nother: token-of-another-user\n")
    tokens.chmod(0o600)
    settings = ("llm.kind=extractive", "serve.page=false", "serve.tokens_file=tokens.yaml")
    arguments = (*BM25, *(part for one in settings for part in ("--set", one)))
    with serving(folder, *arguments) as (again, process):
        own = openai.OpenAI(base_url=f"{again}/v1", api_key="token-of-the-local-user")
        turns = own.get(f"/conversations/{id}", cast_to=dict)["turns"]
        assert [turn["message"] for turn in turns] == [QUESTION]
        other = openai.OpenAI(base_url=f"{again}/v1", api_key="token-of-another-user", max_retries=0)
        with pytest.raises(openai.NotFoundError):
            other.get(f"/conversations/{id}", cast_to=dict)
        with pytest.raises(openai.AuthenticationError):
            client(again).models.list()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    written = list((folder / ".medground").rglob("*"))
    assert {path.stat().st_mode & 0o777 for path in written if path.is_file()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (folder / ".medground", *filter(Path.is_dir, written))} == {0o700}


@pytest.mark.slow
def test_the_end_in_the_middle_of_a_load_loses_no_answer(tmp_path: Path) -> None:
    kept: list[str] = []
    others: list[object] = []

    def ask_on(address: str) -> None:
        asked = {"model": "medground", "messages": [{"role": "user", "content": QUESTION}]}
        with httpx.Client(base_url=address, trust_env=False, timeout=60) as http:
            while True:
                try:
                    answer = http.post("/v1/chat/completions", json={**asked, "medground": {"conversation": "new"}})
                except httpx.HTTPError as error:
                    others.append(repr(error))
                    return
                if answer.status_code != 200:
                    others.append(answer.status_code)
                    return
                kept.append(answer.json()["medground"]["conversation"])

    with serving(tmp_path, "--set", "serve.page=false") as (address, process), ThreadPoolExecutor(64) as pool:
        for _ in range(64):
            pool.submit(ask_on, address)
        until(lambda: len(kept) > 100, 120)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert others == [503] * 64
    conversations = Conversations(tmp_path / ".medground" / "conversations.sqlite3")
    assert {one.id: one.turns for one in conversations.list("local")} == dict.fromkeys(kept, 1)
    assert [turn.message for turn in conversations.read("local", kept[-1])] == [QUESTION]


@pytest.mark.slow
def test_1500_half_sent_requests_hold_up_nobody(tmp_path: Path) -> None:
    most, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip("the process may not open 4,096 files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))

    body = {"model": "medground", "messages": [{"role": "user", "content": QUESTION}]}
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    halves = (b"", head, head + b"Content-Length: 99\r\n\r\n{", b"GET /v1/models HTTP/1.1\r\nHo")
    with serving(tmp_path, "--set", "serve.page=false", preexec=few) as (address, _):
        port = int(address.rsplit(":", 1)[1])
        httpx.post(f"{address}/v1/chat/completions", json=body, timeout=60, trust_env=False)  # what is computed once
        started = time.monotonic()
        half = []
        took: list[float] = []
        for number in range(1500):
            connection = socket.create_connection(("127.0.0.1", port), timeout=10)
            connection.sendall(halves[number % len(halves)])
            half.append(connection)
            if number % 100 == 99:
                began = time.monotonic()
                assert httpx.get(f"{address}/v1/models", timeout=10, trust_env=False).status_code == 200
                took.append(time.monotonic() - began)
        for _ in range(10):
            began = time.monotonic()
            answer = httpx.post(f"{address}/v1/chat/completions", json=body, timeout=10, trust_env=False)
            took.append(time.monotonic() - began)
            assert answer.status_code == 200
        assert sorted(took)[len(took) // 2] < 1
        for connection in half:
            connection.settimeout(max(0.1, 40 - (time.monotonic() - started)))
            with connection, suppress(ConnectionResetError):
                while connection.recv(65536):
                    pass
        assert time.monotonic() - started < 40
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def test_a_model_that_never_answers_does_not_hold_up_the_end(tmp_path: Path) -> None:
    asked, over = threading.Event(), threading.Event()

    def never(_: object) -> Reply:
        asked.set()
        over.wait(60)
        return 200, completion("yes")

    with stub_openai(never) as model, ThreadPoolExecutor(1) as pool:
        llm = ["llm.kind=openai", f"llm.base_url={model.url}", "llm.model=stub"]
        settings = [*llm, "retriever=bm25", "serve.page=false", "serve.grace=1"]
        with serving(tmp_path, *(part for one in settings for part in ("--set", one))) as (address, process):
            body = {"messages": [{"role": "user", "content": QUESTION}]}
            pool.submit(httpx.post, f"{address}/v1/chat/completions", json=body, timeout=60, trust_env=False)
            assert asked.wait(30)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 1
            assert process.stderr is not None
            assert "still working 2 seconds after the stop" in process.stderr.read()
        over.set()


def test_what_cannot_be_served_is_reported(command: Callable[..., Any]) -> None:
    ended = command("serve", "--host", "0.0.0.0", "--port", "0", "--quiet")
    assert ended.status == 1
    assert "which other machines can reach, and there are no tokens" in ended.err
