"""The application: routes, who may call them, and how errors are told."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from chains.chat.events import Done, Token
from medground.service.errors import add_errors, told_error
from medground.service.gate import Gate, log
from medground.service.protocol import MODEL, ChatRequest, Told, evidence, footnotes, history
from medground.service.service import Asked, Service
from medground.service.users import Users


def make_app(service: Service) -> FastAPI:
    """The application with all routes but the page; ``Gate`` is around it."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(service.stop)

    # The interactive pages of FastAPI load their scripts from elsewhere, so there are none.
    app = FastAPI(title="medground", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.add_middleware(Gate, metrics=service.metrics, max_body=service.config.max_body, local_only=service.users.open)
    add_errors(app)
    _add_state(app, service)
    _add_api(app, service)
    return app


def _add_api(app: FastAPI, service: Service) -> None:
    user = Annotated[str, Depends(_user_of(service.users))]
    json_only = [Depends(_json_only)]

    @app.get("/v1/models")
    def models(_: user) -> dict[str, Any]:
        """The one model, and what is behind it."""
        return {"object": "list", "data": [_model(service)]}

    @app.get("/v1/models/{model}")
    def model(model: str, _: user) -> dict[str, Any]:
        """The model by its name."""
        _check_model(model)
        return _model(service)

    @app.post("/v1/chat/completions", dependencies=json_only)
    async def completions(body: ChatRequest, request: Request, user: user) -> Any:
        """Answer the last message."""
        _check_model(body.model)
        if len(body.messages) > service.config.max_messages:
            there, most = len(body.messages), service.config.max_messages
            raise HTTPException(400, f"There are {there} messages, and {most} are the most. Leave out old ones.")
        if body.messages[-1].role != "user":
            raise HTTPException(400, "The last message must be the user's.")
        asked = service.ask(user, body.medground.conversation, body.messages[-1].text, history(body.messages))
        if body.stream:
            await anext(asked.events)  # what is wrong with the message shows here, and gets its status
            return StreamingResponse(_stream(service, asked), media_type="text/event-stream")
        return await _whole(service, asked, request)

    @app.get("/v1/conversations")
    def conversations(user: user) -> dict[str, Any]:
        """The user's stored conversations, newest first."""
        listed = service.chat.conversations.list(user)
        return {"object": "list", "data": [one.model_dump(mode="json") for one in listed]}

    @app.get("/v1/conversations/{id}")
    def conversation(id: str, user: user) -> dict[str, Any]:
        """The turns of one, oldest first."""
        turns = service.chat.conversations.read(user, id)
        return {"id": id, "object": "conversation", "turns": [turn.model_dump(mode="json") for turn in turns]}

    @app.delete("/v1/conversations/{id}")
    def delete(id: str, user: user) -> dict[str, Any]:
        """Delete one from the disk."""
        service.chat.conversations.delete(user, id)
        return {"id": id, "object": "conversation.deleted", "deleted": True}


def _add_state(app: FastAPI, service: Service) -> None:
    user = Annotated[str, Depends(_user_of(service.users))]

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        """Whether requests are taken in."""
        closing = service.desk.closing
        return JSONResponse({"status": "closing" if closing else "ready"}, 503 if closing else 200)

    @app.get("/metrics")
    async def metrics(_: user) -> PlainTextResponse:
        """Counts in Prometheus' text format."""
        gauges = {"active_requests": service.desk.active, "waiting_questions": service.passes.waiting}
        text = service.metrics.text(gauges)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def _user_of(users: Users) -> Callable[[Request], str]:
    def user_of(request: Request) -> str:
        user = users.of_header(request.headers.get("Authorization"))
        if user is None:
            raise HTTPException(401, "A valid bearer token is needed.", {"WWW-Authenticate": "Bearer"})
        return user

    return user_of


def _json_only(request: Request) -> None:
    """Other sites' forms can send text here without being asked for leave, and JSON only with it."""
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "Send JSON, with Content-Type application/json.")


def _check_model(name: str) -> None:
    if name != MODEL:
        raise HTTPException(404, f"There is no model {name!r}; there is {MODEL}.")


def _model(service: Service) -> dict[str, Any]:
    return {"id": MODEL, "object": "model", "created": 0, "owned_by": "medground", "medground": service.about}


async def _whole(service: Service, asked: Asked, request: Request) -> Response:
    """The answer in one document; a client that goes away meanwhile takes its request along."""

    async def turn() -> Done:
        async with aclosing(asked.events) as events:
            async for event in events:
                if isinstance(event, Done):
                    return event
        raise AssertionError("a turn ends with Done")

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":  # the body has been read
            pass

    work, watch = asyncio.create_task(turn()), asyncio.create_task(gone())
    try:
        await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            service.metrics.cancelled()
            return PlainTextResponse("", 499)  # nobody reads it
        done = work.result()
    finally:
        for task in (work, watch):
            task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await work
    text = done.turn.text + footnotes(done.turn.answer, service.note)
    _log_text(service, done)
    return JSONResponse(Told().whole(text, evidence(done.turn, asked.conversation, service.note)))


async def _stream(service: Service, asked: Asked) -> AsyncIterator[str]:
    """The answer as server-sent events; what goes wrong after the first of them is one too."""
    told, whole = Told(), False
    try:
        async with aclosing(asked.events) as events:
            yield _event(told.piece(first=True))
            async for event in events:
                if isinstance(event, Token):
                    yield _event(told.piece(event.text))
                elif isinstance(event, Done):
                    if notes := footnotes(event.turn.answer, service.note):
                        yield _event(told.piece(notes))
                    _log_text(service, event)
                    yield _event(told.last(evidence(event.turn, asked.conversation, service.note)))
        whole = True
        yield "data: [DONE]\n\n"
    except Exception as error:
        whole = True
        _, body, _ = told_error(error)
        yield _event(body)
    finally:
        if not whole:
            service.metrics.cancelled()


def _event(document: dict[str, Any]) -> str:
    return f"data: {json.dumps(document)}\n\n"


def _log_text(service: Service, done: Done) -> None:
    if service.config.log_text:
        log.info("%s", done.turn.model_dump_json(include={"message", "question", "text"}))
