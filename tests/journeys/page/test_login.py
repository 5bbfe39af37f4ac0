"""Login with a token on the chat page: the browser stores no token, and users see only their own conversations."""

from collections.abc import Iterator
from typing import Any

import pytest
from chat_page import (
    OTHER_QUESTION,
    OTHER_TOKEN,
    QUESTION,
    TOKEN,
    ask,
    assert_accessible,
    open_page,
    wait_for,
    wait_for_answers,
    wait_for_status,
    wait_until_ready,
)
from served_process import serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def login_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a service with two users, ann and bob."""
    folder = tmp_path_factory.mktemp("login")
    tokens = folder / "tokens.yaml"
    tokens.write_text(f'ann: "{TOKEN}"\nbob: "{OTHER_TOKEN}"\n')
    tokens.chmod(0o600)
    with serving(folder, "--set", "serve.tokens_file=tokens.yaml") as (url, _):
        yield url


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (360, "dark")])
def test_login_and_logout_keep_users_and_tokens_apart(browser: Any, login_url: str, width: int, theme: str) -> None:
    with open_page(browser, login_url, width=width, theme=theme, ignored_errors=("401", "404")) as page:
        wait_for(page, "document.activeElement?.id === 'token'")
        assert_accessible(page)
        page.keyboard.type("wrong" * 5)
        page.keyboard.press("Enter")
        page.wait_for_selector("text=This token is not valid.")
        assert_accessible(page)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        page.keyboard.type(TOKEN)
        page.keyboard.press("Enter")
        wait_until_ready(page)
        assert page.inner_text("#user") == "ann"
        ask(page, QUESTION)
        page.keyboard.type("A draft")
        page.reload()
        wait_for_answers(page, 1)
        assert page.input_value("#question") == "A draft"
        stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, location.href])")
        assert TOKEN not in stored
        assert page.evaluate("document.cookie") == ""
        conversation_id = page.url.partition("#")[2]

        for name in ("rename", "delete"):  # the dialogs show the conversation's title
            page.click(f"#{name}")
            page.keyboard.press("Escape")
        page.click("#log-out")
        wait_for(page, "document.activeElement?.id === 'token'")
        assert QUESTION not in page.evaluate("document.body.textContent")
        assert page.input_value("#new-title") == ""
        assert "A draft" not in page.evaluate("JSON.stringify({...sessionStorage})")
        page.reload()
        wait_for(page, "document.activeElement?.id === 'token'")
        page.keyboard.type(OTHER_TOKEN)
        page.keyboard.press("Enter")
        wait_until_ready(page)
        assert page.inner_text("#user") == "bob"
        assert page.locator(".conversation").count() == 0
        page.goto(f"{login_url}/#{conversation_id}")
        wait_for_status(page, "There is no conversation")


def test_question_sent_after_the_session_ended_can_be_asked_again_after_login(browser: Any, login_url: str) -> None:
    with open_page(browser, login_url, ignored_errors=("401",)) as page:
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        wait_until_ready(page)
        page.context.clear_cookies()  # ends the session
        page.fill("#question", OTHER_QUESTION)
        page.keyboard.press("Enter")
        page.wait_for_selector("#token")
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_selector("text=Ask again")
        page.click("text=Ask again")
        wait_for_answers(page, 1)
        assert page.inner_text(".question") == OTHER_QUESTION
