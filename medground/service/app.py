"""The FastAPI application: routes (docs/service.md), authentication and responses.

A request with a session's cookie needs an ``Origin`` header, unless its method is GET, HEAD or OPTIONS; with other
methods, browsers always send this header. A stream gets a comment line (``: waiting``) after each 15 seconds in which
nothing else is sent.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

from chains.chat.conversations import Conversations
from chains.chat.events import ChatEvent, DoneEvent, TokenEvent
from common.errors import UserError
from medground.service import export
from medground.service.errors import add_errors, describe_error
from medground.service.metrics import CONTENT_TYPE
from medground.service.middleware import SAFE_METHODS, ServiceMiddleware, log
from medground.service.protocol import (
    MODEL,
    ChatRequest,
    CheckRequest,
    Completion,
    Login,
    Rename,
    check_result,
    evidence,
    finish_reason,
    footnotes,
    history,
)
from medground.service.service import Service
from medground.service.sessions import LoginLimiter, Sessions
from medground.service.users import Users

Event = TypeVar("Event")
Authenticate = Callable[[Request], Awaitable[str]]
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
_HEARTBEAT_SECONDS = 15  # proxies close connections on which nothing is sent, many after 60 seconds


def make_app(service: Service) -> FastAPI:
    """The application with all routes but the page's."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(service.stop)

    config = service.config
    # FastAPI's interactive documentation loads scripts from elsewhere, and its schema route asks for no token.
    app = FastAPI(
        title="medground", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=lifespan
    )
    if not service.users.has_tokens:
        # Prevents DNS rebinding: a page of another site would reach the service by a name that resolves to 127.0.0.1.
        host = f"[{config.host}]" if ":" in config.host and "[" not in config.host else config.host
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*_LOCAL_HOSTS, host.lower()], www_redirect=False)
    app.add_middleware(
        ServiceMiddleware,
        metrics=service.metrics,
        max_body=config.max_body,
        scheme="https" if config.tls else "http",
        closing=lambda: service.admission.closing,
    )
    add_errors(app)
    sessions = Sessions(config.session_hours, secure=config.tls)
    authenticate = _authenticator(service.users, sessions)
    _add_completions(app, service, authenticate)  # first: routes are tried in order, most requests are questions
    _add_status(app, service, authenticate)
    _add_session(app, service, sessions, authenticate)
    _add_conversations(app, service, authenticate)
    _add_checks(app, service, authenticate)
    return app


def _add_completions(app: FastAPI, service: Service, authenticate: Authenticate) -> None:
    user = Annotated[str, Depends(authenticate)]

    @app.get("/v1/models")
    def models(_: user) -> dict[str, Any]:
        """The only model, with its components."""
        return {"object": "list", "data": [_model(service)]}

    @app.get("/v1/models/{model}")
    def model(model: str, _: user) -> dict[str, Any]:
        """The model by its name."""
        _check_model(model)
        return _model(service)

    @app.post("/v1/chat/completions", dependencies=[Depends(_json_only)])
    async def completions(body: ChatRequest, request: Request, user: user) -> Any:
        """Answer the last message."""
        _check_model(body.model)
        _check_count(service, len(body.messages), "messages", "Leave out old ones.")
        if body.messages[-1].role != "user":
            raise HTTPException(400, "The last message must be the user's.")
        events = service.ask(
            user, body.conversation, body.messages[-1].text, history(body.messages), only_last_event=not body.stream
        )
        if body.stream:
            # An invalid message raises here, before status 200 is sent.
            await _unless_disconnected(service, request, anext(events))
            headers = {"X-Accel-Buffering": "no"}  # otherwise nginx buffers the stream
            return StreamingResponse(_event_stream(service, events), media_type="text/event-stream", headers=headers)
        return await _complete_response(service, events, request)


def _add_checks(app: FastAPI, service: Service, authenticate: Authenticate) -> None:
    @app.post("/v1/check", dependencies=[Depends(_json_only)])
    async def check(body: CheckRequest, request: Request, _: Annotated[str, Depends(authenticate)]) -> Any:
        """Check a statement, or several, against the searched texts.

        The verdict is supported, contradicted or not enough evidence, with quotes for and against. With ``statement``
        the response is one check, with ``statements`` a list. A statement that cannot be checked has an ``error`` in
        the list.
        """
        if service.checker is None:
            raise HTTPException(501, service.checker_unavailable_reason)
        statements = body.statements or [body.statement or ""]
        _check_count(service, len(statements), "statements", "Send several requests.")
        results = await _unless_disconnected(service, request, _last_event(service.check(statements)))
        if body.statements is None and isinstance(results[0], UserError):
            raise results[0]
        data = [check_result(text, result) for text, result in zip(statements, results, strict=True)]
        return data[0] if body.statements is None else {"object": "list", "data": data}


def _add_conversations(app: FastAPI, service: Service, authenticate: Authenticate) -> None:
    user = Annotated[str, Depends(authenticate)]

    def store() -> Conversations:  # a function, since service.chat may be set after the routes are added
        return service.chat.conversations

    @app.get("/v1/conversations")
    def conversations(user: user, query: Annotated[str, Query(max_length=1000)] = "") -> dict[str, Any]:
        """The user's stored conversations, the latest first; with ``query``, those that contain all its words."""
        summaries = store().list(user, query)
        return {"object": "list", "data": [summary.model_dump(mode="json") for summary in summaries]}

    @app.get("/v1/conversations/{id}")
    def conversation(id: str, user: user) -> dict[str, Any]:
        """The turns of a conversation, oldest first."""
        title = store().summary(user, id).title
        turns = [turn.model_dump(mode="json") for turn in store().read(user, id)]
        return {"id": id, "object": "conversation", "title": title, "turns": turns}

    @app.patch("/v1/conversations/{id}", dependencies=[Depends(_json_only)])
    def rename(id: str, body: Rename, user: user) -> dict[str, Any]:
        """Give a conversation another title."""
        store().rename(user, id, body.title)
        return store().summary(user, id).model_dump(mode="json")

    @app.delete("/v1/conversations/{id}")
    def delete(id: str, user: user) -> dict[str, Any]:
        """Delete a conversation from the disk."""
        store().delete(user, id)
        return {"id": id, "object": "conversation.deleted", "deleted": True}

    @app.get("/v1/conversations/{id}/export")
    def exported(id: str, user: user, format: Literal["markdown", "json"] = "markdown") -> Response:
        """A conversation as a file, with its quotes and their sources."""
        summary, turns = store().summary(user, id), store().read(user, id)
        convert, suffix, media_type = {
            "markdown": (export.to_markdown, "md", "text/markdown; charset=utf-8"),
            "json": (export.to_json, "json", "application/json"),
        }[format]
        name = f"medground-{summary.created[:10]}-{summary.id[:8]}.{suffix}"  # created[:10] is the date
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(convert(summary, turns), media_type=media_type, headers=headers)


def _add_session(app: FastAPI, service: Service, sessions: Sessions, authenticate: Authenticate) -> None:
    limiter = LoginLimiter()

    @app.get("/v1/session")
    def session(user: Annotated[str, Depends(authenticate)]) -> dict[str, Any]:
        """The user, and the models in use."""
        return {"user": user, "login": service.users.has_tokens, "note": service.note, "about": service.about}

    @app.post("/v1/session", status_code=204, dependencies=[Depends(_json_only)])
    async def login(body: Login, request: Request) -> Response:
        """Start a session, stored in a cookie, with a user's token."""
        if not service.users.has_tokens:
            raise HTTPException(400, "The service has no tokens, so there is nothing to log in to.")
        address = request.client.host if request.client is not None else ""
        if (seconds := limiter.wait_seconds(address)) > 0:
            headers = {"Retry-After": str(seconds)}
            raise HTTPException(429, f"Too many unknown tokens were sent. Try again in {seconds} s.", headers)
        user = service.users.of_token(body.token)
        if user is None:
            limiter.record_failure(address)
            raise HTTPException(401, "The token is unknown.")
        return Response(status_code=204, headers={"Set-Cookie": sessions.issue(user)})

    @app.delete("/v1/session", status_code=204)
    async def logout(request: Request) -> Response:
        """End the session of the cookie."""
        deletion = sessions.revoke(request.cookies.get(sessions.name))
        return Response(status_code=204, headers={"Set-Cookie": deletion})


def _add_status(app: FastAPI, service: Service, authenticate: Authenticate) -> None:
    user = Annotated[str, Depends(authenticate)]

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        """Whether requests are admitted."""
        closing = service.admission.closing
        return JSONResponse({"status": "closing" if closing else "ready"}, 503 if closing else 200)

    @app.get("/metrics")
    async def metrics(_: user) -> Response:
        """Metrics in Prometheus' text format."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)

    @app.get("/openapi.json", include_in_schema=False)
    def schema(_: user) -> dict[str, Any]:
        return app.openapi()


def _authenticator(users: Users, sessions: Sessions) -> Authenticate:
    """The FastAPI dependency that authenticates a request: by its bearer token, or by its cookie if it has no token."""

    async def authenticate(request: Request) -> str:  # async, since FastAPI runs plain functions in a thread
        authorization = request.headers.get("Authorization")
        user = users.of_header(authorization)
        if user is None and authorization is None:
            user = sessions.user(request.cookies.get(sessions.name))
            if user is not None and request.method not in SAFE_METHODS and "Origin" not in request.headers:
                raise HTTPException(403, "A request with a session's cookie needs an Origin header.")
        if user is None:
            raise HTTPException(401, "A valid bearer token is needed.", {"WWW-Authenticate": "Bearer"})
        return user

    return authenticate


async def _json_only(request: Request) -> None:
    """Refuse all but JSON in UTF-8: pages of other sites can send forms without the user's consent, but not JSON."""
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "Send JSON, with Content-Type application/json.")
    try:
        (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise HTTPException(400, "The body is not encoded in UTF-8.") from error


def _check_model(name: str) -> None:
    if name != MODEL:
        raise HTTPException(404, f"There is no model {name!r}; the only one is {MODEL}.")


def _check_count(service: Service, count: int, items: str, advice: str) -> None:
    if count > (limit := service.config.max_messages):
        raise HTTPException(400, f"The request has {count} {items}; the limit is {limit}. {advice}")


def _model(service: Service) -> dict[str, Any]:
    return {"id": MODEL, "object": "model", "created": 0, "owned_by": "medground", "medground": service.about}


async def _complete_response(service: Service, events: AsyncGenerator[ChatEvent], request: Request) -> Response:
    """The answer as one JSON document."""
    done = await _unless_disconnected(service, request, _last_event(events))
    assert isinstance(done, DoneEvent)  # the last event of every message
    notes, reason, extension = _ending(service, done)
    return JSONResponse(Completion().complete(done.turn.text + notes, reason, extension))


def _ending(service: Service, done: DoneEvent) -> tuple[str, str, dict[str, Any]]:
    """Footnotes, finish reason and the field ``medground`` of an answer; logs its text if ``serve.log_text``."""
    turn = done.turn
    if service.config.log_text:
        log.info("%s", turn.model_dump_json(include={"message", "question", "text"}))
    extension = evidence(turn, done.conversation, service.note)
    return footnotes(turn.answer, service.note), finish_reason(turn.answer), extension


async def _last_event(events: AsyncGenerator[Event]) -> Event:
    """The last event of a request."""
    last: Event | None = None
    async with aclosing(events):
        async for event in events:
            last = event
    assert last is not None  # every request has an event
    return last


async def _unless_disconnected(service: Service, request: Request, result: Awaitable[Event]) -> Event:
    """The awaited result; if the client disconnects first, the request is cancelled and ``ClientDisconnect`` raised."""

    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":  # the body has already been read
            pass

    work, disconnection = asyncio.ensure_future(result), asyncio.ensure_future(disconnected())
    try:
        await asyncio.wait({work, disconnection}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            service.metrics.cancelled.inc()
            raise ClientDisconnect
        return work.result()
    finally:
        for task in (work, disconnection):
            task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await work


async def _event_stream(service: Service, chat_events: AsyncGenerator[ChatEvent]) -> AsyncIterator[str]:
    """The answer as server-sent events; an error is an event too, since status 200 has been sent."""
    completion, complete = Completion(), False
    try:
        async with aclosing(_with_heartbeats(chat_events)) as events:
            yield _sse(completion.chunk(first=True))
            async for event in events:
                if event is None:
                    yield ": waiting\n\n"
                elif isinstance(event, TokenEvent):
                    yield _sse(completion.chunk(event.text))
                elif isinstance(event, DoneEvent):
                    notes, reason, extension = _ending(service, event)
                    if notes:
                        yield _sse(completion.chunk(notes))
                    yield _sse(completion.last(reason, extension))
        complete = True
        yield "data: [DONE]\n\n"
    except Exception as error:
        complete = True
        _, body, _ = describe_error(error)
        yield _sse(body)
    finally:
        if not complete:
            service.metrics.cancelled.inc()


async def _with_heartbeats(events: AsyncGenerator[Event]) -> AsyncGenerator[Event | None]:
    """The events, and None after each ``_HEARTBEAT_SECONDS`` seconds without an event."""
    next_event: asyncio.Future[Event | None] = asyncio.ensure_future(anext(events, None))
    try:
        while True:
            await asyncio.wait({next_event}, timeout=_HEARTBEAT_SECONDS)
            if not next_event.done():
                yield None
            elif (event := next_event.result()) is not None:
                yield event
                next_event = asyncio.ensure_future(anext(events, None))
            else:
                return
    finally:
        if not next_event.done():
            next_event.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await next_event
        await events.aclose()


def _sse(document: dict[str, Any]) -> str:
    return f"data: {json.dumps(document)}\n\n"
