"""The chat page's button Copy."""

from pathlib import Path

import pytest
from chromium import chromium, visit
from served import ScriptedChain, make_service, running

from chains.answer import Answer, Passage
from chains.qa.base import Question
from medground.service.static import add_page

pytestmark = pytest.mark.slow

NOTES = (
    "weak evidence: the best passage scores 0.31 out of 1 for relevance to the question",
    "Retracted: trial.pdf\n(2019)",
)


def answer_with_notes(question: Question) -> Answer:
    return Answer(
        question=question.text,
        text="Zinc shortened colds.",
        passages=(Passage(id="trial.pdf", text="Zinc shortened colds."),),
        notes=NOTES if "zinc" in question.text else (),
    )


def test_copied_answer_includes_its_notes(tmp_path: Path) -> None:
    service = make_service(ScriptedChain(0.0, answer_with_notes), tmp_path)
    with running(service, add_page) as (url, _), chromium() as browser, visit(browser, url) as visited:
        page = visited.page
        copied = []
        for index, question in enumerate(("Has zinc shortened colds?", "Has tea shortened colds?")):
            page.fill("#question", question)
            page.keyboard.press("Enter")
            page.locator(".answer time").nth(index).wait_for()
            page.locator("text=Copy").nth(index).click()
            page.locator("#status", has_text="copied").wait_for(state="attached")
            copied.append(page.evaluate("navigator.clipboard.readText()"))
            page.reload()  # clears the status line for the next wait
        assert copied[0].splitlines() == [
            "Zinc shortened colds.",
            "",
            f"Note: {NOTES[0]}",
            "Note: Retracted: trial.pdf (2019)",
        ]
        assert copied[1] == "Zinc shortened colds."
