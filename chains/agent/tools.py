"""The tools of the tool-calling agent: search, read an abstract, check a statement."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool, StructuredTool

from chains.answer import Passage
from chains.citations import best_per_passage
from chains.marks import passage_numbers, without_marks
from chains.models.prompt_sanitizing import fence
from chains.qa.base import Question, retrieve
from chains.verification.statements import Checker, Claim
from common.errors import UserError
from retrievers.base import is_blank

PREVIEW_CHARACTERS = 300  # of each passage in search results
MAX_CHARACTERS = 1000  # of a query or statement; the rest is cut off


@dataclass
class Findings:
    """The queries of a run, and by id the passages found, which are numbered in the order in which they were found."""

    queries: list[str] = field(default_factory=list)
    passages: dict[str, Passage] = field(default_factory=dict)

    def fenced(self, texts: Mapping[str, str]) -> str:
        """A fence of ``texts``, which are by passage id, with the passages' numbers and without citation marks."""
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

    The tools are read-only and record queries and passages in ``findings``. The model can read an abstract, or check a
    statement against it, only if the abstract is among the findings. Text from documents is fenced after ``clean``,
    which by default changes nothing. ``passages`` is the number of passages per search.
    """

    def shown_id(id: str) -> str:
        """An id as the model sees it: on one line, without special tokens and bracketed numbers."""
        return " ".join(without_marks(clean(id)).split())

    def find(id: str) -> Passage | None:
        found = dict(findings.passages)  # a copy, since a parallel call may add passages
        with_same_shown_id = (passage for passage in found.values() if shown_id(passage.id) == shown_id(id))
        return found.get(id) or next(with_same_shown_id, None)

    def not_found(id: str) -> str:
        return f"No search of this run has found an abstract with the id {shown_id(id)[:80]!r}. Search first."

    def search_literature(query: str) -> str:
        """Search the literature. Returns the ids and beginnings of the abstracts that fit the query best."""
        query = query.strip()[:MAX_CHARACTERS]
        if is_blank(query):
            return "The query is empty. Write what to look for."
        found = retrieve(retriever, [Question(query)], passages)[0]
        findings.queries.append(query)
        for passage in found:
            findings.passages.setdefault(passage.id, passage)
        if not found:
            return "Nothing was found."
        previews = {one.id: f"id {shown_id(one.id)}: {clean(one.text[:PREVIEW_CHARACTERS])}" for one in found}
        return findings.fenced(previews)

    def read_abstract(id: str) -> str:
        """Read a whole abstract that a search has found, by its id."""
        passage = find(id)
        return not_found(id) if passage is None else findings.fenced({passage.id: clean(passage.text)})

    def check_statement(statement: str, id: str = "") -> str:
        """Check a statement against the literature, or against one abstract that a search has found, by its id."""
        if not any(map(str.isalnum, statement)):
            return "The statement is empty. Write what to check."
        passage = find(id) if id else None
        if id and passage is None:
            return not_found(id)
        assert checker is not None
        claim = Claim(statement[:MAX_CHARACTERS], passages=None if passage is None else (passage,))
        check = checker.check_all([claim])[0]
        if isinstance(check, UserError):
            return str(check)
        if passage is None:
            findings.queries.append(claim.statement)
        for found in check.passages:
            findings.passages.setdefault(found.id, found)
        quotes: dict[str, list[str]] = {}  # by passage: the first quote for the statement and the first against it
        for side, citations in (("for", check.supporting), ("against", check.contradicting)):
            for one in best_per_passage(citations):
                line = f"{side}: {clean(one.readable)} (id {shown_id(one.passage_id)})"
                quotes.setdefault(one.passage_id, []).append(line)
        texts = {id: "\n".join(lines) for id, lines in quotes.items()}
        return f"{check.text}\n\n{findings.fenced(texts)}" if texts else check.text

    functions: list[Callable[..., str]] = [search_literature, read_abstract]
    if checker is not None:
        functions.append(check_statement)
    return [StructuredTool.from_function(function) for function in functions]
