"""Search in parts of documents; whole documents come back."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from langchain_core.documents import Document
from pydantic import PrivateAttr

from corpus.sentences import Span, sentence_spans
from retrievers.base import Hit, Retriever
from retrievers.config import ParentConfig
from retrievers.dense import DenseRetriever
from retrievers.ids import identified, with_id
from retrievers.indexing import REVISION, IndexReport, index
from retrievers.store import Store

if TYPE_CHECKING:
    from retrievers.config import PartKind

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
        self._count = index_parts(store, documents, config.parts, quiet=quiet).total
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


def parts_name(corpus: str, kind: "PartKind") -> str:
    """What a corpus's parts are called in the store."""
    return f"{corpus} {kind}"


def index_parts(store: Store, documents: Sequence[Document], kind: "PartKind", *, quiet: bool = False) -> IndexReport:
    """Make ``store`` hold exactly the parts of ``documents``; see ``retrievers.indexing.index``."""
    return index(store, Parts(documents, kind), quiet=quiet)


class Parts:
    """The parts of documents, cut whenever they are gone through: few are in memory at a time."""

    def __init__(self, documents: Sequence[Document], kind: "PartKind") -> None:
        self._documents = documents
        self._kind = kind
        self.revision = getattr(documents, REVISION, None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Document]:
        for document in map(with_id, self._documents):
            yield from cut(document, self._kind)


def cut(document: Document, kind: "PartKind") -> Iterator[Document]:
    """The parts of a document under ids of their own; one without a letter is left out where there are others."""
    text = document.page_content
    match kind:
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
