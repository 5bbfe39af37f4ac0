"""Parent document retrieval: searches the sentences or sections of documents and returns whole documents."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from langchain_core.documents import Document
from pydantic import Field, PrivateAttr

from corpus.sentences import Span, sentence_spans
from retrievers.base import Hit, Retriever, search_deeper
from retrievers.config import RetrieverConfig
from retrievers.document_ids import finder, with_id
from retrievers.indexing import Documents, index
from retrievers.kinds.dense import DenseRetriever
from retrievers.store import REVISION, Store

if TYPE_CHECKING:
    from retrievers.registry import Context

SEPARATOR = "#"  # in a part's id, between the document's id and the part's number
PARTS_PER_DOCUMENT = 8  # the first search finds this many parts for each requested document
TIES = 16  # extra documents to fetch, so that the base class can break ties by id

PartKind = Literal["sentence", "section"]


class ParentConfig(RetrieverConfig):
    """Search by embedding in the sentences or sections of the documents.

    A document gets the score of its nearest sentence or section and is returned whole.
    """

    kind: Literal["parent"] = "parent"
    parts: PartKind = Field(
        default="sentence",
        description="What is embedded. section: a line, as PubMedQA's abstracts have one for each section.",
    )
    embedder: str = Field(default="minilm", description="Name of an entry in section embedders.")


class ParentRetriever(Retriever):
    """Finds documents by their nearest part; a document's score is the cosine of this part with the question.

    (LangChain's ParentDocumentRetriever returns no scores, and fewer documents if one document has several near parts.)
    """

    config_class: ClassVar[type[RetrieverConfig]] = ParentConfig

    _documents_by_ids: Callable[[Sequence[str]], Mapping[str, Document]] = PrivateAttr()
    _part_retriever: DenseRetriever = PrivateAttr()

    def __init__(
        self, store: Store, documents: Documents, config: ParentConfig | None = None, *, quiet: bool = False
    ) -> None:
        """Update ``store``, a collection for the parts alone, to the parts of ``documents``."""
        config = config or ParentConfig()
        super().__init__(top_k=config.top_k)
        self._documents_by_ids = finder(documents)
        index(store, Parts(documents, config.parts), quiet=quiet)
        self._part_retriever = DenseRetriever(store)
        self._builds_on = (self._part_retriever,)

    @classmethod
    def build(cls, config: ParentConfig, context: "Context") -> Self:
        store = context.open_store(config.embedder, parts_name(context.corpus, config.parts))
        return cls(store, context.documents, config, quiet=context.quiet)

    @classmethod
    def index(cls, config: ParentConfig, context: "Context") -> int:
        parts = Parts(context.documents, config.parts)
        return context.update_collection(config.embedder, parts, parts_name(context.corpus, config.parts))

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        needed = k + TIES

        def select(parts: list[Document], depth: int) -> list[Hit] | None:
            parents = self._parents(parts)
            return parents if len(parents) >= needed or len(parts) < depth else None

        return search_deeper(self._part_retriever, questions, PARTS_PER_DOCUMENT * needed, select)

    def _parents(self, parts: Sequence[Document]) -> list[Hit]:
        """The documents of ``parts``, which are sorted best first; each once, with the score of its best part."""
        scores: dict[str, float] = {}
        for part in parts:
            scores.setdefault(str(part.id).rpartition(SEPARATOR)[0], part.metadata["score"])
        documents = self._documents_by_ids(list(scores))
        return [Hit(documents[id], score) for id, score in scores.items() if id in documents]


def parts_name(corpus: str, kind: PartKind) -> str:
    """The corpus name under which the store has the parts of a corpus."""
    return f"{corpus} {kind}"


class Parts:
    """The parts of documents. Each iteration splits the documents again, so that few parts are in memory at a time."""

    def __init__(self, documents: Documents, kind: PartKind) -> None:
        self._documents = documents
        self._kind = kind
        self.revision = getattr(documents, REVISION, None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Document]:
        for document in map(with_id, self._documents):
            yield from split(document, self._kind)


def split(document: Document, kind: PartKind) -> Iterator[Document]:
    """The parts of a document that have a letter or digit, with ids; if none has one, the whole text as one part."""
    text = document.page_content
    spans = sentence_spans(text) if kind == "sentence" else _line_spans(text)
    with_words = [span for span in spans if any(map(str.isalnum, text[slice(*span)]))]
    for number, (start, end) in enumerate(with_words or [(0, len(text))]):
        yield Document(id=f"{document.id}{SEPARATOR}{number}", page_content=text[start:end])


def _line_spans(text: str) -> list[Span]:
    spans, start = [], 0
    for line in text.splitlines(keepends=True):
        if line.strip():
            spans.append((start, start + len(line.rstrip())))
        start += len(line)
    return spans
