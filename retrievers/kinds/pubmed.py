"""PubMed online: the only retriever that sends questions to another machine."""

import contextlib
import json
import os
import sys
import urllib.error
from collections.abc import Iterator
from http.client import HTTPException
from io import BytesIO
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from langchain_core.documents import Document
from pydantic import Field, PrivateAttr

from common.errors import DataError, UserError
from corpus.config import DocumentsConfig
from corpus.documents import pubmed
from corpus.documents.extract import Extract
from corpus.documents.source import Source
from retrievers.base import Hit, Retriever
from retrievers.config import RetrieverConfig

if TYPE_CHECKING:
    from langchain_community.retrievers import PubMedRetriever as LangChainPubMed

    from retrievers.registry import Context

API_KEY = "NCBI_API_KEY"  # environment variable
ABSTRACT = "abstract"  # key of an article's text
MAX_ARTICLES = 100  # per question: each article is a request
INSTALL = "pip install langchain-community xmltodict"


class PubMedConfig(RetrieverConfig):
    """Search PubMed online: every question is sent to the server at ``url``. No retriever is of this kind by default.

    Without an API key (environment variable ``NCBI_API_KEY``) NCBI answers three requests a second.
    """

    kind: Literal["pubmed"] = "pubmed"
    url: str = Field(
        default="https://eutils.ncbi.nlm.nih.gov/entrez/eutils",
        pattern="^https?://[^?#]+$",
        description="URL of the E-utilities.",
    )
    top_k: int = Field(default=5, ge=1, le=MAX_ARTICLES, strict=True, description="Maximum number of passages.")


class PubMedRetriever(Retriever):
    """LangChain's PubMed retriever with this package's ids, scores and metadata.

    At most ``MAX_ARTICLES`` articles are found, in PubMed's order of relevance. Articles without an abstract are left
    out. The score is 1 / rank. Like LangChain's retriever, this one sends only the first 300 characters of a question.
    The metadata have ``source`` and, if known, ``title``, ``year``, ``journal`` and ``mesh``.

    The articles are parsed like PubMed files, because LangChain's parser loses words in italics and reads neither MeSH
    headings nor most years.
    """

    config_class: ClassVar[type[RetrieverConfig]] = PubMedConfig

    _config: PubMedConfig = PrivateAttr()

    def __init__(self, config: PubMedConfig | None = None) -> None:
        """Nothing is sent before the first search."""
        config = config or PubMedConfig()
        super().__init__(top_k=config.top_k)
        self._config = config
        _client(config, 1)  # fails now, not at the first search, if packages are missing

    @classmethod
    def build(cls, config: PubMedConfig, context: "Context") -> Self:  # noqa: ARG003  (it searches no local corpus)
        return cls(config)

    @property
    def is_online(self) -> bool:
        return True

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        return [self._hits(question, k) for question in questions]

    def _hits(self, question: str, k: int) -> list[Hit]:
        client = _client(self._config, min(k, MAX_ARTICLES))
        with _errors(self._config.url), contextlib.redirect_stdout(sys.stderr):  # the client prints while it waits
            articles = client.load_docs(question[: client.MAX_QUERY_LENGTH])
        by_id: dict[str, Document] = {}
        for article in articles:
            if article.page_content:
                by_id.setdefault(str(article.id), article)
        return [Hit(article, 1 / rank) for rank, article in enumerate(by_id.values(), start=1)]


def _client(config: PubMedConfig, count: int) -> "LangChainPubMed":
    """LangChain's client, which finds ``count`` articles, with this project's parser."""
    try:
        from langchain_community.retrievers import PubMedRetriever as LangChainPubMed

        class Client(LangChainPubMed):
            def _parse_article(self, uid: str, text_dict: dict[str, Any]) -> dict[str, Any]:
                return {**text_dict, "id": uid, "source": f"https://pubmed.ncbi.nlm.nih.gov/{uid}/"}

            def _dict2document(self, doc: dict[str, Any]) -> Document:
                return Document(id=doc["id"], page_content=doc.pop(ABSTRACT), metadata=doc)

        client = Client(
            top_k_results=count,
            base_url_esearch=f"{config.url}/esearch.fcgi?sort=relevance&",
            base_url_efetch=f"{config.url}/efetch.fcgi?",
            api_key=os.environ.get(API_KEY, ""),
            parse=None,
        )
        client.parse = _parse_response
    except ImportError as error:
        raise UserError(f"Retrievers of kind pubmed need {error.name or 'more packages'}. Install: {INSTALL}") from None
    return client


def _parse_response(xml: str) -> dict[str, Any]:
    """The article in PubMed's response: its abstract, empty if it has none, and its metadata."""
    source = Source("the article", lambda: BytesIO(xml.encode()))
    for extract in pubmed.read(source, DocumentsConfig()):
        if isinstance(extract, Extract):
            metadata = {name: value for name, value in extract.metadata.items() if name != "pmid"}
            title = str(metadata.get("title", ""))
            return {**metadata, ABSTRACT: extract.text.removeprefix(title).strip()}
    return {ABSTRACT: ""}  # a response without an article, such as for a book


@contextlib.contextmanager
def _errors(url: str) -> Iterator[None]:
    """Turn errors of urllib and the parsers into a ``UserError`` that names the server."""
    try:
        yield
    except urllib.error.HTTPError as error:
        advice = f"Wait a moment, or set {API_KEY}." if error.code == 429 else "Try again later, or check the url."
        raise UserError(f"PubMed at {url} answered {error.code} {error.reason}. {advice}") from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(f"PubMed at {url} cannot be reached ({reason}). Check the network, or the url.") from error
    except (DataError, json.JSONDecodeError, UnicodeDecodeError, LookupError, TypeError, AttributeError) as error:
        raise UserError(
            f"PubMed at {url} gave an answer that cannot be read ({type(error).__name__}: {error}). Try again later."
        ) from error
