"""Filtering of passages by score, year, MeSH headings and source."""

import hashlib
import json
from collections.abc import Set
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from langchain_core.documents import Document
from pydantic import Field, model_validator

from common.atomic_write import write_whole
from common.errors import UserError
from retrievers.base import Hit, Retriever, WrappingRetriever, encodable, search_deeper
from retrievers.config import RetrieverConfig, WrappingConfig
from retrievers.indexing import Documents
from retrievers.store import REVISION

if TYPE_CHECKING:
    from retrievers.registry import Context

FIRST = 50  # minimum number of passages in the first search
REMEDIES = {
    "year": "Index PubMed files, tables with a year column or records with YEAR, or remove year_from and year_to.",
    "mesh": "Index PubMed files, tables with a mesh column or records with MESHES, or remove mesh.",
    "source": "Index your own documents (medground index PATH), or remove source.",
}


class FilterConfig(WrappingConfig):
    """Passages that meet all conditions that are set."""

    kind: Literal["filter"] = "filter"
    retriever: str = Field(description="Name of the retriever that searches.")
    min_score: float | None = Field(
        default=None, allow_inf_nan=False, description="Minimum score, on the scale of that retriever."
    )
    year_from: int | None = Field(default=None, description="First year of publication.")
    year_to: int | None = Field(default=None, description="Last year of publication.")
    mesh: tuple[str, ...] = Field(
        default=(), description="MeSH headings, of which the passage has at least one. Case is ignored."
    )
    source: tuple[str, ...] = Field(
        default=(), description="Patterns of source files, such as trials/*.pdf, of which one matches."
    )

    @model_validator(mode="after")
    def _years_in_order(self) -> Self:
        if self.year_from is not None and self.year_to is not None and self.year_from > self.year_to:
            raise ValueError(f"year_from {self.year_from} is after year_to {self.year_to}")
        return self


class FilteredRetriever(WrappingRetriever):
    """The results of another retriever that meet the conditions of ``FilterConfig``, with their scores.

    The search is repeated with a greater depth until enough passages pass or the retriever has no more.
    """

    config_class: ClassVar[type[RetrieverConfig]] = FilterConfig

    def __init__(self, retriever: Retriever, config: FilterConfig) -> None:
        super().__init__(retriever, config)

    @classmethod
    def build(cls, config: FilterConfig, context: "Context") -> Self:
        retriever = context.other(config.retriever)
        if not retriever.is_online:
            check_fields(context.documents, config, _fields_of_corpus(context))
        return cls(retriever, config)

    @classmethod
    def index(cls, config: FilterConfig, context: "Context") -> int:  # noqa: ARG003  (it depends on the corpus only)
        _fields_of_corpus(context)  # stored, so that ``build`` need not read the passages
        return 0

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        lowest = self._config.min_score

        def hits(found: list[Document], depth: int) -> list[Hit] | None:
            passed = [Hit(one, one.metadata["score"]) for one in found if fits(one, self._config)]
            is_below = lowest is not None and found and _score(found[-1]) < lowest
            return passed if len(passed) >= k or len(found) < depth or is_below else None

        return search_deeper(self._retriever, questions, max(FIRST, 2 * k), hits)


def fits(document: Document, config: FilterConfig) -> bool:
    """Whether a document meets all conditions; it fails a condition whose metadata it lacks."""
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


def check_fields(documents: Documents, config: FilterConfig, known: Set[str] | None = None) -> None:
    """Raise ``UserError`` if a filter needs metadata that no document has.

    ``known`` is the metadata that the documents have; None reads the documents.
    """
    asked = {"year": (config.year_from, config.year_to) != (None, None), "mesh": config.mesh, "source": config.source}
    missing = {name for name, condition in asked.items() if condition}
    if missing:
        missing -= _fields(documents) if known is None else known
    if missing and (count := len(documents)):
        name = min(missing)
        raise UserError(f"The filter needs {name}, but none of the {count} passages has it. {REMEDIES[name]}")


def _fields_of_corpus(context: "Context") -> set[str]:
    """The metadata for filters that the corpus has; cached in the store's folder by the corpus's ``revision``."""
    documents = context.documents
    revision = getattr(documents, REVISION, None)
    if revision is None:
        return _fields(documents)
    digest = hashlib.sha256(encodable(context.corpus).encode()).hexdigest()[:16]
    note = Path(context.store.path).expanduser() / f"fields-{digest}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        noted = json.loads(note.read_text(encoding="utf-8"))
        if noted["revision"] == revision:
            return set(noted["fields"])
    found = _fields(documents)
    with suppress(OSError):  # if it cannot be written, the documents are read again next time
        write_whole(note, json.dumps({"revision": revision, "fields": sorted(found)}))
    return found


def _fields(documents: Documents) -> set[str]:
    missing = set(REMEDIES)
    for document in documents:
        missing = {name for name in missing if not _has(document, name)}
        if not missing:
            break
    return set(REMEDIES) - missing


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
