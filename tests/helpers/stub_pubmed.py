"""A server on this machine that answers as PubMed's E-utilities do."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

Article = Mapping[str, Any]


class StubPubMed:
    """Finds ``articles`` (id to title, text, year, or to xml) in the order given.

    ``busy`` requests are told to wait first.
    """

    def __init__(self, articles: Mapping[str, Article], order: Sequence[str] | None = None, busy: int = 0) -> None:
        self.articles = articles
        self.order = list(articles if order is None else order)
        self.busy = busy
        self.answer: tuple[int, str] | None = None
        self.requests: list[dict[str, list[str]]] = []

    @contextmanager
    def running(self) -> Iterator[str]:
        """The server's address while it runs."""
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = parse_qs(parts.query)
                stub.requests.append(query)
                status, text = stub.reply(parts.path, query)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/eutils"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

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
        one = self.articles[id]
        if "xml" in one:
            return 200, one["xml"]
        text = f"<Abstract><AbstractText>{escape(one['text'])}</AbstractText></Abstract>" if one.get("text") else ""
        date = (
            f"<ArticleDate><Year>{one['year']}</Year><Month>1</Month><Day>2</Day></ArticleDate>"
            if "year" in one
            else ""
        )
        article = f"<Article><ArticleTitle>{one['title']}</ArticleTitle>{text}{date}</Article>"
        return 200, (
            f"<PubmedArticleSet><PubmedArticle><MedlineCitation><PMID>{id}</PMID>{article}</MedlineCitation>"
            "</PubmedArticle></PubmedArticleSet>"
        )
