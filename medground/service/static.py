"""The browser page at ``/``: static files of the package, which call the service's API."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import Response
from starlette.exceptions import HTTPException

_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}
_INDEX_FILE = "index.html"


def add_page(app: FastAPI) -> None:
    """Add ``GET /`` and ``GET /assets/NAME``.

    All files are read once here, so no path from a client is ever opened. They contain no user data and need no login;
    the data comes from the API.
    """
    responses = {
        # no-cache: after an update, a browser must not run the scripts of the previous version.
        file.name: Response(file.read_bytes(), media_type=_TYPES[file.suffix], headers={"Cache-Control": "no-cache"})
        for file in Path(__file__).with_name("page").iterdir()
        if file.suffix in _TYPES
    }
    index = responses.pop(_INDEX_FILE)

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        """The page."""
        return index

    @app.get("/assets/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        """A script, the style sheet or the icon of the page."""
        if name not in responses:
            raise HTTPException(404, "The file does not exist.")
        return responses[name]
