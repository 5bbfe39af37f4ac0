"""All routes of the service, each with a valid request, for security tests that cover every route."""

from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

MESSAGES = [{"role": "user", "content": "Does it help?"}]


@dataclass(frozen=True)
class Route:
    """A route; ``{id}`` in the path is the id of a conversation."""

    method: str
    path: str
    body: dict[str, Any] | None = None
    public: bool = False  # needs no login


ROUTES = (
    Route("GET", "/", public=True),
    Route("GET", "/assets/{name}", public=True),
    Route("GET", "/healthz", public=True),
    Route("GET", "/readyz", public=True),
    Route("GET", "/metrics"),
    Route("GET", "/openapi.json"),
    Route("GET", "/v1/session"),
    Route("POST", "/v1/session", {"token": "unknown-token-of-nobody"}, public=True),
    Route("DELETE", "/v1/session", public=True),
    Route("GET", "/v1/models"),
    Route("GET", "/v1/models/{model}"),
    Route("POST", "/v1/chat/completions", {"model": "medground", "messages": MESSAGES}),
    Route("POST", "/v1/check", {"statement": "Aspirin reduces stroke."}),
    Route("GET", "/v1/conversations"),
    Route("GET", "/v1/conversations/{id}"),
    Route("PATCH", "/v1/conversations/{id}", {"title": "New"}),
    Route("DELETE", "/v1/conversations/{id}"),
    Route("GET", "/v1/conversations/{id}/export"),
)


def app_routes(app: FastAPI) -> set[tuple[str, str]]:
    """Method and path of all routes of an application, which may have no mounts."""
    assert all(isinstance(route, APIRoute) for route in app.routes), app.routes
    return {(method, route.path) for route in app.routes for method in route.methods}
