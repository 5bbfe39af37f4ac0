"""The service on loopback in this process, over any chain."""

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

# One client, because each makes a TLS context, which takes longer than a request. It keeps no cookies.
# "close": httpcore can close an idle connection that another thread has just been given.
HTTP = httpx.Client(
    timeout=30,
    trust_env=False,
    headers={"Connection": "close"},
    cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
)


def _wait(seconds: float, release: threading.Event | None) -> None:
    time.sleep(seconds)
    if release is not None:
        release.wait(60)


class Scripted(AnswerChain):
    """Answers yes from one passage, after ``seconds`` for a batch, and once ``release`` is set; keeps its batches."""

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
        _wait(self.seconds, self.release)
        return [self._answer(question) for question in questions]


def yes(question: Question) -> Answer:
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
    """Supports every statement from one passage, after ``seconds`` for a batch, and once ``release`` is set.

    A statement with "long" cannot be checked.
    """

    def __init__(self, seconds: float = 0.0, release: threading.Event | None = None) -> None:
        self.seconds = seconds
        self.release = release
        self.batches: list[list[str]] = []

    def check_all(self, claims: Sequence[Claim]) -> list[Check | UserError]:
        self.batches.append([claim.statement for claim in claims])
        _wait(self.seconds, self.release)
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
    service = Service(
        ServeConfig(**{"passes": 1, **config}), Users(tokens or {}, "local"), {"llm": "scripted", "retriever": "none"}
    )
    chat = Chat(
        SharedChain(chain, service.batcher.share), Conversations(folder / "chat.sqlite3"), count=len, budget=10_000
    )
    service.chat = chat
    service.checker = service.batcher.share((checker or FakeChecker()).check_all)
    return service


@contextmanager
def running(
    service: Service, add: Callable[[Any], None] = lambda _: None, *, quiet_seconds: float = 0
) -> Iterator[tuple[str, Server]]:
    """The address of the running service, and the server; it ends as on SIGTERM.

    ``quiet_seconds`` is an argument of ``make_server``: 0 suffices if no request is under way at the end.
    """
    app = make_app(service)
    add(app)
    server = make_server(app, service, quiet_seconds=quiet_seconds)
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield url, server
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()
        assert not thread.is_alive(), "the service did not end"


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something has come true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.01)


def ask(url: str, text: str = "Does it help?", token: str | None = None, **more: Any) -> httpx.Response:
    """One completion."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = {"model": "medground", "messages": [{"role": "user", "content": text}], **more}
    return HTTP.post(f"{url}/v1/chat/completions", json=body, headers=headers)
