"""Parent document retrieval: searches parts of documents and returns whole documents."""

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

SEPARATOR = "#"
MORE = 8  # parts searched first per requested document
TIES = 16  # extra documents to fetch, so that ties are broken by id


PartKind = Literal["sentence", "section"]


class ParentConfig(RetrieverConfig):
    """Search by embedding in parts of the documents.

    A document gets the score of its nearest part and is returned whole.
    """

    kind: Literal["parent"] = "parent"
    parts: PartKind = Field(
        default="sentence",
        description="What is embedded. section: a line, as PubMedQA's abstracts have one for each section.",
    )
    embedder: str = Field(default="minilm", description="Name of an entry in section embedders.")


class ParentRetriever(Retriever):
    """Documents by their nearest part; the score is that part's cosine with the question.

    (LangChain's ParentDocumentRetriever returns no scores, and a number of documents that depends on the parts found.)
    """

    config_class: ClassVar[type[RetrieverConfig]] = ParentConfig

    _find: Callable[[Sequence[str]], Mapping[str, Document]] = PrivateAttr()
    _parts: DenseRetriever = PrivateAttr()

    def __init__(
        self, store: Store, documents: Documents, config: ParentConfig | None = None, *, quiet: bool = False
    ) -> None:
        """Split ``documents`` into parts and make ``store``, which holds nothing else, hold exactly these."""
        config = config or ParentConfig()
        super().__init__(top_k=config.top_k)
        self._find = finder(documents)
        index(store, Parts(documents, config.parts), quiet=quiet)
        self._parts = DenseRetriever(store)

    @classmethod
    def build(cls, config: ParentConfig, context: "Context") -> Self:
        store = context.open_store(config.embedder, parts_name(context.corpus, config.parts))
        return cls(store, context.documents, config, quiet=context.quiet)

    @classmethod
    def index(cls, config: ParentConfig, context: "Context") -> int:
        parts = Parts(context.documents, config.parts)
        return context.update_collection(config.embedder, parts, parts_name(context.corpus, config.parts))

    def inner(self) -> Sequence[Retriever]:
        return (self._parts,)

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        wanted = k + TIES

        def hits(parts: list[Document], depth: int) -> list[Hit] | None:
            parents = self._parents(parts)
            return parents if len(parents) >= wanted or len(parts) < depth else None

        return search_deeper(self._parts, questions, MORE * wanted, hits)

    def _parents(self, parts: Sequence[Document]) -> list[Hit]:
        """Each document once, with the score of its best part."""
        best: dict[str, float] = {}
        for part in parts:
            best.setdefault(str(part.id).rpartition(SEPARATOR)[0], part.metadata["score"])
        documents = self._find(list(best))
        return [Hit(documents[id], score) for id, score in best.items() if id in documents]


def parts_name(corpus: str, kind: PartKind) -> str:
    """The name of a corpus's parts in the store."""
    return f"{corpus} {kind}"


class Parts:
    """The parts of documents, split on each iteration: few are in memory at a time."""

    def __init__(self, documents: Documents, kind: PartKind) -> None:
        self._documents = documents
        self._kind = kind
        self.revision = getattr(documents, REVISION, None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Document]:
        for document in map(with_id, self._documents):
            yield from cut(document, self._kind)


def cut(document: Document, kind: PartKind) -> Iterator[Document]:
    """The parts of a document with ids; parts without a letter are left out if there are others."""
    text = document.page_content
    match kind:
        case "sentence":
            spans = sentence_spans(text)
        case "section":
            spans = _line_spans(text)
    worded = [span for span in spans if any(map(str.isalnum, text[slice(*span)]))] or [(0, len(text))]
    for number, (start, end) in enumerate(worded):
        yield Document(id=f"{document.id}{SEPARATOR}{number}", page_content=text[start:end])


def _line_spans(text: str) -> list[Span]:
    spans, start = [], 0
    for line in text.splitlines(keepends=True):
        if line.strip():
            spans.append((start, start + len(line.rstrip())))
        start += len(line)
    return spans
