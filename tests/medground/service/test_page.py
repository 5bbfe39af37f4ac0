"""The page, over a scripted chain; in Chromium where there is one."""

import asyncio
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from served import Scripted, make_service, running, until, yes

from chains.answer import Answer, Passage
from chains.chat import Turn

pytest.importorskip("gradio")
from medground.service.evidence import NOTHING
from medground.service.page import _STOPPED, _Page, add_page

TOKEN = "t" * 20
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUESTION = "Does aspirin reduce stroke in women?"
in_chromium = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")]


def answer(question: Any) -> Any:
    return yes(question).model_copy(update={"verdict": "supported"})


@contextmanager
def browser(**how: Any) -> Iterator[tuple[Any, list[str]]]:
    """A page of a new browser, and every address that it asked for."""
    playwright = pytest.importorskip("playwright.sync_api")
    asked: list[str] = []
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = chromium.new_context(**how)
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.set_default_timeout(30_000)
        yield page, asked
        chromium.close()


def ready(page: Any, url: str) -> None:
    page.goto(url)
    page.wait_for_selector("textarea")
    page.wait_for_timeout(1000)


def test_the_page_and_the_api_are_one_service(tmp_path: Path) -> None:
    with running(make_service(Scripted(), tmp_path), add_page) as (url, _):
        page = httpx.get(url, trust_env=False)
        assert page.status_code == 200
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]
        config = httpx.get(f"{url}/config", trust_env=False).json()
        assert config["analytics_enabled"] is False
        assert "Model: scripted · Retriever: none" in str(config["components"])
        assert httpx.get(f"{url}/v1/models", trust_env=False).status_code == 200
        assert httpx.get(f"{url}/docs", trust_env=False).status_code == 404
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"


def test_with_tokens_the_page_wants_a_login(tmp_path: Path) -> None:
    service = make_service(Scripted(), tmp_path, {"ann": TOKEN})
    with running(service, add_page) as (url, _), httpx.Client(base_url=url, trust_env=False) as client:
        assert client.get("/gradio_api/info").status_code == 401
        for user, token in (("ann", "wrong"), ("bob", TOKEN), ("ann", "")):
            assert client.post("/login", data={"username": user, "password": token}).status_code in (400, 422)
        assert client.post("/login", data={"username": "ann", "password": TOKEN}).status_code == 200
        assert client.get("/gradio_api/info").status_code == 200


class Chosen:
    """A message of the chat that was chosen."""

    def __init__(self, index: int) -> None:
        self.index = index


class Request:
    """Of a page without a login."""

    username = None


def said(*answers: str) -> list[dict[str, Any]]:
    """Messages as Gradio gives them back."""
    pairs = [[("user", "Q"), ("assistant", answer)] for answer in answers]
    return [{"role": role, "content": [{"type": "text", "text": text}]} for pair in pairs for role, text in pair]


def test_the_evidence_of_a_chosen_answer_is_its_own_after_one_that_was_stopped(tmp_path: Path) -> None:
    service = make_service(Scripted(answer=answer), tmp_path)
    page = _Page(service)
    kept = service.chat.conversations
    id = kept.start("local")
    for number in range(2):
        passage = Passage(id=f"p{number}", text="It fell.")
        given = Answer(question="Q", text="Yes.", passages=(passage,))
        kept.append("local", id, Turn(message="Q", question="Q", text="Yes.", answer=given))
    shown = said("Yes.", _STOPPED, "⚠ The service is busy.", "Yes.")
    evidence = [page.select(id, shown, Chosen(index), Request()) for index in range(8)]
    assert ["p0" in one for one in evidence] == [True, True, *[False] * 6]
    assert ["p1" in one for one in evidence] == [*[False] * 6, True, True]
    assert page.select(id, shown, Chosen(9), Request()) == NOTHING
    kept.delete("local", id)
    assert page.select(id, shown, Chosen(0), Request()) == NOTHING
    service.stop()


def test_a_full_service_is_told_on_the_page(tmp_path: Path) -> None:
    service = make_service(Scripted(seconds=0.5), tmp_path, batch=1, queue=0)

    async def ask() -> list[Any]:
        held = service.ask("local", None, "Is it so?")
        shown = [one async for one in _Page(service).ask(QUESTION, None, [], Request())]
        await held.events.aclose()
        return shown

    last = asyncio.run(ask())[-1]
    assert last[2][-1]["content"].startswith("⚠ The service is busy")
    assert last[-1].interactive is False  # nothing is left to be stopped
    service.stop()


class TestInChromium:
    pytestmark = in_chromium

    def test_ask_open_a_citation_reload_and_find_it_again(self, tmp_path: Path) -> None:
        service = make_service(Scripted(seconds=0.2, answer=answer), tmp_path)
        with running(service, add_page) as (url, server), browser() as (page, asked):
            ready(page, url)
            page.keyboard.type(QUESTION)  # the box has the focus
            page.keyboard.press("Enter")
            page.wait_for_selector("mark")
            assert page.inner_text("mark") == "Aspirin reduced stroke."
            assert "supported" in page.inner_text(".mg-verdict")
            assert "[1] p1: “Aspirin reduced stroke.”" in page.inner_text(".mg-chat")
            page.focus("summary")
            page.keyboard.press("Enter")
            assert not page.is_visible("mark")
            page.fill("textarea", "And in men?")
            page.keyboard.press("Enter")
            page.wait_for_selector("text=read as: Does aspirin reduce stroke in men?")
            page.reload()
            page.wait_for_selector("input[type=radio]")
            page.check("input[type=radio]")
            page.wait_for_selector("mark")
            assert page.inner_text(".mg-chat").count("[1] p1") == 2
            page.click(f".mg-chat >> text={QUESTION}")
            page.wait_for_selector("text=read as", state="detached")
            assert {urlsplit(address).netloc for address in asked} == {urlsplit(url).netloc}
            page.click("text=Delete this conversation")
            page.wait_for_selector("input[type=radio]", state="detached")
            assert service.chat.conversations.list("local") == []
            started = time.monotonic()
            server.should_exit = True
            until(lambda: not service.passes._workers[0].is_alive(), 10)  # an open page does not hold the service up
            assert time.monotonic() - started < 10

    def test_an_answer_that_is_stopped_is_not_kept(self, tmp_path: Path) -> None:
        service = make_service(Scripted(seconds=1.5, answer=answer), tmp_path)
        with running(service, add_page) as (url, _), browser() as (page, _):
            ready(page, url)
            page.fill("textarea", QUESTION)
            page.keyboard.press("Enter")
            page.click("text=Stop")
            page.wait_for_selector("text=This question is not kept.")
            until(lambda: service.desk.active == 0, 5)
            assert service.chat.conversations.list("local") == []
            assert page.query_selector("mark") is None

    def test_dark_and_narrow(self, tmp_path: Path) -> None:
        with (
            running(make_service(Scripted(answer=answer), tmp_path), add_page) as (url, _),
            browser(viewport={"width": 360, "height": 740}, color_scheme="dark") as (page, _),
        ):
            ready(page, url)
            assert page.evaluate("document.body.classList.contains('dark')")
            page.fill("textarea", QUESTION)
            page.click("textarea")  # nothing lies over it
            page.keyboard.press("Enter")
            page.wait_for_selector("mark")
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
