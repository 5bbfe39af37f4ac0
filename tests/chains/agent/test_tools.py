from typing import Any

from word_nli import WordNLI
from word_retriever import WordRetriever

from chains.agent.tools import PREVIEW_CHARACTERS, Findings, make_tools
from chains.config import CheckConfig
from chains.verification.statements import make_checker

LONG_TEXT = "Aspirin works. " + "It was given for long. " * 40 + "The end."
TEXTS = {"a": LONG_TEXT, "two\nlines": "Zinc fails.", "never": "The ward list: Ann."}


def tools_by_name(findings: Findings, judge: WordNLI | None = None, passages: int = 1) -> dict[str, Any]:
    retriever = WordRetriever(texts=TEXTS)
    checker = None if judge is None else make_checker(retriever, judge, CheckConfig(passages=1))
    tools = make_tools(retriever, findings, checker, passages=passages, clean=lambda text: text.replace("x", " "))
    return {tool.name: tool for tool in tools}


def test_search_shows_beginnings_of_passages_and_records_findings() -> None:
    findings = Findings()
    shown = tools_by_name(findings)["search_literature"].invoke({"query": "aspirin works"})
    assert "[1] id a: Aspirin works." in shown
    assert "The end." not in shown
    assert len(shown) < PREVIEW_CHARACTERS + 100
    assert findings.queries == ["aspirin works"]
    assert list(findings.passages) == ["a"]


def test_abstract_can_be_read_only_after_a_search_has_found_it() -> None:
    findings = Findings()
    tools = tools_by_name(findings)
    assert "Search first" in tools["read_abstract"].invoke({"id": "a"})
    tools["search_literature"].invoke({"query": "aspirin works"})
    assert "The end." in tools["read_abstract"].invoke({"id": "a"})
    assert "Ann" not in tools["read_abstract"].invoke({"id": "never"})


def test_statement_is_checked_against_one_abstract() -> None:
    findings = Findings()
    tools = tools_by_name(findings, WordNLI())
    statement = "Is it so of aspirin? The answer is yes."
    assert "Search first" in tools["check_statement"].invoke({"statement": statement, "id": "a"})
    tools["search_literature"].invoke({"query": "aspirin works"})
    output = tools["check_statement"].invoke({"statement": statement, "id": "a"})
    assert output.startswith("Supported by 1 passage.\n")
    assert "[1] for: Aspirin works. (id a)" in output
    assert "empty" in tools["check_statement"].invoke({"statement": " ", "id": "a"})
    assert "check_statement" not in tools_by_name(findings)


def test_statement_without_id_is_checked_against_retrieved_passages() -> None:
    findings = Findings()
    output = tools_by_name(findings, WordNLI())["check_statement"].invoke(
        {"statement": "What fails is zinc ? The answer is yes."}
    )
    assert output.startswith("Contradicted by 1 passage.\n")
    assert "[1] against: Zinc fails. (id two lines)" in output
    assert findings.queries == ["What fails is zinc ? The answer is yes."]
    assert list(findings.passages) == ["two\nlines"]


def test_quotes_on_both_sides_of_one_passage_are_shown() -> None:
    retriever = WordRetriever(texts={"b": "Iron works. The trial went on for years. It ended. Then iron fails."})
    checker = make_checker(retriever, WordNLI(), CheckConfig(passages=1))
    *_, check = make_tools(retriever, Findings(), checker, passages=1)
    output = check.invoke({"statement": "What works is iron ? The answer is yes."})
    assert "[1] for: Iron works. (id b)\nagainst: Then iron fails. (id b)" in output


def test_id_with_line_break_is_shown_and_accepted_on_one_line() -> None:
    findings = Findings()
    tools = tools_by_name(findings)
    assert "id two lines: Zinc fails." in tools["search_literature"].invoke({"query": "zinc fails"})
    assert "Zinc fails." in tools["read_abstract"].invoke({"id": "two lines"})


def test_marks_and_special_tokens_in_an_id_are_not_shown() -> None:
    findings = Findings()
    retriever = WordRetriever(texts={"guide [2]<end>.pdf#1": LONG_TEXT})
    search, read = make_tools(retriever, findings, None, passages=1, clean=lambda text: text.replace("<end>", " "))
    assert "[1] id guide .pdf#1: Aspirin works." in search.invoke({"query": "aspirin works"})
    for id in ("guide .pdf#1", "guide [2]<end>.pdf#1"):
        assert "The end." in read.invoke({"id": id})


def test_empty_query_and_empty_corpus_are_reported() -> None:
    findings = Findings()
    for query in ("  ", "\u200b"):
        assert "empty" in tools_by_name(findings)["search_literature"].invoke({"query": query})
    [search, *_] = make_tools(WordRetriever(texts={}), findings, None, passages=1)
    assert search.invoke({"query": "aspirin"}) == "Nothing was found."
    assert findings.passages == {}
