"""The routes of the API, over a real server on loopback with a scripted chain."""

import json
import logging
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from served import HTTP, ScriptedChain, ask, make_service, running, until, yes

from chains.answer import Answer
from chains.chat import Chat
from chains.chat.turn import Turn
from chains.models.remote_errors import ServerError
from chains.rewriting.followup_rules import RewrittenQuestion
from chains.rewriting.followups import by_rules
from common.errors import UserError

ANN_TOKEN, BOB_TOKEN = "ann-" * 5, "bob-" * 5
TOKENS = {"ann": ANN_TOKEN, "bob": BOB_TOKEN}
TEXT_PART = {"type": "text", "text": "Is it so?"}
EARLIER_SURROGATE = [("user", "Is it so?"), ("assistant", "Yes \ud800."), ("user", "And in men?")]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(make_service(ScriptedChain(), tmp_path_factory.mktemp("service"))) as (address, _):
        yield address


def request(url: str, path: str, token: str | None = None, method: str = "GET", **more: Any) -> httpx.Response:
    headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **more.pop("headers", {})}
    return HTTP.request(method, url + path, headers=headers, **more)


def error_message(response: httpx.Response) -> str:
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return str(error["message"])


def stream_chunks(response: httpx.Response) -> list[dict[str, Any]]:
    """The JSON objects of a stream of server-sent events."""
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def test_completion_has_openai_s_fields_and_the_evidence(url: str) -> None:
    response = ask(url)
    assert response.status_code == 200
    completion = response.json()
    assert completion["object"] == "chat.completion"
    choice = completion["choices"][0]
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"] == "Yes.\n\n[1] p1: “Aspirin reduced stroke.”"
    assert choice["finish_reason"] == "stop"
    extension = completion["medground"]
    assert extension["conversation"] is None
    assert extension["question"] == "Does it help?"
    assert extension["label_scores"] == {"yes": 0.9, "no": 0.06, "maybe": 0.04}
    citation = extension["citations"][0]
    passage = extension["passages"][0]["text"]
    assert passage[citation["start"] : citation["end"]] == citation["quote"] == "Aspirin reduced stroke."


def test_streamed_chunks_add_up_to_the_completion(url: str) -> None:
    completion = ask(url).json()
    response = ask(url, stream=True)
    assert response.headers["Content-Type"].startswith("text/event-stream")
    chunks = stream_chunks(response)
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert text == completion["choices"][0]["message"]["content"]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["medground"] == completion["medground"]


def test_follow_up_is_completed_from_the_messages_of_the_request(tmp_path: Path) -> None:
    chain = ScriptedChain()
    with running(make_service(chain, tmp_path)) as (url, _):
        messages = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Does aspirin reduce stroke in women?"},
            {"role": "assistant", "content": "Yes.\n\n[1] p1: “Aspirin reduced stroke.”"},
            {"role": "user", "content": [{"type": "text", "text": "And in men?"}]},
        ]
        completion = ask(url, messages=messages).json()
    assert completion["medground"]["question"] == "Does aspirin reduce stroke in men?"
    assert chain.batches == [["Does aspirin reduce stroke in men?"]]


def test_model_routes_return_the_only_model_and_404_for_others(url: str) -> None:
    listed = request(url, "/v1/models").json()
    assert listed["object"] == "list"
    assert listed["data"][0]["id"] == "medground"
    assert listed["data"][0]["medground"] == {"llm": "scripted", "retriever": "none"}
    assert request(url, "/v1/models/medground").json() == listed["data"][0]
    assert request(url, "/v1/models/gpt-4").status_code == 404
    assert request(url, "/v1/models/%ED%A0%80").status_code == 404
    assert "There is no model 'gpt-4'; the only one is medground." in error_message(ask(url, model="gpt-4"))


def test_stored_conversation_can_be_continued_listed_read_and_deleted(tmp_path: Path) -> None:
    with running(make_service(ScriptedChain(), tmp_path)) as (url, _):
        first = ask(url, "Does aspirin reduce stroke in women?", medground={"conversation": "new"}).json()
        id = first["medground"]["conversation"]
        response = ask(url, "And in men?", medground={"conversation": id}, stream=True)
        second = stream_chunks(response)[-1]["medground"]
        assert second["conversation"] == id
        assert second["question"] == "Does aspirin reduce stroke in men?"
        (summary,) = request(url, "/v1/conversations").json()["data"]
        assert (summary["id"], summary["turns"]) == (id, 2)
        assert summary["title"] == "Does aspirin reduce stroke in women?"
        turns = request(url, f"/v1/conversations/{id}").json()["turns"]
        assert [turn["message"] for turn in turns] == ["Does aspirin reduce stroke in women?", "And in men?"]
        assert turns[0]["text"] == "Yes."
        assert request(url, f"/v1/conversations/{id}", method="DELETE").json()["deleted"] is True
        assert request(url, f"/v1/conversations/{id}").status_code == 404
        assert request(url, f"/v1/conversations/{id}", method="DELETE").status_code == 404
        assert ask(url, medground={"conversation": id}).status_code == 404
        assert request(url, "/v1/conversations").json()["data"] == []


@pytest.mark.parametrize("stream", [False, True])
def test_conversation_without_an_answer_is_not_stored(tmp_path: Path, stream: bool) -> None:
    chain = ScriptedChain(answer=lambda _: UserError("The question is too long."))
    with running(make_service(chain, tmp_path)) as (url, _):
        assert "The question is too long." in ask(url, stream=stream, medground={"conversation": "new"}).text
        assert request(url, "/v1/conversations").json()["data"] == []


def test_delete_gets_503_while_another_program_writes_the_file_and_409_while_it_reads(tmp_path: Path) -> None:
    service = make_service(ScriptedChain(), tmp_path)
    service.chat.conversations._connection.execute("PRAGMA busy_timeout = 10")  # in ms
    with running(service) as (url, _), closing(sqlite3.connect(tmp_path / "chat.sqlite3")) as other_program:
        path = f"/v1/conversations/{ask(url, medground={'conversation': 'new'}).json()['medground']['conversation']}"
        other_program.execute("BEGIN IMMEDIATE")
        response = request(url, path, method="DELETE")
        assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
        assert "Another program is writing to the file of conversations" in error_message(response)
        other_program.rollback()
        other_program.execute("BEGIN")
        other_program.execute("SELECT * FROM turn").fetchall()
        response = request(url, path, method="DELETE")
        assert (response.status_code, response.json()["error"]["code"]) == (409, "not_erased")
        assert "The conversation is deleted, but another program is reading" in error_message(response)
        assert request(url, path).status_code == 404


def test_malformed_conversation_ids_are_not_found(tmp_path: Path) -> None:
    with running(make_service(ScriptedChain(), tmp_path, TOKENS)) as (url, _):
        id = ask(url, token=BOB_TOKEN, medground={"conversation": "new"}).json()["medground"]["conversation"]
        for name in (f"{id}/bob", f"{id}%2Fbob", f"../{id}", f"{id}%00", "new", "%25"):
            for method in ("GET", "DELETE"):
                assert request(url, f"/v1/conversations/{name}", ANN_TOKEN, method).status_code == 404, name


def test_missing_token_gets_401_with_www_authenticate(tmp_path: Path) -> None:
    with running(make_service(ScriptedChain(), tmp_path, TOKENS)) as (url, _):
        response = request(url, "/v1/models")
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert error_message(response) == "A valid bearer token is needed."
        assert [request(url, path).status_code for path in ("/healthz", "/readyz")] == [200, 200]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"messages": []}, "messages: List should have at least 1 item"),
        ({}, "messages: Field required"),
        ({"messages": [{"role": "user", "content": " "}]}, "The message is empty"),
        ({"messages": [{"role": "user"}]}, "The message is empty"),
        ({"messages": [{"role": "assistant", "content": "Yes."}]}, "The last message must be the user's"),
        ({"messages": [{"role": "doctor", "content": "x"}]}, "messages.0.role"),
        (
            {"messages": [{"role": "user", "content": [TEXT_PART, {"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages.0.content: a part is of type 'image_url', and the service reads text only; leave this part out",
        ),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": "x"}] * 201}, "The request has 201 messages; the limit is 200"),
        ({"messages": [{"role": "user", "content": "x"}], "n": 2}, "n: Input should be 1"),
        ({"messages": [{"role": "user", "content": "x"}], "tools": [{}]}, "cannot call tools; leave them out"),
        (
            {"messages": [{"role": "user", "content": "x"}], "response_format": {"type": "json_object"}},
            "response_format.type: Input should be 'text'",
        ),
        ({"messages": [{"role": "user", "content": "x"}], "medground": {"conversatoin": "new"}}, "conversatoin"),
        ({"messages": [{"role": "user", "content": "Is it \ud800?"}]}, "lone surrogate"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "\ud800"}]}]}, "lone surrogate"),
        (
            {"messages": [{"role": r, "content": t} for r, t in EARLIER_SURROGATE]},
            "messages.1: it contains",
        ),
        ({"messages": [{"role": "user", "content": "x"}], "medground": {"\ud800": 1}}, "unicode string"),
        ({"messages": [{"role": "user", "content": "x"}], "medground": {"conversation": "\ud800"}}, "unicode string"),
        ([], "Input should be"),
        ("text", "Input should be"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_invalid_completion_requests_get_400_with_the_reason(url: str, body: Any, message: str, stream: bool) -> None:
    content = json.dumps({**body, "stream": stream} if isinstance(body, dict) else body)
    headers = {"Content-Type": "application/json"}
    response = request(url, "/v1/chat/completions", method="POST", content=content, headers=headers)
    assert message in response.text
    assert response.status_code == 400


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"messages": NaN}', b"null"])
def test_malformed_json_gets_400_with_an_error_body(url: str, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    response = request(url, "/v1/chat/completions", method="POST", content=content, headers=headers)
    assert response.status_code == 400
    assert error_message(response)


def test_other_content_types_than_json_get_415(url: str) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        response = request(url, "/v1/chat/completions", method="POST", content="{}", headers={"Content-Type": kind})
        assert response.status_code == 415


def test_requests_beyond_the_queue_get_429_with_retry_after(tmp_path: Path) -> None:
    release = threading.Event()
    service = make_service(ScriptedChain(release=release), tmp_path, batch=1, queue=2, wait_ms=0)
    with running(service) as (url, _), ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(ask, url, f"Is it {n}?") for n in range(8)]
        until(lambda: sum(future.done() for future in futures) == 5)
        release.set()
        responses = [future.result() for future in futures]
        # one request in a batch, two in the queue
        assert sorted(response.status_code for response in responses) == [200] * 3 + [429] * 5
        refused = next(response for response in responses if response.status_code == 429)
        assert int(refused.headers["Retry-After"]) >= 1
        assert "too many requests are waiting" in error_message(refused)
        assert ask(url).status_code == 200
        assert 'medground_requests_total{path="/v1/chat/completions",status="429"} 5.0' in request(url, "/metrics").text


@pytest.mark.parametrize("stream", [False, True])
def test_disconnected_client_frees_its_slot_and_its_question_is_not_computed(tmp_path: Path, stream: bool) -> None:
    release = threading.Event()
    chain = ScriptedChain(release=release)
    service = make_service(chain, tmp_path, batch=1, queue=1, wait_ms=0)
    with running(service) as (url, _):
        first = threading.Thread(target=lambda: ask(url, "first"))
        first.start()
        until(lambda: bool(chain.batches))
        body = {"messages": [{"role": "user", "content": "waits"}], "stream": stream}
        with httpx.Client(trust_env=False, timeout=0.15) as client, pytest.raises(httpx.TimeoutException):
            client.post(f"{url}/v1/chat/completions", json=body).read()
        until(lambda: service.admission.active == 1)  # only the first request is left
        release.set()
        first.join()
        assert ask(url, "last").status_code == 200
        assert chain.batches == [["first"], ["last"]]
        assert "medground_cancelled_total 1" in request(url, "/metrics").text


def test_client_that_disconnects_before_its_question_is_rewritten_frees_its_slot(tmp_path: Path) -> None:
    service, release = make_service(ScriptedChain(), tmp_path), threading.Event()

    def rewrite(history: Sequence[Turn], message: str) -> RewrittenQuestion:
        release.wait(60)
        return by_rules(history, message)

    conversations = service.chat.conversations
    service.chat = Chat(ScriptedChain(), conversations, rewriter=rewrite, count=len, budget=10_000)
    with running(service) as (url, _):
        body = {"messages": [{"role": "user", "content": "Is it so?"}], "stream": True}
        with httpx.Client(trust_env=False, timeout=0.3) as client, pytest.raises(httpx.TimeoutException):
            client.post(f"{url}/v1/chat/completions", json=body).read()
        until(lambda: "medground_cancelled_total 1" in service.metrics.text().decode(), 5)
        release.set()


def test_request_beyond_the_timeout_gets_504(tmp_path: Path) -> None:
    with running(make_service(ScriptedChain(seconds=0.6), tmp_path, timeout=0.2)) as (url, _):
        response = ask(url)
        assert response.status_code == 504
        assert "took too long (serve.timeout)" in error_message(response)
        assert '"code": "timeout"' in ask(url, stream=True).text


def test_questions_of_concurrent_clients_are_batched(tmp_path: Path) -> None:
    chain = ScriptedChain(seconds=0.05)
    with running(make_service(chain, tmp_path, batch=8)) as (url, _), ThreadPoolExecutor(16) as pool:
        assert {response.status_code for response in pool.map(lambda n: ask(url, f"Is it {n}?"), range(32))} == {200}
        assert sum(map(len, chain.batches)) == 32
        assert len(chain.batches) <= 16  # four if all batches are full
        metrics = request(url, "/metrics").text
        assert "medground_batch_size_sum 32.0" in metrics
        assert f"medground_batch_size_count {len(chain.batches)}" in metrics


def test_shutdown_answers_and_stores_admitted_requests(tmp_path: Path) -> None:
    service = make_service(ScriptedChain(seconds=0.3), tmp_path, batch=2, wait_ms=0)
    with ThreadPoolExecutor(6) as pool:
        with running(service, quiet_seconds=0.5) as (url, server):
            futures = [pool.submit(ask, url, f"Is it {n}?", medground={"conversation": "new"}) for n in range(6)]
            until(lambda: service.admission.active == 6)
            server.should_exit = True
        assert [future.result().status_code for future in futures] == [200] * 6
    assert not any(worker.is_alive() for worker in service.batcher._workers)
    database = sqlite3.connect(tmp_path / "chat.sqlite3")
    turns = database.execute("SELECT count(*) FROM turn GROUP BY conversation").fetchall()
    assert turns == [(1,)] * 6


def test_shutdown_cancels_requests_after_the_grace_period(tmp_path: Path) -> None:
    service = make_service(ScriptedChain(seconds=1.5), tmp_path, batch=1, wait_ms=0, grace=1)
    with ThreadPoolExecutor(4) as pool:
        with running(service, quiet_seconds=0.5) as (url, server):
            futures = [pool.submit(ask, url, f"Is it {n}?") for n in range(4)]
            until(lambda: service.admission.active == 4)
            server.should_exit = True
        outcomes = [future.exception() or future.result().status_code for future in futures]
    assert not service.admission.active
    assert all(outcome in (200, 500, 503) or isinstance(outcome, httpx.HTTPError) for outcome in outcomes)


def test_failures_are_reported_and_logged_without_the_user_s_text(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(question) -> Answer | UserError:
        if "server" in question.text:
            raise ServerError("No server can be reached.")
        raise RuntimeError(f"secret: {question.text}")

    with caplog.at_level(logging.INFO), running(make_service(ScriptedChain(answer=answer), tmp_path)) as (url, _):
        response = ask(url, "Has Ms Miller cancer?")
        assert response.status_code == 500
        assert error_message(response) == "The service failed; its log has the details."
        assert "its log has the details" in ask(url, "Has Ms Miller cancer?", stream=True).text
        response = ask(url, "Is a server there?")
        assert (response.status_code, error_message(response)) == (502, "No server can be reached.")
    assert "RuntimeError" in caplog.text
    assert "in answer" in caplog.text  # the function's name in the traceback
    assert "Miller" not in caplog.text


def test_full_disk_is_named_to_the_client_and_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    service = make_service(ScriptedChain(), tmp_path)
    service.chat.conversations._connection.execute("PRAGMA max_page_count = 1")
    with running(service) as (url, _):
        response = ask(url, "Is it? " * 2000, medground={"conversation": "new"})
        assert response.status_code == 500
        assert "database or disk is full. Check chat.path" in error_message(response)
        assert "disk is full" in ask(url, "Is it? " * 2000, medground={"conversation": "new"}, stream=True).text
    assert "disk is full" in caplog.text
    assert "Is it?" not in caplog.text


@pytest.mark.parametrize("log_text", [False, True])
def test_questions_are_logged_only_with_log_text_and_tokens_never(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, log_text: bool
) -> None:
    with caplog.at_level(logging.INFO), running(make_service(ScriptedChain(), tmp_path, log_text=log_text)) as (url, _):
        ask(url, "Has Ms Miller cancer?", token="t" * 30)
        ask(url, "Has Ms Miller cancer?", stream=True)
    assert "POST /v1/chat/completions 200" in caplog.text
    assert caplog.text.count("Miller") == (4 if log_text else 0)  # message and question of both requests
    assert "ttt" not in caplog.text


def test_verdict_and_note_are_footnotes_of_the_answer(tmp_path: Path) -> None:
    service = make_service(
        ScriptedChain(answer=lambda question: yes(question).model_copy(update={"verdict": "supported"})), tmp_path
    )
    service.note = "A small model answered."
    with running(service) as (url, _):
        completion = ask(url).json()
    text = completion["choices"][0]["message"]["content"]
    assert text.endswith("”\nVerdict: supported.\nNote: A small model answered.")
    assert completion["medground"]["verdict"] == "supported"
    assert completion["medground"]["notes"] == ["A small model answered."]


def test_waiting_stream_sends_comments_that_openai_s_client_ignores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    openai = pytest.importorskip("openai")
    monkeypatch.setattr("medground.service.app._HEARTBEAT_SECONDS", 0.05)
    with running(make_service(ScriptedChain(seconds=0.4), tmp_path)) as (url, _):
        response = ask(url, stream=True)
        assert response.headers["X-Accel-Buffering"] == "no"
        assert response.text.count(": waiting\n\n") >= 3
        assert response.text.index(": waiting") < response.text.index("Yes.")
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
        messages = [{"role": "user", "content": "Does it help?"}]
        chunks = client.chat.completions.create(model="medground", messages=messages, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks).startswith("Yes.")


def test_null_and_unknown_fields_of_clients_are_accepted(url: str) -> None:
    message = {"role": "user", "content": "Does it help?", "id": 1947269257, "opts": {"visible": False}}
    for fields in (
        {"stream": None, "stop": None, "n": None, "max_tokens": None, "tools": None, "medground": None},
        {"tool_choice": None, "tools": []},
        {"max_tokens": None, "temperature": 0},
        {"messages": [message], "stream_options": {"include_usage": True}, "min_p": 0.1},
    ):
        assert ask(url, **fields).status_code == 200, fields
