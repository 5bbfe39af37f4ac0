"""The tools of the tool-calling agent: search, read an abstract, check a statement."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool, StructuredTool

from chains.answer import Passage
from chains.marks import passage_numbers, without_marks
from chains.models.prompt_sanitizing import fence
from chains.qa.base import Question, retrieve
from chains.verification.statements import Check, Checker, Claim

PREVIEW_CHARACTERS = 300  # of each passage in search results
MAX_CHARACTERS = 1000  # of a query or statement; the rest is cut off


@dataclass
class Findings:
    """Queries and passages (by id) of a run; passages are numbered in the order in which they were found."""

    queries: list[str] = field(default_factory=list)
    passages: dict[str, Passage] = field(default_factory=dict)

    def fenced(self, texts: Mapping[str, str]) -> str:
        """The texts, a mapping by passage id, fenced with the passages' numbers and without bracketed references."""
        numbers = passage_numbers(list(self.passages.values()))
        return fence([without_marks(text) for text in texts.values()], [numbers[id] for id in texts])


def make_tools(
    retriever: BaseRetriever,
    findings: Findings,
    checker: Checker | None,
    *,
    passages: int,
    clean: Callable[[str], str] = str,
) -> list[BaseTool]:
    """The tools of one run: ``search_literature``, ``read_abstract`` and, with a checker, ``check_statement``.

    The tools are read-only and record queries and passages in ``findings``. An abstract can be read, or a statement be
    checked against it, only after a search of this run has found the abstract. Text from documents is cleaned and
    fenced. ``passages`` is the number of passages per search.
    """

    def search_literature(query: str) -> str:
        """Search the literature. Returns the ids and beginnings of the abstracts that fit the query best."""
        if not query.strip():
            return "The query is empty. Write what to look for."
        query = query[:MAX_CHARACTERS]
        found = retrieve(retriever, [Question(query)], passages)[0]
        findings.queries.append(query)
        for one in found:
            findings.passages.setdefault(one.id, one)
        if not found:
            return "Nothing was found."
        return findings.fenced(
            {one.id: f"id {_one_line(one.id)}: {clean(one.text[:PREVIEW_CHARACTERS])}" for one in found}
        )

    def read_abstract(id: str) -> str:
        """Read a whole abstract that a search has found, by its id."""
        passage = _find(findings, id)
        return _unknown_id(id) if passage is None else findings.fenced({passage.id: clean(passage.text)})

    def check_statement(statement: str, id: str = "") -> str:
        """Check a statement against the literature, or against one abstract that a search has found, by its id."""
        if not any(map(str.isalnum, statement)):
            return "The statement is empty. Write what to check."
        passage = _find(findings, id) if id else None
        if id and passage is None:
            return _unknown_id(id)
        assert checker is not None
        claim = Claim(statement[:MAX_CHARACTERS], passages=None if passage is None else (passage,))
        checked = checker.check_all([claim])[0]
        if not isinstance(checked, Check):
            return str(checked)
        if passage is None:
            findings.queries.append(claim.statement)
        for one in checked.passages:
            findings.passages.setdefault(one.id, one)
        quotes: dict[str, str] = {}
        for side, citations in (("for", checked.supporting), ("against", checked.contradicting)):
            for quote in citations:
                id = quote.passage_id
                quotes.setdefault(id, f"{side}: {clean(quote.readable)} (id {_one_line(id)})")
        return f"{checked.text}\n\n{findings.fenced(quotes)}" if quotes else checked.text

    functions: list[Callable[..., str]] = [search_literature, read_abstract]
    if checker is not None:
        functions.append(check_statement)
    return [StructuredTool.from_function(function) for function in functions]


def _find(findings: Findings, id: str) -> Passage | None:
    passages = findings.passages
    return passages.get(id) or next((one for one in passages.values() if _one_line(one.id) == id), None)


def _one_line(id: str) -> str:
    """An id without line breaks and repeated spaces, as the model sees it."""
    return " ".join(id.split())


def _unknown_id(id: str) -> str:
    return f"No search of this run has found an abstract with the id {_one_line(id)[:80]!r}. Search first."
