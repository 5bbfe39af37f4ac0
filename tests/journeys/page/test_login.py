"""Login with a token: what a browser keeps, and what another user sees."""

from collections.abc import Iterator
from typing import Any

import pytest
from chat_page import OTHER, OTHER_TOKEN, QUESTION, TOKEN, accessible, answers, ask, opened, ready, said, wait
from served_process import serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service with two users."""
    folder = tmp_path_factory.mktemp("login")
    tokens = folder / "tokens.yaml"
    tokens.write_text(f'ann: "{TOKEN}"\nbob: "{OTHER_TOKEN}"\n')
    tokens.chmod(0o600)
    with serving(folder, "--set", "serve.tokens_file=tokens.yaml") as (url, _):
        yield url


class TestLogin:
    @pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (360, "dark")])
    def test_log_in_ask_log_out(self, browser: Any, guarded: str, width: int, theme: str) -> None:
        with opened(browser, guarded, width=width, theme=theme) as shown:
            page = shown.page
            wait(page, "document.activeElement?.id === 'token'")
            accessible(page)
            page.keyboard.type("wrong" * 5)
            page.keyboard.press("Enter")
            page.wait_for_selector("text=This token is not valid.")
            accessible(page)
            assert page.evaluate("document.documentElement.scrollWidth") == width
            page.keyboard.type(TOKEN)
            page.keyboard.press("Enter")
            ready(page)
            assert page.inner_text("#user") == "ann"
            ask(page, QUESTION)
            page.keyboard.type("A draft")
            page.reload()
            answers(page, 1)
            assert page.input_value("#question") == "A draft"
            kept = page.evaluate(
                "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])"
            )
            assert TOKEN not in kept
            assert page.evaluate("document.cookie") == ""
            mine = page.url.partition("#")[2]

            page.click("#log-out")
            wait(page, "document.activeElement?.id === 'token'")
            assert QUESTION not in page.evaluate("document.body.textContent")
            assert "A draft" not in page.evaluate("JSON.stringify({...sessionStorage})")
            page.reload()
            wait(page, "document.activeElement?.id === 'token'")
            page.keyboard.type(OTHER_TOKEN)
            page.keyboard.press("Enter")
            ready(page)
            assert page.inner_text("#user") == "bob"
            assert page.locator(".conversation").count() == 0
            page.goto(f"{guarded}/#{mine}")
            said(page, "There is no conversation")
            shown.errors = [one for one in shown.errors if "401" not in one and "404" not in one]

    def test_a_session_that_ends_keeps_the_question(self, browser: Any, guarded: str) -> None:
        with opened(browser, guarded) as shown:
            page = shown.page
            page.fill("#token", TOKEN)
            page.keyboard.press("Enter")
            ready(page)
            page.context.clear_cookies()
            page.fill("#question", OTHER)
            page.keyboard.press("Enter")
            page.wait_for_selector("#token")
            page.fill("#token", TOKEN)
            page.keyboard.press("Enter")
            page.wait_for_selector("text=Ask again")
            page.click("text=Ask again")
            answers(page, 1)
            assert page.inner_text(".question") == OTHER
            shown.errors = [one for one in shown.errors if "401" not in one]
