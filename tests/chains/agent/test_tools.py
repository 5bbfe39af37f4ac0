from typing import Any

from word_nli import WordNLI
from word_retriever import WordRetriever

from chains.agent.tools import PREVIEW_CHARACTERS, Findings, make_tools
from chains.config import CheckConfig
from chains.verification.statements import make_checker

LONG = "Aspirin works. " + "It was given for long. " * 40 + "The end."
TEXTS = {"a": LONG, "two\nlines": "Zinc fails.", "never": "The ward list: Ann."}


def tools(findings: Findings, judge: WordNLI | None = None, passages: int = 1) -> dict[str, Any]:
    retriever = WordRetriever(texts=TEXTS)
    checker = None if judge is None else make_checker(retriever, judge, CheckConfig(passages=1))
    made = make_tools(retriever, findings, checker, passages=passages, clean=lambda text: text.replace("x", " "))
    return {tool.name: tool for tool in made}


def test_a_search_shows_beginnings_and_is_remembered() -> None:
    findings = Findings()
    shown = tools(findings)["search_literature"].invoke({"query": "aspirin works"})
    assert "[1] id a: Aspirin works." in shown
    assert "The end." not in shown
    assert len(shown) < PREVIEW_CHARACTERS + 100
    assert findings.queries == ["aspirin works"]
    assert list(findings.passages) == ["a"]


def test_an_abstract_is_read_whole_after_it_was_found_and_not_before() -> None:
    findings = Findings()
    made = tools(findings)
    assert "Search first" in made["read_abstract"].invoke({"id": "a"})
    made["search_literature"].invoke({"query": "aspirin works"})
    assert "The end." in made["read_abstract"].invoke({"id": "a"})
    assert "Ann" not in made["read_abstract"].invoke({"id": "never"})


def test_a_statement_is_checked_against_one_abstract() -> None:
    findings = Findings()
    made = tools(findings, WordNLI())
    statement = "Is it so of aspirin? The answer is yes."
    assert "Search first" in made["check_statement"].invoke({"statement": statement, "id": "a"})
    made["search_literature"].invoke({"query": "aspirin works"})
    checked = made["check_statement"].invoke({"statement": statement, "id": "a"})
    assert checked.startswith("Supported by 1 passage.\n")
    assert "[1] for: Aspirin works. (id a)" in checked
    assert "empty" in made["check_statement"].invoke({"statement": " ", "id": "a"})
    assert "check_statement" not in tools(findings)


def test_a_statement_is_checked_against_the_literature() -> None:
    findings = Findings()
    checked = tools(findings, WordNLI())["check_statement"].invoke(
        {"statement": "What fails is zinc ? The answer is yes."}
    )
    assert checked.startswith("Contradicted by 1 passage.\n")
    assert "[1] against: Zinc fails. (id two lines)" in checked
    assert findings.queries == ["What fails is zinc ? The answer is yes."]
    assert list(findings.passages) == ["two\nlines"]


def test_an_id_of_several_lines_is_shown_in_one_and_found_by_it() -> None:
    findings = Findings()
    made = tools(findings)
    assert "id two lines: Zinc fails." in made["search_literature"].invoke({"query": "zinc fails"})
    assert "Zinc fails." in made["read_abstract"].invoke({"id": "two lines"})


def test_an_empty_query_and_an_empty_corpus_are_told() -> None:
    findings = Findings()
    assert "empty" in tools(findings)["search_literature"].invoke({"query": "  "})
    [search, *_] = make_tools(WordRetriever(texts={}), findings, None, passages=1)
    assert search.invoke({"query": "aspirin"}) == "Nothing was found."
    assert findings.passages == {}
