"""The service on loopback in the test's process, with a scripted chain and checker in place of models."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any

import httpx

from chains.answer import Answer, Citation, Passage
from chains.chat import Chat, Conversations
from chains.qa.base import AnswerChain, Question, SharedChain
from chains.verification.statements import Check, Claim
from common.errors import UserError
from medground.service.app import make_app
from medground.service.config import ServeConfig
from medground.service.server import Server, make_server
from medground.service.service import Service
from medground.service.users import Users

# One client for all tests: creating a client takes longer than a request, because of its TLS context. Cookies are off.
# "Connection: close" prevents idle connections, which httpcore can close just after it gave them to another thread.
HTTP = httpx.Client(
    timeout=30,
    trust_env=False,
    headers={"Connection": "close"},
    cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
)


class ScriptedChain(AnswerChain):
    """A chain that answers with the function ``answer``, by default ``yes``; ``batches`` records the questions.

    A batch takes ``seconds`` and, if ``release`` is given, lasts until that event is set.
    """

    def __init__(
        self,
        seconds: float = 0.0,
        answer: Callable[[Question], Answer | UserError] | None = None,
        release: threading.Event | None = None,
    ) -> None:
        self.seconds = seconds
        self.release = release
        self.batches: list[list[str]] = []
        self._answer = answer or yes

    def answer_all(self, questions: Sequence[Question]) -> list[Answer | UserError]:
        self.batches.append([question.text for question in questions])
        time.sleep(self.seconds)
        if self.release is not None:
            self.release.wait(60)
        return [self._answer(question) for question in questions]


def yes(question: Question) -> Answer:
    """The answer yes with one quote from one passage."""
    text = "Aspirin reduced stroke. Tea did not."
    return Answer(
        question=question.text,
        text="yes",
        label="yes",
        label_scores={"yes": 0.9, "no": 0.06, "maybe": 0.04},
        citations=(Citation(passage_id="p1", quote=text[:23], start=0, end=23, score=0.5),),
        passages=(Passage(id="p1", text=text, score=0.7),),
    )


class FakeChecker:
    """A checker for which one passage supports every statement, and a statement with "long" is an error.

    A batch takes ``seconds``.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.batches: list[list[str]] = []

    def check_all(self, claims: Sequence[Claim]) -> list[Check | UserError]:
        self.batches.append([claim.statement for claim in claims])
        time.sleep(self.seconds)
        text = "Aspirin reduced stroke."
        quote = Citation(passage_id="p1", quote=text, start=0, end=len(text), score=0.9)
        return [
            UserError("The pair is too long.")
            if "long" in claim.statement
            else Check(
                statement=claim.statement,
                verdict="supported",
                supporting=(quote,),
                scores={"supported": 0.9, "contradicted": 0.05, "not enough evidence": 0.05},
                passages=(Passage(id="p1", text=text, metadata={"year": 2004}),),
            )
            for claim in claims
        ]


def make_service(
    chain: AnswerChain,
    folder: Path,
    tokens: dict[str, str] | None = None,
    checker: FakeChecker | None = None,
    **config: Any,
) -> Service:
    """A service with conversations in ``folder``, users by ``tokens``, and ``config`` as its settings."""
    about = {"llm": "scripted", "retriever": "none"}
    service = Service(ServeConfig(**{"passes": 1, **config}), Users(tokens or {}, "local"), about)
    conversations = Conversations(folder / "chat.sqlite3")
    service.chat = Chat(SharedChain(chain, service.batcher.share), conversations, count=len, budget=10_000)
    service.checker = service.batcher.share((checker or FakeChecker()).check_all)
    return service


@contextmanager
def running(
    service: Service, add_routes: Callable[[Any], None] = lambda _: None, *, quiet_seconds: float = 0
) -> Iterator[tuple[str, Server]]:
    """Run the service; yields its URL and the server, and at the end stops the server as SIGTERM does.

    ``quiet_seconds`` is that of ``make_server``; 0 suits tests that leave no request unanswered at the end.
    """
    app = make_app(service)
    add_routes(app)
    server = make_server(app, service, quiet_seconds=quiet_seconds)
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield url, server
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
        assert not thread.is_alive(), "the service did not end"


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until ``condition()`` is true; fails after ``seconds``."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"the condition is still false after {seconds} seconds"
        time.sleep(0.01)


def ask(url: str, text: str = "Does it help?", token: str | None = None, **fields: Any) -> httpx.Response:
    """Request a chat completion; ``fields`` are further fields of the request's body."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = {"model": "medground", "messages": [{"role": "user", "content": text}], **fields}
    return HTTP.post(f"{url}/v1/chat/completions", json=body, headers=headers)
