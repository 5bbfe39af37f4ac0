"""Only passages that meet conditions."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from langchain_core.documents import Document
from pydantic import PrivateAttr

from common.errors import UserError
from retrievers.base import Hit, Retriever
from retrievers.config import FilterConfig

FIRST = 50  # how many passages are looked through first, at least
WHO_HAS = {
    "year": "PubMed's files, tables with a year column and records with YEAR do; or drop year_from and year_to.",
    "mesh": "PubMed's files, tables with a mesh column and records with MESHES do; or drop mesh.",
    "source": "Documents of your own do (medground index PATH); or drop source.",
}


class FilteredRetriever(Retriever):
    """What another retriever finds and the conditions of ``FilterConfig`` let pass, with its scores.

    It is asked for ever more until enough have passed or it has no more, so that nothing that fits is missed.
    """

    _retriever: Retriever = PrivateAttr()
    _config: FilterConfig = PrivateAttr()

    def __init__(self, retriever: Retriever, config: FilterConfig) -> None:
        """Filter what ``retriever`` finds."""
        super().__init__(top_k=config.top_k)
        self._retriever = retriever
        self._config = config

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        passed: dict[int, list[Hit]] = {}
        depth = max(FIRST, 2 * k)
        while left := [place for place in range(len(questions)) if place not in passed]:
            searched = self._retriever.search([questions[place] for place in left], depth)
            for place, found in zip(left, searched, strict=True):
                hits = [Hit(one, one.metadata["score"]) for one in found if fits(one, self._config)]
                below = self._config.min_score is not None and found and _score(found[-1]) < self._config.min_score
                if len(hits) >= k or len(found) < depth or below:
                    passed[place] = hits
            depth *= 4
        return [passed[place] for place in range(len(questions))]


def fits(document: Document, config: FilterConfig) -> bool:
    """Whether a found document meets all conditions; without the metadata that one is about it does not."""
    known = document.metadata
    if config.min_score is not None and _score(document) < config.min_score:
        return False
    if (config.year_from is not None or config.year_to is not None) and not _in_years(known.get("year"), config):
        return False
    if config.mesh and not _folded(config.mesh) & _folded(known.get("mesh")):
        return False
    source = known.get("source")
    return not config.source or (
        isinstance(source, str) and any(fnmatchcase(source, pattern) for pattern in config.source)
    )


def check_fields(documents: Sequence[Document], config: FilterConfig) -> None:
    """Refuse a filter that nothing can pass because what it looks at is in none of the documents.

    Raises:
        UserError: naming that, and what has it.
    """
    asked = {"year": (config.year_from, config.year_to) != (None, None), "mesh": config.mesh, "source": config.source}
    missing = {name for name, condition in asked.items() if condition}
    for document in documents:
        if not missing:
            return
        missing = {name for name in missing if not _has(document, name)}
    if missing and len(documents):
        name = min(missing)
        none = f"A filter asks for a passage's {name}, and none of the {len(documents)} passages has one"
        raise UserError(f"{none}, so it would find nothing. {WHO_HAS[name]}")


def _has(document: Document, name: str) -> bool:
    value = document.metadata.get(name)
    return bool(_folded(value)) if name == "mesh" else isinstance(value, int if name == "year" else str)


def _score(document: Document) -> float:
    return float(document.metadata["score"])


def _in_years(year: Any, config: FilterConfig) -> bool:
    if not isinstance(year, int):
        return False
    return (config.year_from is None or config.year_from <= year) and (config.year_to is None or year <= config.year_to)


def _folded(headings: Any) -> set[str]:
    return {str(one).casefold() for one in headings} if isinstance(headings, list | tuple) else set()
