"""Login on the page: the cookie, its misuse, and the limit on attempts."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from itsdangerous import TimestampSigner, URLSafeTimedSerializer
from served import HTTP, Scripted, make_service, running

from medground.service.sessions import Attempts, Sessions

ANN, BOB = "ann-" * 5, "bob-" * 5
TOKENS = {"ann": ANN, "bob": BOB}


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with running(make_service(Scripted(), tmp_path, TOKENS)) as (address, _):
        yield address


@pytest.fixture
def browser(url: str) -> Iterator[httpx.Client]:
    """A client that keeps cookies and names its origin, as a browser does."""
    with httpx.Client(base_url=url, trust_env=False, headers={"Origin": url, "Sec-Fetch-Site": "same-origin"}) as one:
        yield one


def login(browser: httpx.Client, token: str = ANN) -> httpx.Response:
    return browser.post("/v1/session", json={"token": token})


def test_a_session_begins_and_ends(browser: httpx.Client) -> None:
    assert browser.get("/v1/session").status_code == 401
    response = login(browser)
    assert (response.status_code, response.content) == (204, b"")
    attributes = response.headers["Set-Cookie"].partition("; ")[2].split("; ")
    assert set(attributes) == {"HttpOnly", "Max-Age=43200", "Path=/", "SameSite=Strict"}
    told = browser.get("/v1/session").json()
    assert told == {"user": "ann", "login": True, "note": None, "about": {"llm": "scripted", "retriever": "none"}}
    body = {"messages": [{"role": "user", "content": "Does it help?"}], "medground": {"conversation": "new"}}
    id = browser.post("/v1/chat/completions", json=body).json()["medground"]["conversation"]
    assert browser.patch(f"/v1/conversations/{id}", json={"title": "New"}).json()["title"] == "New"
    stolen = {"Cookie": f"medground={browser.cookies['medground']}"}
    assert HTTP.get(browser.base_url.join("/v1/models"), headers=stolen).status_code == 200
    ended = browser.delete("/v1/session")
    assert ended.status_code == 204
    assert "Max-Age=0" in ended.headers["Set-Cookie"]
    assert browser.get("/v1/session").status_code == 401
    assert HTTP.get(browser.base_url.join("/v1/models"), headers=stolen).status_code == 401


def test_the_token_is_not_in_the_cookie(browser: httpx.Client) -> None:
    assert ANN not in login(browser).headers["Set-Cookie"]


def test_without_tokens_there_is_no_login(tmp_path: Path) -> None:
    with running(make_service(Scripted(), tmp_path)) as (url, _):
        told = HTTP.get(f"{url}/v1/session").json()
        assert (told["user"], told["login"]) == ("local", False)
        answer = HTTP.post(f"{url}/v1/session", json={"token": "x"})
        assert (answer.status_code, "Set-Cookie" in answer.headers) == (400, False)
        assert HTTP.delete(f"{url}/v1/session").status_code == 204


@pytest.mark.parametrize("token", ["", "wrong", ANN[:-1], ANN + "x", "\u00e4" * 20, f" {ANN}", "x" * 4096])
def test_a_wrong_token_is_refused(browser: httpx.Client, token: str) -> None:
    response = login(browser, token)
    assert (response.status_code, response.json()["error"]["message"]) == (401, "The token is unknown.")
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize(
    "body", [{}, {"token": None}, {"token": 1}, {"token": "x" * 5000}, {"token": ANN, "user": "bob"}]
)
def test_other_bodies_are_no_login(browser: httpx.Client, body: dict[str, object]) -> None:
    assert browser.post("/v1/session", json=body).status_code == 400
    assert browser.post("/v1/session", data={"token": ANN}).status_code == 415
    assert browser.post(f"/v1/session?token={ANN}").status_code == 415


def test_attempts_are_limited_for_an_address_and_not_for_valid_tokens_elsewhere(browser: httpx.Client) -> None:
    for _ in range(10):
        assert login(browser, "wrong").status_code == 401
    refused = login(browser)  # even the right token has to wait
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 300
    forwarded = {"X-Forwarded-For": "1.2.3.4"}
    assert browser.post("/v1/session", json={"token": ANN}, headers=forwarded).status_code == 429
    other = HTTP.get(browser.base_url.join("/v1/models"), headers={"Authorization": f"Bearer {ANN}"})
    assert other.status_code == 200


def test_attempts_expire_and_the_table_is_bounded() -> None:
    attempts = Attempts(most=2, seconds=0.2, addresses=3)
    for address in ("10.0.0.1", "10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"):
        attempts.record_failure(address)
    assert attempts.wait_seconds("10.0.0.1") == 1
    assert attempts.wait_seconds("10.0.0.2") == 0
    assert attempts.wait_seconds("2001:db8::ffff") == 1  # one network
    assert attempts.wait_seconds("2001:db8:0:1::1") == 0
    attempts.record_failure("10.0.0.3")
    assert attempts.wait_seconds("10.0.0.1") == 0  # forgotten
    time.sleep(0.25)
    assert attempts.wait_seconds("2001:db8::1") == 0


def test_forged_cut_and_unsigned_cookies_are_refused(url: str, browser: httpx.Client) -> None:
    login(browser)
    cookie = browser.cookies["medground"]
    payload, stamp, signature = cookie.rsplit(".", 2)
    other = Sessions(12, secure=False).issue("ann").partition("=")[2].partition(";")[0]
    for value in (
        "", cookie[:-1], cookie[1:], cookie + "x", payload, f"{payload}.{stamp}", f"{payload}.{stamp}.", "ann",
        f"{other.rsplit('.', 2)[0]}.{stamp}.{signature}", other, f"{payload}.{stamp}.{signature[::-1]}",
        URLSafeTimedSerializer("", salt="session").dumps(["ann", "x"]), "..", "é", "a" * 3000,
    ):  # fmt: skip
        headers = {"Cookie": f"medground={value}".encode("latin-1")}
        assert HTTP.get(f"{url}/v1/session", headers=headers).status_code == 401, value
    headers = {"Cookie": f"__Host-medground={cookie}"}
    assert HTTP.get(f"{url}/v1/session", headers=headers).status_code == 401


def test_an_old_cookie_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = make_service(Scripted(), tmp_path, TOKENS, session_hours=1)
    with running(service) as (url, _), httpx.Client(base_url=url, trust_env=False) as client:
        cookie = {"Cookie": login(client).headers["Set-Cookie"].partition(";")[0]}
        assert HTTP.get(f"{url}/v1/session", headers=cookie).status_code == 200
        monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _: int(time.time()) + 3598)
        assert HTTP.get(f"{url}/v1/session", headers=cookie).status_code == 200
        monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _: int(time.time()) + 3602)
        assert HTTP.get(f"{url}/v1/session", headers=cookie).status_code == 401


def test_a_cookie_is_its_user_s(url: str) -> None:
    for token, user in ((ANN, "ann"), (BOB, "bob")):
        with httpx.Client(base_url=url, trust_env=False) as client:
            login(client, token)
            assert client.get("/v1/session").json()["user"] == user
            # A header that is there decides, so that a wrong token is never covered up by a cookie.
            assert client.get("/v1/session", headers={"Authorization": f"Bearer {BOB}"}).json()["user"] == "bob"
            assert client.get("/v1/session", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_a_cookie_changes_nothing_without_an_origin(url: str, browser: httpx.Client) -> None:
    login(browser)
    cookie = {"Cookie": f"medground={browser.cookies['medground']}"}
    body = {"messages": [{"role": "user", "content": "Does it help?"}]}
    for headers, status in (
        (cookie, 403),
        ({**cookie, "Origin": "null"}, 403),
        ({**cookie, "Origin": "http://localhost:1"}, 403),
        ({**cookie, "Origin": url, "Sec-Fetch-Site": "same-site"}, 403),
        ({**cookie, "Origin": url}, 200),
        ({"Authorization": f"Bearer {ANN}"}, 200),
    ):
        answer = HTTP.post(f"{url}/v1/chat/completions", json=body, headers=headers)
        assert answer.status_code == status, headers


def test_behind_tls_the_cookie_is_secure_and_the_proxy_names_the_client(tmp_path: Path) -> None:
    with running(make_service(Scripted(), tmp_path, TOKENS, tls=True)) as (url, _):
        headers = {"Host": "med.example", "Origin": "https://med.example", "X-Forwarded-Proto": "https"}
        for number in range(10):
            forwarded = {**headers, "X-Forwarded-For": "1.2.3.4"}
            answer = HTTP.post(f"{url}/v1/session", json={"token": "wrong"}, headers=forwarded)
            assert answer.status_code == 401, number
        answer = HTTP.post(f"{url}/v1/session", json={"token": ANN}, headers=forwarded)
        assert answer.status_code == 429
        forwarded = {**headers, "X-Forwarded-For": "5.6.7.8"}
        answer = HTTP.post(f"{url}/v1/session", json={"token": ANN}, headers=forwarded)
        assert answer.status_code == 204
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith("__Host-medground=")
        assert cookie.endswith("; Secure")
        sent = {"Host": "med.example", "Cookie": cookie.partition(";")[0]}
        assert HTTP.get(f"{url}/v1/session", headers=sent).json()["user"] == "ann"


def test_a_user_s_name_may_have_any_characters() -> None:
    sessions = Sessions(1, secure=False)
    for user in ("Änne; Müller", 'a"b', "x" * 200, "日本", "a\\b,c"):
        value = sessions.issue(user).partition("=")[2].partition(";")[0]
        assert sessions.user(value) == user
        sessions.revoke(value)
        assert sessions.user(value) is None
