"""The routes, over a real server on loopback and a scripted chain."""

import json
import logging
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from served import HTTP, Scripted, ask, make_service, running, until, yes

from chains.answer import Answer
from chains.models.remote_errors import ServerError
from common.errors import UserError

ANN, BOB = "ann-" * 5, "bob-" * 5
TOKENS = {"ann": ANN, "bob": BOB}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(make_service(Scripted(), tmp_path_factory.mktemp("service"))) as (address, _):
        yield address


def get(url: str, path: str, token: str | None = None, method: str = "GET", **more: Any) -> httpx.Response:
    headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **more.pop("headers", {})}
    return HTTP.request(method, url + path, headers=headers, **more)


def error(response: httpx.Response) -> str:
    told = response.json()["error"]
    assert set(told) == {"message", "type", "param", "code"}
    return str(told["message"])


def chunks(response: httpx.Response) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def test_an_answer_is_whole(url: str) -> None:
    response = ask(url)
    assert response.status_code == 200
    told = response.json()
    assert told["object"] == "chat.completion"
    choice = told["choices"][0]
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"] == "Yes.\n\n[1] p1: “Aspirin reduced stroke.”"
    assert choice["finish_reason"] == "stop"
    own = told["medground"]
    assert own["conversation"] is None
    assert own["question"] == "Does it help?"
    assert own["label_scores"] == {"yes": 0.9, "no": 0.06, "maybe": 0.04}
    cited = own["citations"][0]
    assert own["passages"][0]["text"][cited["start"] : cited["end"]] == cited["quote"] == "Aspirin reduced stroke."


def test_a_stream_is_the_same_in_pieces(url: str) -> None:
    whole = ask(url).json()
    response = ask(url, stream=True)
    assert response.headers["Content-Type"].startswith("text/event-stream")
    pieces = chunks(response)
    assert {piece["object"] for piece in pieces} == {"chat.completion.chunk"}
    assert len({piece["id"] for piece in pieces}) == 1
    assert pieces[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    text = "".join(piece["choices"][0]["delta"].get("content", "") for piece in pieces)
    assert text == whole["choices"][0]["message"]["content"]
    assert [piece["choices"][0]["finish_reason"] for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
    assert pieces[-1]["choices"][0]["finish_reason"] == "stop"
    assert pieces[-1]["medground"] == whole["medground"]


def test_the_history_that_a_client_carries_completes_a_follow_up(tmp_path: Path) -> None:
    chain = Scripted()
    with running(make_service(chain, tmp_path)) as (url, _):
        said = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Does aspirin reduce stroke in women?"},
            {"role": "assistant", "content": "Yes.\n\n[1] p1: “Aspirin reduced stroke.”"},
            {"role": "user", "content": [{"type": "text", "text": "And in men?"}]},
        ]
        told = ask(url, messages=said).json()
    assert told["medground"]["question"] == "Does aspirin reduce stroke in men?"
    assert chain.batches == [["Does aspirin reduce stroke in men?"]]


def test_models(url: str) -> None:
    listed = get(url, "/v1/models").json()
    assert listed["object"] == "list"
    assert listed["data"][0]["id"] == "medground"
    assert listed["data"][0]["medground"] == {"llm": "scripted", "retriever": "none"}
    assert get(url, "/v1/models/medground").json() == listed["data"][0]
    assert get(url, "/v1/models/gpt-4").status_code == 404
    assert get(url, "/v1/models/%ED%A0%80").status_code == 404
    assert "There is no model 'gpt-4'; the only one is medground." in error(ask(url, model="gpt-4"))


def test_a_conversation_is_kept_listed_read_and_deleted(tmp_path: Path) -> None:
    chain = Scripted()
    with running(make_service(chain, tmp_path)) as (url, _):
        first = ask(url, "Does aspirin reduce stroke in women?", medground={"conversation": "new"}).json()
        id = first["medground"]["conversation"]
        second = chunks(ask(url, "And in men?", medground={"conversation": id}, stream=True))[-1]["medground"]
        assert second["conversation"] == id
        assert second["question"] == "Does aspirin reduce stroke in men?"
        listed = get(url, "/v1/conversations").json()["data"]
        assert [(one["id"], one["turns"], one["title"]) for one in listed] == [
            (id, 2, "Does aspirin reduce stroke in women?")
        ]
        turns = get(url, f"/v1/conversations/{id}").json()["turns"]
        assert [turn["message"] for turn in turns] == ["Does aspirin reduce stroke in women?", "And in men?"]
        assert turns[0]["text"] == "Yes."
        assert get(url, f"/v1/conversations/{id}", method="DELETE").json()["deleted"] is True
        assert get(url, f"/v1/conversations/{id}").status_code == 404
        assert get(url, f"/v1/conversations/{id}", method="DELETE").status_code == 404
        assert ask(url, medground={"conversation": id}).status_code == 404
        assert get(url, "/v1/conversations").json()["data"] == []


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_that_comes_to_nothing_is_not_kept(tmp_path: Path, stream: bool) -> None:
    chain = Scripted(answer=lambda _: UserError("The question is too long."))
    with running(make_service(chain, tmp_path)) as (url, _):
        assert "The question is too long." in ask(url, stream=stream, medground={"conversation": "new"}).text
        assert get(url, "/v1/conversations").json()["data"] == []


def test_no_call_reaches_another_users_conversation(tmp_path: Path) -> None:
    with running(make_service(Scripted(), tmp_path, TOKENS)) as (url, _):
        id = ask(url, token=BOB, medground={"conversation": "new"}).json()["medground"]["conversation"]
        before = get(url, f"/v1/conversations/{id}", BOB).json()
        assert get(url, "/v1/conversations", ANN).json()["data"] == []
        for stream in (False, True):
            response = ask(url, token=ANN, medground={"conversation": id}, stream=stream)
            assert response.status_code == 404
        for name in (id, f"{id}/bob", f"{id}%2Fbob", f"../{id}", f"{id}%00", "new", "%25"):
            for method in ("GET", "DELETE"):
                assert get(url, f"/v1/conversations/{name}", ANN, method).status_code == 404, name
        assert get(url, f"/v1/conversations/{id}", BOB).json() == before
        assert len(before["turns"]) == 1
        assert [one["turns"] for one in get(url, "/v1/conversations", BOB).json()["data"]] == [1]


@pytest.mark.parametrize("token", [None, "wrong", ANN[:-1], f"{ANN}x", ""])
def test_nothing_but_health_is_told_without_a_token(tmp_path: Path, token: str | None) -> None:
    with running(make_service(Scripted(), tmp_path, TOKENS)) as (url, _):
        for path in ("/v1/models", "/v1/models/medground", "/v1/conversations", "/v1/conversations/x", "/metrics"):
            response = get(url, path, token)
            assert response.status_code == 401
            assert response.headers["WWW-Authenticate"] == "Bearer"
            assert error(response) == "A valid bearer token is needed."
        assert get(url, "/v1/conversations/x", token, "DELETE").status_code == 401
        assert ask(url, token=token).status_code == 401
        assert [get(url, path).status_code for path in ("/healthz", "/readyz")] == [200, 200]
        assert get(url, "/metrics", ANN).status_code == 200


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"messages": []}, "messages: List should have at least 1 item"),
        ({}, "messages: Field required"),
        ({"messages": [{"role": "user", "content": " "}]}, "The message is empty"),
        ({"messages": [{"role": "user"}]}, "The message is empty"),
        ({"messages": [{"role": "assistant", "content": "Yes."}]}, "The last message must be the user's"),
        ({"messages": [{"role": "doctor", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": "x"}] * 201}, "The request has 201 messages; the limit is 200"),
        ({"messages": [{"role": "user", "content": "x"}], "n": 2}, "n: Input should be 1"),
        ({"messages": [{"role": "user", "content": "x"}], "tools": [{}]}, "tools"),
        ({"messages": [{"role": "user", "content": "x"}], "medground": {"conversatoin": "new"}}, "conversatoin"),
        ({"messages": [{"role": "user", "content": "Is it \ud800?"}]}, "half of a character"),
        ({"messages": [{"role": "user", "content": "x"}], "medground": {"\ud800": 1}}, "unicode string"),
        ({"messages": [{"role": "user", "content": "x"}], "medground": {"conversation": "\ud800"}}, "unicode string"),
        ([], "Input should be"),
        ("text", "Input should be"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_answered_is_told(url: str, body: Any, told: str, stream: bool) -> None:
    content = json.dumps({**body, "stream": stream} if isinstance(body, dict) else body)
    headers = {"Content-Type": "application/json"}
    response = get(url, "/v1/chat/completions", method="POST", content=content, headers=headers)
    assert told in response.text
    assert response.status_code == 400 or (stream and "half" in told)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"messages": NaN}', b"null"])
def test_malformed_json(url: str, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    response = get(url, "/v1/chat/completions", method="POST", content=content, headers=headers)
    assert response.status_code == 400
    error(response)


def test_only_json_is_read(url: str) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        response = get(url, "/v1/chat/completions", method="POST", content="{}", headers={"Content-Type": kind})
        assert response.status_code == 415


def test_a_full_service_says_when_to_come_back(tmp_path: Path) -> None:
    release = threading.Event()
    service = make_service(Scripted(release=release), tmp_path, batch=1, queue=2, wait_ms=0)
    with running(service) as (url, _), ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, url, f"Is it {n}?") for n in range(8)]
        until(lambda: sum(one.done() for one in asked) == 5)
        release.set()
        responses = [one.result() for one in asked]
        codes = sorted(response.status_code for response in responses)
        assert codes == [200] * 3 + [429] * 5
        refused = next(response for response in responses if response.status_code == 429)
        assert int(refused.headers["Retry-After"]) >= 1
        assert "too many requests are waiting" in error(refused)
        assert ask(url).status_code == 200
        assert 'medground_requests_total{path="/v1/chat/completions",status="429"} 5.0' in get(url, "/metrics").text


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_away_frees_its_slot(tmp_path: Path, stream: bool) -> None:
    release = threading.Event()
    chain = Scripted(release=release)
    service = make_service(chain, tmp_path, batch=1, queue=1, wait_ms=0)
    with running(service) as (url, _):
        body = {"messages": [{"role": "user", "content": "waits"}], "stream": stream}

        def leave() -> None:
            with httpx.Client(trust_env=False, timeout=0.15) as client, pytest.raises(httpx.TimeoutException):
                client.post(f"{url}/v1/chat/completions", json=body).read()

        first = threading.Thread(target=lambda: ask(url, "first"))
        first.start()
        until(lambda: bool(chain.batches))
        leave()
        until(lambda: service.admission.active == 1)  # while the first is still read
        release.set()
        first.join()
        assert ask(url, "last").status_code == 200
        assert chain.batches == [["first"], ["last"]]
        assert "medground_cancelled_total 1" in get(url, "/metrics").text


def test_a_request_has_its_time(tmp_path: Path) -> None:
    with running(make_service(Scripted(seconds=0.6), tmp_path, timeout=0.2)) as (url, _):
        response = ask(url)
        assert response.status_code == 504
        assert "took too long (serve.timeout)" in error(response)
        assert '"code": "timeout"' in ask(url, stream=True).text


def test_questions_of_many_clients_share_passes(tmp_path: Path) -> None:
    chain = Scripted(seconds=0.05)
    with running(make_service(chain, tmp_path, batch=8)) as (url, _), ThreadPoolExecutor(16) as pool:
        assert {response.status_code for response in pool.map(lambda n: ask(url, f"Is it {n}?"), range(32))} == {200}
        assert sum(map(len, chain.batches)) == 32
        assert len(chain.batches) <= 16
        metrics = get(url, "/metrics").text
        assert "medground_batch_size_sum 32.0" in metrics
        assert f"medground_batch_size_count {len(chain.batches)}" in metrics


def test_the_end_lets_what_was_taken_in_be_answered(tmp_path: Path) -> None:
    service = make_service(Scripted(seconds=0.3), tmp_path, batch=2, wait_ms=0)
    with ThreadPoolExecutor(6) as pool:
        with running(service, quiet=0.5) as (url, server):
            asked = [pool.submit(ask, url, f"Is it {n}?", medground={"conversation": "new"}) for n in range(6)]
            until(lambda: service.admission.active == 6)
            server.should_exit = True
        assert [response.result().status_code for response in asked] == [200] * 6
    assert not any(worker.is_alive() for worker in service.passes._workers)
    kept = (
        sqlite3.connect(tmp_path / "chat.sqlite3").execute("SELECT count(*) FROM turn GROUP BY conversation").fetchall()
    )
    assert kept == [(1,)] * 6


def test_the_end_does_not_wait_longer_than_its_grace(tmp_path: Path) -> None:
    service = make_service(Scripted(seconds=1.5), tmp_path, batch=1, wait_ms=0, grace=1)
    with ThreadPoolExecutor(4) as pool:
        with running(service, quiet=0.5) as (url, server):
            asked = [pool.submit(ask, url, f"Is it {n}?") for n in range(4)]
            until(lambda: service.admission.active == 4)
            server.should_exit = True
        ended = [one.exception() or one.result().status_code for one in asked]
    assert not service.admission.active
    assert all(one in (200, 500, 503) or isinstance(one, httpx.HTTPError) for one in ended)


def test_failures_are_told_without_their_text_and_logged_without_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(question) -> Answer | UserError:
        if "server" in question.text:
            raise ServerError("No server can be reached.")
        raise RuntimeError(f"secret: {question.text}")

    with caplog.at_level(logging.INFO), running(make_service(Scripted(answer=answer), tmp_path)) as (url, _):
        response = ask(url, "Has Ms Miller cancer?")
        assert response.status_code == 500
        assert error(response) == "The service failed; its log has the details."
        assert "its log has the details" in ask(url, "Has Ms Miller cancer?", stream=True).text
        elsewhere = ask(url, "Is a server there?")
        assert (elsewhere.status_code, error(elsewhere)) == (502, "No server can be reached.")
    assert "RuntimeError" in caplog.text
    assert "in answer" in caplog.text
    assert "Miller" not in caplog.text


@pytest.mark.parametrize("log_text", [False, True])
def test_the_log_has_texts_only_if_asked(tmp_path: Path, caplog: pytest.LogCaptureFixture, log_text: bool) -> None:
    with caplog.at_level(logging.INFO), running(make_service(Scripted(), tmp_path, log_text=log_text)) as (url, _):
        ask(url, "Has Ms Miller cancer?", token="t" * 30)
        ask(url, "Has Ms Miller cancer?", stream=True)
    assert "POST /v1/chat/completions 200" in caplog.text
    assert caplog.text.count("Miller") == (4 if log_text else 0)
    assert "ttt" not in caplog.text


def test_verdict_and_note_are_footnotes_too(tmp_path: Path) -> None:
    service = make_service(
        Scripted(answer=lambda question: yes(question).model_copy(update={"verdict": "supported"})), tmp_path
    )
    service.note = "A small model answered."
    with running(service) as (url, _):
        told = ask(url).json()
    text = told["choices"][0]["message"]["content"]
    assert text.endswith("”\nVerdict: supported.\nNote: A small model answered.")
    assert told["medground"]["verdict"] == "supported"
    assert told["medground"]["notes"] == ["A small model answered."]


def test_a_stream_says_that_it_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies close connections on which nothing is sent, and buffer streams."""
    openai = pytest.importorskip("openai")
    monkeypatch.setattr("medground.service.app._HEARTBEAT", 0.05)
    with running(make_service(Scripted(seconds=0.4), tmp_path)) as (url, _):
        response = ask(url, stream=True)
        assert response.headers["X-Accel-Buffering"] == "no"
        assert response.text.count(": waiting\n\n") >= 3
        assert response.text.index(": waiting") < response.text.index("Yes.")
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
        asked = {"model": "medground", "messages": [{"role": "user", "content": "Does it help?"}]}
        pieces = [one.choices[0].delta.content or "" for one in client.chat.completions.create(**asked, stream=True)]
        assert "".join(pieces).startswith("Yes.")


def test_fields_that_other_servers_fail_on_are_accepted(url: str) -> None:
    message = {"role": "user", "content": "Does it help?", "id": 1947269257, "opts": {"visible": False}}
    for more in (
        {"stream": None, "stop": None, "n": None, "max_tokens": None, "tools": None, "medground": None},
        {"tool_choice": None, "tools": []},
        {"max_tokens": None, "temperature": 0},
        {"messages": [message], "stream_options": {"include_usage": True}, "min_p": 0.1},
    ):
        assert ask(url, **more).status_code == 200, more
