"""Lexical retrieval: BM25."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from langchain_core.documents import Document
from pydantic import Field, PrivateAttr

from corpus.documents.passages import words_window
from corpus.words import TERMS_VERSION, terms
from retrievers.base import Frequencies, Hit, Retriever
from retrievers.config import RetrieverConfig, Share
from retrievers.embedders.token_limits import cut_to_window
from retrievers.indexing import ServerDocuments
from retrievers.lexical import Index, LexicalIndex, Parameters, index_in_memory

if TYPE_CHECKING:
    from retrievers.registry import Context

MAX_WORDS = 200  # maximum number of words of a question (``search_text``)


class BM25Config(RetrieverConfig):
    """Lexical search: BM25 in Lucene's variant."""

    kind: Literal["bm25"] = "bm25"
    k1: float = Field(default=1.5, ge=0, allow_inf_nan=False, description="Saturation of term counts.")
    b: Share = Field(default=0.75, description="Weight of the text's length.")


class BM25Retriever(Retriever):
    """Okapi BM25 in Lucene's variant (Kamphuis et al. 2020), computed by bm25s.

    ``corpus.words`` splits texts into words and stems them. Only documents that share a word with the question are
    returned.
    """

    config_class: ClassVar[type[RetrieverConfig]] = BM25Config

    _index: Index | LexicalIndex = PrivateAttr()

    def __init__(self, documents: Sequence[Document] | LexicalIndex, config: BM25Config | None = None) -> None:
        """Search an index on disk, or documents, which are indexed in memory."""
        config = config or BM25Config()
        super().__init__(top_k=config.top_k)
        parameters = Parameters(config.k1, config.b)
        self._index = documents if isinstance(documents, LexicalIndex) else index_in_memory(documents, parameters)

    @classmethod
    def build(cls, config: BM25Config, context: "Context") -> Self:
        return cls(_updated_index(config, context), config)

    @classmethod
    def index(cls, config: BM25Config, context: "Context") -> int:
        _updated_index(config, context)
        return 0  # no text is embedded

    @classmethod
    def identity(cls, config: BM25Config, context: "Context") -> dict[str, Any]:
        return {**super().identity(config, context), "words": TERMS_VERSION}

    def frequencies(self, terms: Collection[str]) -> Frequencies:
        return self._current().frequencies(terms)

    def search_text(self, question: str) -> str:
        """The question. If it is a text of more than ``MAX_WORDS`` words, its last questions within this limit.

        The words of the whole text would outweigh those of the questions. A text without a question is not shortened.
        """
        return cut_to_window(question, words_window(MAX_WORDS), only_questions=True)

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        index = self._current()
        return [_hits(index, terms(question), k) for question in questions]

    def _current(self) -> Index:
        return self._index.current() if isinstance(self._index, LexicalIndex) else self._index


def _hits(index: Index, words: list[str], k: int) -> list[Hit]:
    import numpy as np

    scores = index.scores(words)
    if scores is None:
        return []
    # All documents that tie at rank k are returned: the base class breaks ties by id.
    lowest = np.partition(scores, -k)[-k] if k < len(scores) else 0.0
    best = np.flatnonzero((scores >= lowest) & (scores > 0))
    return [Hit(index.documents[int(row)], float(scores[row])) for row in best]


def _updated_index(config: BM25Config, context: "Context") -> LexicalIndex:
    store = Path(context.store.path).expanduser()
    server = ServerDocuments(context.store, context.corpus) if context.store.url else None
    return LexicalIndex(store, context.corpus, Parameters(config.k1, config.b), server).update(context.documents)
