"""Filtering of passages by score, year, MeSH headings and source."""

import hashlib
import json
import math
from collections.abc import Callable
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self
from unicodedata import normalize

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

MIN_DEPTH = 50  # minimum number of passages in the first search
ADVICE = {  # for an error message, by the metadata field that no document has
    "year": "Index PubMed files, tables with a year column or records with YEAR, or remove year_from and year_to.",
    "mesh": "Index PubMed files, tables with a mesh column or records with MESHES, or remove mesh.",
    "source": "Index your own documents (medground index PATH), or remove source.",
}


class FilterConfig(WrappingConfig):
    """Filtering of another retriever's results by all conditions that are set."""

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
    """The results of an inner retriever that meet the conditions of ``FilterConfig``, with their scores.

    The search is repeated with greater depth until enough passages meet the conditions, or until a deeper
    search can find no more of them.
    """

    config_class: ClassVar[type[RetrieverConfig]] = FilterConfig

    # Without this method, mypy would take the fields of the class as the arguments of its constructor.
    def __init__(self, retriever: Retriever, config: FilterConfig) -> None:
        super().__init__(retriever, config)

    @classmethod
    def build(cls, config: FilterConfig, context: "Context") -> Self:
        retriever = context.retriever(config.retriever)
        if not retriever.is_online:
            check_fields(context, config)
        return cls(retriever, config)

    @classmethod
    def index(cls, config: FilterConfig, context: "Context") -> int:  # noqa: ARG003  (all filters need the same fields)
        _corpus_fields(context)  # caches the fields, so that ``build`` need not read the passages
        return 0

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        conditions, min_score = _conditions(self._config), self._config.min_score

        def select(documents: list[Document], depth: int) -> list[Hit] | None:
            hits = [Hit(each, float(each.metadata["score"])) for each in documents]
            above = hits if min_score is None else [hit for hit in hits if hit.score >= min_score]
            selected = [
                hit
                for hit in above
                if all(meets(hit.document.metadata.get(field)) for field, meets in conditions.items())
            ]
            # A deeper search finds no more if this one found all documents, or if its lowest score is below min_score.
            return selected if len(selected) >= k or len(documents) < depth or len(above) < len(hits) else None

        return search_deeper(self._retriever, questions, max(MIN_DEPTH, 2 * k), select)


def _conditions(config: FilterConfig) -> dict[str, Callable[[Any], bool]]:
    """The condition on each filtered metadata field: a function of the value, false for None (a missing field)."""
    conditions: dict[str, Callable[[Any], bool]] = {}
    if config.year_from is not None or config.year_to is not None:
        first = -math.inf if config.year_from is None else config.year_from
        last = math.inf if config.year_to is None else config.year_to
        conditions["year"] = lambda year: isinstance(year, int) and first <= year <= last
    if config.mesh:
        conditions["mesh"] = lambda mesh: not _casefolded(config.mesh).isdisjoint(_casefolded(mesh))
    if config.source:
        conditions["source"] = lambda source: isinstance(source, str) and _matches(source, config.source)
    return conditions


def check_fields(context: "Context", config: FilterConfig) -> None:
    """Raise ``UserError`` if a filter needs a metadata field that no document of the corpus has."""
    needed = set(_conditions(config))
    if needed and (missing := needed - _corpus_fields(context)) and (count := len(context.documents)):
        field = min(missing)
        raise UserError(f"The filter needs {field}, but none of the {count} passages has it. {ADVICE[field]}")


def _corpus_fields(context: "Context") -> set[str]:
    """``_fields`` of the corpus, which are cached in the store's folder together with the corpus's ``revision``."""
    documents = context.documents
    revision = getattr(documents, REVISION, None)
    if revision is None:
        return _fields(documents)
    digest = hashlib.sha256(encodable(context.corpus).encode()).hexdigest()[:16]
    cache = Path(context.store.path).expanduser() / f"fields-{digest}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        cached = json.loads(cache.read_text(encoding="utf-8"))
        if cached["revision"] == revision:
            return set(cached["fields"])
    fields = _fields(documents)
    with suppress(OSError):  # if the cache cannot be written, the documents are read again next time
        write_whole(cache, json.dumps({"revision": revision, "fields": sorted(fields)}))
    return fields


def _fields(documents: Documents) -> set[str]:
    """The metadata fields for filters that at least one document has."""
    missing = set(ADVICE)
    for document in documents:
        missing = {field for field in missing if not _has(document, field)}
        if not missing:
            break
    return set(ADVICE) - missing


def _has(document: Document, field: str) -> bool:
    value = document.metadata.get(field)
    return bool(_casefolded(value)) if field == "mesh" else isinstance(value, int if field == "year" else str)


def _matches(source: str, patterns: tuple[str, ...]) -> bool:
    """Whether a source equals one of the patterns or matches it; all texts are compared in Unicode's form NFC."""
    name, *patterns_nfc = (normalize("NFC", text) for text in (source, *patterns))
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns_nfc)


def _casefolded(headings: Any) -> set[str]:
    return {str(heading).casefold() for heading in headings} if isinstance(headings, list | tuple) else set()
