"""The browser page at ``/``: static files of the package, which call the service's API."""

from importlib.resources import files

from fastapi import FastAPI
from fastapi.responses import Response
from starlette.exceptions import HTTPException

_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_INDEX_FILE = "index.html"


def add_page(app: FastAPI) -> None:
    """Add ``GET /`` and ``GET /assets/NAME``.

    All files are read once here, so no path from a client is ever opened. They contain no user data and need no login;
    the data comes from the API.
    """
    assets = _read_files()
    index = assets.pop(_INDEX_FILE)

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        """The page."""
        return _response(_INDEX_FILE, index)

    @app.get("/assets/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        """A script, the style sheet or the icon of the page."""
        if name not in assets:
            raise HTTPException(404, "The file does not exist.")
        return _response(name, assets[name])


def _read_files() -> dict[str, bytes]:
    """The packaged files by name."""
    folder = files("medground.service").joinpath("page")
    return {file.name: file.read_bytes() for file in folder.iterdir() if _suffix(file.name) in _TYPES}


def _response(name: str, content: bytes) -> Response:
    # no-cache: after an update, a browser must not run the scripts of the previous version.
    return Response(content, media_type=_TYPES[_suffix(name)], headers={"Cache-Control": "no-cache"})


def _suffix(name: str) -> str:
    return name.rpartition(".")[2]
