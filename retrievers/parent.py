"""Search in parts of documents; whole documents come back."""

from collections.abc import Iterator, Sequence

from langchain_core.documents import Document
from pydantic import PrivateAttr

from corpus.sentences import Span, sentence_spans
from retrievers.base import Hit, Retriever
from retrievers.config import ParentConfig
from retrievers.dense import DenseRetriever
from retrievers.ids import identified
from retrievers.indexing import index
from retrievers.store import Store

SEPARATOR = "#"
MORE = 8  # how many parts are looked at first for each document that is wanted
TIES = 16  # further documents that are looked for, so that equal scores are told apart by the documents' ids


class ParentRetriever(Retriever):
    """Documents by their nearest part; the score is that part's cosine with the question.

    (LangChain's ParentDocumentRetriever returns no scores, and as many documents as the first parts happen to have.)
    """

    _documents: dict[str, Document] = PrivateAttr()
    _parts: DenseRetriever = PrivateAttr()
    _count: int = PrivateAttr()

    def __init__(
        self, store: Store, documents: Sequence[Document], config: ParentConfig | None = None, *, quiet: bool = False
    ) -> None:
        """Cut ``documents`` into parts and make ``store``, which is for them alone, hold exactly these.

        Raises:
            UserError: two different documents have one id, or the store cannot be written.
        """
        config = config or ParentConfig()
        super().__init__(top_k=config.top_k)
        self._documents = {str(document.id): document for document in identified(documents)}
        parts = [part for document in self._documents.values() for part in cut(document, config)]
        self._count = len(parts)
        index(store, parts, quiet=quiet)
        self._parts = DenseRetriever(store)

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        wanted = min(k + TIES, len(self._documents))
        found: dict[int, list[Hit]] = {}
        depth = MORE * wanted
        while open_ := [place for place in range(len(questions)) if place not in found]:
            for place, parts in zip(
                open_, self._search_parts([questions[place] for place in open_], depth), strict=True
            ):
                hits = list(self._parents(parts))
                if len(hits) >= wanted or depth >= self._count:
                    found[place] = hits
            depth *= 4
        return [found[place] for place in range(len(questions))]

    def _search_parts(self, questions: list[str], depth: int) -> list[list[Document]]:
        return self._parts.search(questions, max(1, min(depth, self._count)))

    def _parents(self, parts: Sequence[Document]) -> Iterator[Hit]:
        """Each document once, with the score of the first of its parts, which is its best."""
        seen: set[str] = set()
        for part in parts:
            id = str(part.id).rpartition(SEPARATOR)[0]
            if id in self._documents and id not in seen:
                seen.add(id)
                yield Hit(self._documents[id], part.metadata["score"])


def cut(document: Document, config: ParentConfig) -> Iterator[Document]:
    """The parts of a document under ids of their own; one without a letter is left out where there are others."""
    text = document.page_content
    match config.parts:
        case "sentence":
            spans = sentence_spans(text)
        case "section":
            spans = _line_spans(text)
    told = [span for span in spans if any(map(str.isalnum, text[slice(*span)]))] or [(0, len(text))]
    for number, (start, end) in enumerate(told):
        yield Document(id=f"{document.id}{SEPARATOR}{number}", page_content=text[start:end])


def _line_spans(text: str) -> list[Span]:
    spans, start = [], 0
    for line in text.splitlines(keepends=True):
        if line.strip():
            spans.append((start, start + len(line.rstrip())))
        start += len(line)
    return spans
