"""Actions and checks on the chat page in a browser, and a service with scripted answers."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from chromium import visit
from served import ScriptedChain, make_service, running

from chains.answer import Answer, Citation, Passage, Verification
from chains.chat import Turn
from chains.qa.base import Question
from medground.service.static import add_page

QUESTION = "Is itch score decreased by rotesartan in men with breast cancer?"
OTHER_QUESTION = "Does aspirin reduce stroke in women?"
TOKEN, OTHER_TOKEN = "ann-" * 8, "bob-" * 8
EVIL_HOST = "evil.example"  # resolved to 127.0.0.1 by the browser


@contextmanager
def open_page(browser: Any, url: str, *, ignored_errors: Sequence[str] = (), **options: Any) -> Iterator[Any]:
    """Open the page and wait for it; yields playwright's ``Page``.

    Fails at the end if a request went to another host, or if an error in the console has none of ``ignored_errors``.
    """
    with visit(browser, url, **options) as visited:
        wait_for(visited.page, "['question', 'token'].includes(document.activeElement?.id)")
        yield visited.page
        assert [error for error in visited.errors if not any(part in error for part in ignored_errors)] == []
        assert visited.hosts() == {urlsplit(url).netloc}


@contextmanager
def scripted_service(
    folder: Path, answer: Callable[[Question], Answer], seconds: float = 0.0, **config: Any
) -> Iterator[Any]:
    """Run a service with the answers of ``answer``, each after ``seconds``; yields its URL and the service."""
    service = make_service(ScriptedChain(seconds, answer), folder, **config)
    with running(service, add_page) as (url, _):
        yield url, service


# Offsets count code points, but JavaScript counts UTF-16 units: an emoji is one code point and two UTF-16 units.
PASSAGE_TEXT = "\U0001f9ea Aspirin reduced stroke in women. Tea did not \U0001f375. We randomised 39,876 women."


def make_answer(question: Question, text: str = "yes", count: int = 3) -> Answer:
    """An answer with ``count`` passages, two quotes, and a verdict that rests on the first quote."""
    passages = [
        Passage(
            id=f"trial.pdf#{number}",
            text=PASSAGE_TEXT,
            score=0.9 - number / 100,
            metadata={"source": "papers/trial.pdf", "page": number, "section": "Results", "title": "A trial"},
        )
        for number in range(1, count + 1)
    ]
    deciding = make_quote("trial.pdf#2", "Aspirin reduced stroke in women.")
    return Answer(
        question=question.text,
        text=text,
        label="yes" if text == "yes" else None,
        label_scores={"yes": 0.914, "no": 0.085, "maybe": 0.001},
        citations=(deciding, make_quote("trial.pdf#1", "We randomised")),
        passages=tuple(passages),
        verdict="supported",
        verification=Verification(
            statement=f"{question.text} The answer is yes.",
            scores={"supported": 0.9, "contradicted": 0.04, "not enough evidence": 0.06},
            passage_id="trial.pdf#2",
            sentence=deciding,
        ),
        notes=("The context was shortened.",),
    )


def make_quote(passage_id: str, quote: str) -> Citation:
    start = PASSAGE_TEXT.index(quote)
    return Citation(passage_id=passage_id, quote=quote, start=start, end=start + len(quote), score=0.9)


def make_turn(message: str) -> Turn:
    return Turn(message=message, question=message, text="Yes.")


def wait_for(page: Any, condition: str, arg: Any = None, seconds: float = 20) -> None:
    """Wait until a JavaScript condition is true; playwright's ``wait_for_function`` uses ``eval``, which is blocked."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition, arg):
        assert time.monotonic() < end, condition
        time.sleep(0.05)


def wait_until_ready(page: Any) -> None:
    """Wait until the field for questions has the focus."""
    wait_for(page, "document.activeElement?.id === 'question'")


def wait_for_answers(page: Any, count: int) -> None:
    """Wait until ``count`` answers are complete."""
    wait_for(page, f"document.querySelectorAll('.answer time').length === {count}")


def ask(page: Any, question: str, count: int = 1) -> None:
    """Ask a question and wait until the conversation has ``count`` answers."""
    page.fill("#question", question)
    page.keyboard.press("Enter")
    wait_for_answers(page, count)


def wait_for_status(page: Any, text: str) -> None:
    """Wait until the status region contains ``text``."""
    wait_for(page, "text => document.getElementById('status').textContent.includes(text)", text)


def tab_to(page: Any, selector: str, key: str = "Tab") -> None:
    """Press ``key`` until the focus is on an element, which must have a visible outline."""
    for _ in range(80):  # more than the page has focusable elements
        page.keyboard.press(key)
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"the focus on {selector} is not visible"
            return
    pytest.fail(f"{selector} is not reached with {key}")


def assert_accessible(page: Any) -> None:
    """axe-core finds no serious or critical violation of accessibility rules."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    violations = [
        (violation["id"], [node["target"] for node in violation["nodes"]])
        for violation in axe.Axe().run(page).response["violations"]
        if violation["impact"] in ("serious", "critical")
    ]
    assert violations == []


def conversations(url: str) -> list[dict[str, Any]]:
    return list(httpx.get(f"{url}/v1/conversations", trust_env=False).json()["data"])
