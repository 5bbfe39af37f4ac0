"""Login and session cookies: their lifetime, forged cookies, and the limit on failed logins."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from itsdangerous import TimestampSigner, URLSafeTimedSerializer
from served import HTTP, ScriptedChain, make_service, running

from medground.service.sessions import LoginLimiter, Sessions

ANN_TOKEN, BOB_TOKEN = "ann-" * 5, "bob-" * 5
TOKENS = {"ann": ANN_TOKEN, "bob": BOB_TOKEN}


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with running(make_service(ScriptedChain(), tmp_path, TOKENS)) as (address, _):
        yield address


@pytest.fixture
def browser(url: str) -> Iterator[httpx.Client]:
    """A client that keeps cookies and names its origin, as a browser does."""
    headers = {"Origin": url, "Sec-Fetch-Site": "same-origin"}
    with httpx.Client(base_url=url, trust_env=False, headers=headers) as client:
        yield client


def login(browser: httpx.Client, token: str = ANN_TOKEN) -> httpx.Response:
    return browser.post("/v1/session", json={"token": token})


def test_cookie_authenticates_from_login_to_logout(browser: httpx.Client) -> None:
    assert browser.get("/v1/session").status_code == 401
    response = login(browser)
    assert (response.status_code, response.content) == (204, b"")
    assert ANN_TOKEN not in response.headers["Set-Cookie"]
    attributes = response.headers["Set-Cookie"].partition("; ")[2].split("; ")
    assert set(attributes) == {"HttpOnly", "Max-Age=43200", "Path=/", "SameSite=Strict"}
    session = browser.get("/v1/session").json()
    assert session == {"user": "ann", "login": True, "note": None, "about": {"llm": "scripted", "retriever": "none"}}
    body = {"messages": [{"role": "user", "content": "Does it help?"}], "medground": {"conversation": "new"}}
    id = browser.post("/v1/chat/completions", json=body).json()["medground"]["conversation"]
    assert browser.patch(f"/v1/conversations/{id}", json={"title": "New"}).json()["title"] == "New"
    copied_cookie = {"Cookie": f"medground={browser.cookies['medground']}"}
    assert HTTP.get(browser.base_url.join("/v1/models"), headers=copied_cookie).status_code == 200
    logout = browser.delete("/v1/session")
    assert logout.status_code == 204
    assert "Max-Age=0" in logout.headers["Set-Cookie"]
    assert browser.get("/v1/session").status_code == 401
    assert HTTP.get(browser.base_url.join("/v1/models"), headers=copied_cookie).status_code == 401


def test_login_without_configured_tokens_is_refused(tmp_path: Path) -> None:
    with running(make_service(ScriptedChain(), tmp_path)) as (url, _):
        session = HTTP.get(f"{url}/v1/session").json()
        assert (session["user"], session["login"]) == ("local", False)
        answer = HTTP.post(f"{url}/v1/session", json={"token": "x"})
        assert (answer.status_code, "Set-Cookie" in answer.headers) == (400, False)
        assert HTTP.delete(f"{url}/v1/session").status_code == 204


@pytest.mark.parametrize(
    "token", ["", "wrong", ANN_TOKEN[:-1], ANN_TOKEN + "x", "\u00e4" * 20, f" {ANN_TOKEN}", "x" * 4096]
)
def test_unknown_token_gets_401_and_no_cookie(browser: httpx.Client, token: str) -> None:
    response = login(browser, token)
    assert (response.status_code, response.json()["error"]["message"]) == (401, "The token is unknown.")
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize(
    "body", [{}, {"token": None}, {"token": 1}, {"token": "x" * 5000}, {"token": ANN_TOKEN, "user": "bob"}]
)
def test_invalid_login_requests_are_refused(browser: httpx.Client, body: dict[str, object]) -> None:
    assert browser.post("/v1/session", json=body).status_code == 400
    assert browser.post("/v1/session", data={"token": ANN_TOKEN}).status_code == 415
    assert browser.post(f"/v1/session?token={ANN_TOKEN}").status_code == 415


def test_login_is_refused_after_ten_failures_but_bearer_tokens_are_not(browser: httpx.Client) -> None:
    for _ in range(10):
        assert login(browser, "wrong").status_code == 401
    refused = login(browser)  # with the right token
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 300
    forwarded = {"X-Forwarded-For": "1.2.3.4"}  # does not count as another address without serve.tls
    assert browser.post("/v1/session", json={"token": ANN_TOKEN}, headers=forwarded).status_code == 429
    bearer = HTTP.get(browser.base_url.join("/v1/models"), headers={"Authorization": f"Bearer {ANN_TOKEN}"})
    assert bearer.status_code == 200


def test_failed_logins_expire_and_the_number_of_stored_addresses_is_bounded() -> None:
    limiter = LoginLimiter(max_failures=2, seconds=0.2, max_addresses=3)
    for address in ("10.0.0.1", "10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"):
        limiter.record_failure(address)
    assert limiter.wait_seconds("10.0.0.1") == 1
    assert limiter.wait_seconds("10.0.0.2") == 0
    assert limiter.wait_seconds("2001:db8::ffff") == 1  # in the same /64 network as the two failures
    assert limiter.wait_seconds("2001:db8:0:1::1") == 0
    limiter.record_failure("10.0.0.3")  # the fourth address replaces 10.0.0.1
    assert limiter.wait_seconds("10.0.0.1") == 0
    time.sleep(0.25)
    assert limiter.wait_seconds("2001:db8::1") == 0


def test_failed_logins_of_ipv4_addresses_written_as_ipv6_are_counted_separately() -> None:
    limiter = LoginLimiter(max_failures=1)
    limiter.record_failure("::ffff:10.0.0.1")
    assert limiter.wait_seconds("::ffff:10.0.0.1") > 0
    assert limiter.wait_seconds("::ffff:10.0.0.2") == 0


def test_forged_truncated_and_unsigned_cookies_are_refused(url: str, browser: httpx.Client) -> None:
    login(browser)
    cookie = browser.cookies["medground"]
    payload, timestamp, signature = cookie.rsplit(".", 2)
    other_key = Sessions(12, secure=False).issue("ann").partition("=")[2].partition(";")[0]
    for value in (
        "", cookie[:-1], cookie[1:], cookie + "x", payload, f"{payload}.{timestamp}", f"{payload}.{timestamp}.", "ann",
        f"{other_key.rsplit('.', 2)[0]}.{timestamp}.{signature}", other_key,
        f"{payload}.{timestamp}.{signature[::-1]}",
        URLSafeTimedSerializer("", salt="session").dumps(["ann", "x"]), "..", "é", "a" * 3000,
    ):  # fmt: skip
        headers = {"Cookie": f"medground={value}".encode("latin-1")}
        assert HTTP.get(f"{url}/v1/session", headers=headers).status_code == 401, value
    headers = {"Cookie": f"__Host-medground={cookie}"}
    assert HTTP.get(f"{url}/v1/session", headers=headers).status_code == 401


def test_cookie_expires_after_session_hours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = make_service(ScriptedChain(), tmp_path, TOKENS, session_hours=1)
    with running(service) as (url, _), httpx.Client(base_url=url, trust_env=False) as client:
        cookie = {"Cookie": login(client).headers["Set-Cookie"].partition(";")[0]}
        assert HTTP.get(f"{url}/v1/session", headers=cookie).status_code == 200
        monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _: int(time.time()) + 3598)
        assert HTTP.get(f"{url}/v1/session", headers=cookie).status_code == 200
        monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _: int(time.time()) + 3602)
        assert HTTP.get(f"{url}/v1/session", headers=cookie).status_code == 401


def test_cookie_identifies_its_user_and_a_bearer_token_takes_precedence(url: str) -> None:
    for token, user in ((ANN_TOKEN, "ann"), (BOB_TOKEN, "bob")):
        with httpx.Client(base_url=url, trust_env=False) as client:
            login(client, token)
            assert client.get("/v1/session").json()["user"] == user
            assert client.get("/v1/session", headers={"Authorization": f"Bearer {BOB_TOKEN}"}).json()["user"] == "bob"
            assert client.get("/v1/session", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_post_with_a_cookie_needs_the_service_s_origin(url: str, browser: httpx.Client) -> None:
    login(browser)
    cookie = {"Cookie": f"medground={browser.cookies['medground']}"}
    body = {"messages": [{"role": "user", "content": "Does it help?"}]}
    for headers, status in (
        (cookie, 403),
        ({**cookie, "Origin": "null"}, 403),
        ({**cookie, "Origin": "http://localhost:1"}, 403),
        ({**cookie, "Origin": url, "Sec-Fetch-Site": "same-site"}, 403),
        ({**cookie, "Origin": url}, 200),
        ({"Authorization": f"Bearer {ANN_TOKEN}"}, 200),
    ):
        answer = HTTP.post(f"{url}/v1/chat/completions", json=body, headers=headers)
        assert answer.status_code == status, headers


def test_tls_setting_makes_the_cookie_secure_and_trusts_x_forwarded_for(tmp_path: Path) -> None:
    with running(make_service(ScriptedChain(), tmp_path, TOKENS, tls=True)) as (url, _):
        headers = {"Host": "med.example", "Origin": "https://med.example", "X-Forwarded-Proto": "https"}
        first_client = {**headers, "X-Forwarded-For": "1.2.3.4"}
        for number in range(10):
            response = HTTP.post(f"{url}/v1/session", json={"token": "wrong"}, headers=first_client)
            assert response.status_code == 401, number
        response = HTTP.post(f"{url}/v1/session", json={"token": ANN_TOKEN}, headers=first_client)
        assert response.status_code == 429
        second_client = {**headers, "X-Forwarded-For": "5.6.7.8"}
        response = HTTP.post(f"{url}/v1/session", json={"token": ANN_TOKEN}, headers=second_client)
        assert response.status_code == 204
        cookie = response.headers["Set-Cookie"]
        assert cookie.startswith("__Host-medground=")
        assert cookie.endswith("; Secure")
        sent = {"Host": "med.example", "Cookie": cookie.partition(";")[0]}
        assert HTTP.get(f"{url}/v1/session", headers=sent).json()["user"] == "ann"


def test_user_names_with_special_characters_are_read_back_from_the_cookie() -> None:
    sessions = Sessions(1, secure=False)
    for user in ("Änne; Müller", 'a"b', "x" * 200, "日本", "a\\b,c"):
        value = sessions.issue(user).partition("=")[2].partition(";")[0]
        assert sessions.user(value) == user
        sessions.revoke(value)
        assert sessions.user(value) is None
