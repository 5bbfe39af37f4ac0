"""HTTP statuses, headers and bodies of errors, in OpenAI's format."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from chains.chat.conversations import NoConversation
from chains.models.remote_errors import ServerError
from common.errors import UserError
from medground.service.admission import Busy, Closing, TimedOut
from medground.service.middleware import log_failure
from medground.service.protocol import error_body


def describe_error(error: Exception) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, body and headers of the answer to a request that failed."""
    match error:
        case Busy():
            headers = {"Retry-After": str(error.retry_after)}
            return 429, error_body(f"The service is busy: {error}.", "rate_limit_error", "busy"), headers
        case Closing():
            return 503, error_body("The service is shutting down.", "server_error", "closing"), {"Retry-After": "5"}
        case TimedOut():
            return 504, error_body("The answer took too long (serve.timeout).", "server_error", "timeout"), {}
        case NoConversation():
            return 404, error_body(str(error), "invalid_request_error", "no_conversation"), {}
        case ServerError():
            return 502, error_body(str(error), "server_error", "model_server"), {}
        case UserError():
            return 400, error_body(str(error), "invalid_request_error"), {}
        case HTTPException():
            kind = {401: "authentication_error", 429: "rate_limit_error"}.get(
                error.status_code, "invalid_request_error"
            )
            return error.status_code, error_body(str(error.detail), kind), dict(error.headers or {})
        case RequestValidationError():
            return 400, error_body("; ".join(map(_problem, error.errors())), "invalid_request_error"), {}
        case _:
            log_failure(error)
            return 500, error_body("The service failed; its log has the details.", "server_error"), {}


def add_errors(app: FastAPI) -> None:
    """Register a handler for each error that ``describe_error`` knows."""

    async def handle(_: Request, error: Exception) -> JSONResponse:
        status, body, headers = describe_error(error)
        return JSONResponse(body, status, headers)

    for kind in (Busy, Closing, TimedOut, UserError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, handle)


def _problem(detail: dict[str, Any]) -> str:
    field = ".".join(str(part) for part in detail["loc"] if part != "body")
    return f"{field}: {detail['msg']}" if field else str(detail["msg"])
