"""A server on loopback with the API of PubMed's E-utilities."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

from stub_hub import in_thread

Article = Mapping[str, Any]


class StubPubMed:
    """A PubMed whose searches find the ids in ``order``, by default all ``articles``.

    An article has a title, and may have a text and a year. An article with ``xml`` has the whole reply there instead.
    The next ``busy`` fetches get status 429. ``answer``, if set, is the status and text of all replies. ``requests``
    records all queries.
    """

    def __init__(self, articles: Mapping[str, Article], order: Sequence[str] | None = None, busy: int = 0) -> None:
        self.articles = articles
        self.order = list(articles if order is None else order)
        self.busy = busy
        self.answer: tuple[int, str] | None = None
        self.requests: list[dict[str, list[str]]] = []

    @contextmanager
    def running(self) -> Iterator[str]:
        """Run the server; yields its URL."""
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                query = parse_qs(url.query)
                stub.requests.append(query)
                status, text = stub.reply(url.path, query)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        with in_thread(server):
            yield f"http://127.0.0.1:{server.server_port}/eutils"

    def reply(self, path: str, query: dict[str, list[str]]) -> tuple[int, str]:
        if self.answer is not None:
            return self.answer
        if path == "/eutils/esearch.fcgi":
            ids = self.order[: int(query["retmax"][0])]
            return 200, json.dumps({"esearchresult": {"webenv": "W", "idlist": ids}})
        if self.busy:
            self.busy -= 1
            return 429, "wait"
        id = query["id"][0]
        article = self.articles[id]
        if "xml" in article:
            return 200, article["xml"]
        content = f"<ArticleTitle>{article['title']}</ArticleTitle>"
        if article.get("text"):
            content += f"<Abstract><AbstractText>{escape(article['text'])}</AbstractText></Abstract>"
        if "year" in article:
            content += f"<ArticleDate><Year>{article['year']}</Year><Month>1</Month><Day>2</Day></ArticleDate>"
        citation = f"<MedlineCitation><PMID>{id}</PMID><Article>{content}</Article></MedlineCitation>"
        return 200, f"<PubmedArticleSet><PubmedArticle>{citation}</PubmedArticle></PubmedArticleSet>"
