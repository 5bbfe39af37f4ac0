"""HTTP statuses, headers and bodies of errors, in OpenAI's format."""

import sqlite3
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from chains.chat.conversations import NoConversation, NotErased
from chains.models.remote_errors import ServerError
from common.errors import UserError
from medground.service.admission import Busy, Closing, TimedOut
from medground.service.middleware import CLIENT_CLOSED_REQUEST, FAILURE_MESSAGE, log, log_failure
from medground.service.protocol import error_body


def describe_error(error: Exception) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, body and headers of the answer to a request that failed."""
    code, headers = None, {}
    match error:
        case Busy():
            status, message, code = 429, f"The service is busy: {error}.", "busy"
            headers = {"Retry-After": str(error.retry_after)}
        case Closing():
            status, message, code = 503, "The service is shutting down.", "closing"
            headers = {"Retry-After": "5"}
        case TimedOut():
            status, message, code = 504, "The answer took too long (serve.timeout).", "timeout"
        case ClientDisconnect():
            status, message = CLIENT_CLOSED_REQUEST, "The client disconnected."
        case NoConversation():
            status, message, code = 404, str(error), "no_conversation"
        case NotErased():
            status, message, code = 409, str(error), "not_erased"
        case ServerError():
            status, message, code = 502, str(error), "model_server"
        case sqlite3.Error(sqlite_errorcode=reason) if reason & 0xFF == sqlite3.SQLITE_BUSY:  # or one of its subcodes
            status, message = 503, "Another program is writing to the file of conversations (chat.path)."
            code, headers = "locked", {"Retry-After": "5"}
        case sqlite3.Error(sqlite_errorcode=reason) if reason != sqlite3.SQLITE_ERROR:
            # (The message of SQLITE_ERROR may quote a user's text, so it is left to the last case.)
            log_failure(error)
            log.error("%s", error)
            status, message = 500, f"A database of the service failed: {error}. Check chat.path and its disk."
        case UserError():
            status, message = 400, str(error)
        case HTTPException():
            status, message, headers = error.status_code, str(error.detail), dict(error.headers or {})
        case RequestValidationError():
            status, message = 400, "; ".join(map(_problem, error.errors()))
        case _:
            log_failure(error)
            status, message = 500, FAILURE_MESSAGE
    return status, error_body(status, message, code), headers


def add_errors(app: FastAPI) -> None:
    """Register a handler for each error that ``describe_error`` knows."""

    async def handle(_: Request, error: Exception) -> JSONResponse:
        status, body, headers = describe_error(error)
        return JSONResponse(body, status, headers)

    kinds = (Busy, Closing, TimedOut, ClientDisconnect, UserError, HTTPException, RequestValidationError, sqlite3.Error)
    for kind in kinds:
        app.add_exception_handler(kind, handle)


def _problem(detail: dict[str, Any]) -> str:
    field = ".".join(str(part) for part in detail["loc"] if part != "body")
    problem = str(detail["msg"]).removeprefix("Value error, ")
    return f"{field}: {problem}" if field else problem
