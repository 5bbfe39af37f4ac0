"""PubMed online: the only retriever that sends questions to another machine."""

import contextlib
import json
import os
import sys
import urllib.error
from collections.abc import Iterator
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from xml.parsers.expat import ExpatError

from langchain_core.documents import Document
from pydantic import PrivateAttr

from corpus.errors import UserError
from retrievers.base import Hit, Retriever
from retrievers.config import PubMedConfig

if TYPE_CHECKING:
    from langchain_community.retrievers import PubMedRetriever as LangChainPubMed

KEY = "NCBI_API_KEY"
NO_TEXT = "No abstract available"  # what LangChain's retriever puts in an abstract's place
INSTALL = "pip install langchain-community xmltodict"


class PubMedRetriever(Retriever):
    """LangChain's PubMed retriever under this house's contract.

    Articles come in PubMed's order of relevance, those without an abstract left out; the score is 1 / rank. A question
    is cut to the 300 characters that LangChain's retriever sends. Ids are PubMed's, and ``source``, ``title`` and,
    where it is known, ``year`` are in the metadata.
    """

    _config: PubMedConfig = PrivateAttr()

    def __init__(self, config: PubMedConfig | None = None) -> None:
        """Nothing is sent before the first search.

        Raises:
            UserError: the packages that it needs are not installed.
        """
        config = config or PubMedConfig()
        super().__init__(top_k=config.top_k)
        self._config = config
        _online(config, 1)

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        return [self._hits(question, k) for question in questions]

    def _hits(self, question: str, k: int) -> list[Hit]:
        online = _online(self._config, k)
        with _errors(self._config.url), contextlib.redirect_stdout(sys.stderr):  # it prints where it has to wait
            found = online.load_docs(question[: online.MAX_QUERY_LENGTH])
        articles = [_article(one) for one in found if one.page_content.strip() not in ("", NO_TEXT)]
        each = {str(article.id): article for article in reversed(articles)}
        ranked = [article for article in articles if each.get(str(article.id)) is article]
        return [Hit(article, 1 / rank) for rank, article in enumerate(ranked, start=1)]


def _online(config: PubMedConfig, count: int) -> "LangChainPubMed":
    try:
        from langchain_community.retrievers import PubMedRetriever as LangChainPubMed

        return LangChainPubMed(
            top_k_results=count,
            base_url_esearch=f"{config.url}/esearch.fcgi?sort=relevance&",
            base_url_efetch=f"{config.url}/efetch.fcgi?",
            api_key=os.environ.get(KEY, ""),
            parse=None,
        )
    except ImportError as error:
        raise UserError(f"Retrievers of kind pubmed need {error.name or 'more packages'}. Install: {INSTALL}") from None


def _article(found: Document) -> Document:
    known = found.metadata
    id = str(known["uid"])
    metadata: dict[str, Any] = {"id": id, "source": f"https://pubmed.ncbi.nlm.nih.gov/{id}/"}
    title = known.get("Title")
    if isinstance(title, dict):  # of a title with italics or the like LangChain passes the parts on
        title = title.get("#text")
    if title:
        metadata["title"] = str(title)
    year = str(known.get("Published", ""))[:4]
    if year.isdigit():
        metadata["year"] = int(year)
    return Document(id=id, page_content=found.page_content, metadata=metadata)


@contextlib.contextmanager
def _errors(url: str) -> Iterator[None]:
    """Translate what urllib and the parsers raise about the server."""
    try:
        yield
    except urllib.error.HTTPError as error:
        advice = f"Wait a moment, or set {KEY}." if error.code == 429 else "Try again later, or check the url."
        raise UserError(f"PubMed at {url} answered {error.code} {error.reason}. {advice}") from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(f"PubMed at {url} cannot be reached ({reason}). Check the network, or the url.") from error
    except (json.JSONDecodeError, ExpatError, UnicodeDecodeError, LookupError, TypeError, AttributeError) as error:
        raise UserError(
            f"PubMed at {url} gave an answer that cannot be read ({type(error).__name__}: {error}). Try again later."
        ) from error
