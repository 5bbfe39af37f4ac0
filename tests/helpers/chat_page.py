"""The browser page, as tests drive it: over ``medground serve`` itself, and over scripted answers."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from chromium import Visit, visit
from served import Scripted, make_service, running

from chains.answer import Answer, Citation, Passage, Verification
from chains.chat import Turn
from chains.qa.base import Question
from medground.service.static import add_page

QUESTION = "Is itch score decreased by rotesartan in men with breast cancer?"
OTHER = "Does aspirin reduce stroke in women?"
TOKEN, OTHER_TOKEN = "ann-" * 8, "bob-" * 8
EVIL = "evil.example"


@contextmanager
def opened(browser: Any, url: str, **how: Any) -> Iterator[Visit]:
    """The page, which may log no error and ask nothing of others."""
    with visit(browser, url, **how) as shown:
        yield shown
        assert shown.errors == []
        assert shown.hosts() == {urlsplit(url).netloc}


@contextmanager
def scripted(folder: Path, answer: Callable[[Question], Answer], seconds: float = 0.0, **config: Any) -> Iterator[Any]:
    """The address of a service with scripted answers, and the service."""
    service = make_service(Scripted(seconds, answer), folder, **config)
    with running(service, add_page) as (url, _):
        yield url, service


TEXT = "\U0001f9ea Aspirin reduced stroke in women. Tea did not \U0001f375. We randomised 39,876 women."


def answer(question: Question, text: str = "yes", count: int = 3) -> Answer:
    """An answer with two quotes and the sentence that decided; the emoji show who counts code points."""
    first, second = ((TEXT.index(quote), quote) for quote in ("Aspirin reduced stroke in women.", "We randomised"))
    passages = [
        Passage(
            id=f"trial.pdf#{number}",
            text=TEXT,
            score=0.9 - number / 100,
            metadata={"source": "papers/trial.pdf", "page": number, "section": "Results", "title": "A trial"},
        )
        for number in range(1, count + 1)
    ]
    citations = [
        Citation(passage_id=f"trial.pdf#{number}", quote=quote, start=start, end=start + len(quote), score=0.9)
        for number, (start, quote) in ((2, first), (1, second))
    ]
    return Answer(
        question=question.text,
        text=text,
        label="yes" if text == "yes" else None,
        label_scores={"yes": 0.914, "no": 0.085, "maybe": 0.001},
        citations=tuple(citations),
        passages=tuple(passages),
        verdict="supported",
        verification=Verification(
            statement=f"{question.text} The answer is yes.",
            scores={"supported": 0.9, "contradicted": 0.04, "not enough evidence": 0.06},
            passage_id="trial.pdf#2",
            sentence=citations[0],
        ),
        notes=("The context was shortened.",),
    )


def turn(message: str) -> Turn:
    return Turn(message=message, question=message, text="Yes.")


def wait(page: Any, condition: str, arg: Any = None, seconds: float = 20) -> None:
    """Wait until a condition is true; playwright's own way of waiting needs ``eval``, which the page forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition, arg):
        assert time.monotonic() < end, condition
        time.sleep(0.05)


def ready(page: Any) -> None:
    """Wait until questions can be asked."""
    wait(page, "document.activeElement?.id === 'question'")


def answers(page: Any, count: int) -> None:
    """Wait until so many answers are complete."""
    wait(page, f"document.querySelectorAll('.answer time').length === {count}")


def ask(page: Any, question: str, count: int = 1) -> None:
    page.fill("#question", question)
    page.keyboard.press("Enter")
    answers(page, count)


def said(page: Any, text: str) -> None:
    """Wait for words in the status region."""
    wait(page, "text => document.getElementById('status').textContent.includes(text)", text)


def tab_to(page: Any, selector: str, key: str = "Tab") -> None:
    """Move the focus with the Tab key until an element has it; the focus must be seen there."""
    for _ in range(80):
        page.keyboard.press(key)
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"the focus on {selector} is not seen"
            return
    pytest.fail(f"{selector} is not reached with {key}")


def accessible(page: Any) -> None:
    """No fault that axe-core calls serious or critical."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page).response["violations"]
    serious = [
        (one["id"], [node["target"] for node in one["nodes"]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []


def conversations(url: str) -> list[dict[str, Any]]:
    return list(httpx.get(f"{url}/v1/conversations", trust_env=False).json()["data"])
