"""``POST /v1/check``: a statement, or a list of them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from served import HTTP, FakeChecker, ScriptedChain, make_service, running, until

from medground.service.service import Service

TOO_LONG = "This is long."  # FakeChecker cannot check it


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("service")
    service = make_service(ScriptedChain(), folder, max_messages=3)  # also limits the statements of a check
    with running(service) as (address, _):
        yield address


def check(url: str, body: Any = None, **more: Any) -> httpx.Response:
    sent = {"statement": "Aspirin reduces stroke."} if body is None else body
    return HTTP.post(f"{url}/v1/check", json=sent, **more)


def test_check_of_a_statement_has_verdict_quotes_and_passages(url: str) -> None:
    response = check(url)
    assert response.status_code == 200
    checked = response.json()
    assert (checked["object"], checked["verdict"], checked["conflicting"]) == ("check", "supported", False)
    assert checked["text"] == "Supported by 1 passage."
    (quote,) = checked["supporting"]
    assert checked["passages"][0]["text"][quote["start"] : quote["end"]] == quote["quote"]
    assert checked["passages"][0]["metadata"]["year"] == 2004


def test_a_list_of_statements_returns_a_result_or_an_error_for_each(url: str) -> None:
    checked = check(url, {"statements": ["One is so.", TOO_LONG, " "]}).json()
    assert checked["object"] == "list"
    assert [one["statement"] for one in checked["data"]] == ["One is so.", TOO_LONG, " "]
    assert [one.get("verdict") for one in checked["data"]] == ["supported", None, None]
    assert checked["data"][1]["error"]["message"] == "The pair is too long."
    assert "empty" in checked["data"][2]["error"]["message"]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({}, "give statement or statements"),
        ({"statement": "a", "statements": ["b"]}, "give statement or statements"),
        ({"statement": " "}, "The statement is empty"),
        ({"statement": TOO_LONG}, "The pair is too long."),
        ({"statement": 3}, "statement: Input should be a valid string"),
        ({"statements": []}, "statements: List should have at least 1 item"),
        ({"statements": ["a"] * 4}, "4 statements; the limit is 3"),
        ({"statement": "a" * 20_001}, "at most 20000 characters"),
        ({"statement": "a", "context": "b"}, "Extra inputs are not permitted"),
    ],
)
def test_invalid_requests_get_400_and_the_common_error_body(url: str, body: Any, problem: str) -> None:
    response = check(url, body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert problem in error["message"]


def test_a_lone_surrogate_is_refused(url: str) -> None:
    headers = {"Content-Type": "application/json"}
    response = HTTP.post(f"{url}/v1/check", content=rb'{"statement": "a \ud800"}', headers=headers)
    assert response.status_code == 400


def test_the_route_is_in_the_openapi_schema(url: str) -> None:
    schema = HTTP.get(f"{url}/openapi.json").json()
    described = schema["paths"]["/v1/check"]["post"]
    assert described["description"].startswith("Check a statement")
    assert "CheckRequest" in schema["components"]["schemas"]


def test_without_a_judge_the_answer_is_501_with_the_reason(tmp_path: Path) -> None:
    service = make_service(ScriptedChain(), tmp_path)
    service.checker, service.checker_unavailable_reason = None, "Set nli.model."
    with running(service) as (url, _):
        response = check(url)
    assert (response.status_code, response.json()["error"]["message"]) == (501, "Set nli.model.")


def test_statements_of_concurrent_clients_are_batched(tmp_path: Path) -> None:
    checker = FakeChecker(seconds=0.2)
    with running(make_service(ScriptedChain(), tmp_path, checker=checker)) as (url, _), ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda n: check(url, {"statement": f"Statement {n}."}), range(8)))
    assert [one.json()["statement"] for one in responses] == [f"Statement {n}." for n in range(8)]
    assert len(checker.batches) < 8


def test_a_client_that_disconnects_frees_its_slot(tmp_path: Path) -> None:
    service: Service = make_service(ScriptedChain(), tmp_path, checker=FakeChecker(seconds=0.5))
    with running(service) as (url, _):
        with pytest.raises(httpx.ReadTimeout):
            check(url, timeout=0.1)
        until(lambda: service.admission.active == 0)
        assert "medground_cancelled_total 1.0" in service.metrics.text().decode()


def test_service_from_settings_checks_statements_unless_answers_are_quotes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medground.pipeline import Pipeline
    from medground.service.run import make_service as make_service_from_pipeline

    monkeypatch.chdir(tmp_path)
    Path("records.json").write_text('{"1": {"QUESTION": "Does it?", "CONTEXTS": ["Pressure fell with aspirin."]}}')
    overrides = {"data.path": "records.json", "retriever": "bm25"}
    with running(make_service_from_pipeline(Pipeline.from_settings(overrides, quiet=True))) as (url, _):
        assert check(url, {"statement": "Pressure fell with aspirin."}).json()["passages"][0]["id"] == "1"
    extractive = Pipeline.from_settings({**overrides, "llm.kind": "extractive"}, quiet=True)
    with running(make_service_from_pipeline(extractive)) as (url, _):
        response = check(url)
    assert response.status_code == 501
    assert "Set nli.kind to encoder" in response.json()["error"]["message"]
