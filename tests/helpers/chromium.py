"""Headless Chromium for tests of web pages, which are skipped if Chromium or playwright is not installed."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium(*arguments: str) -> Iterator[Any]:
    """Launch Chromium with further command-line ``arguments``; yields playwright's ``Browser``."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*ARGUMENTS, *arguments])
        yield browser
        browser.close()


@dataclass
class Visit:
    """A page of playwright, the errors in its console, and the URLs that it requested."""

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def hosts(self) -> set[str]:
        """Host and port of each request."""
        return {urlsplit(url).netloc for url in self.requests if not url.startswith("blob:")}


@contextmanager
def visit(browser: Any, url: str, *, width: int = 1440, theme: str = "light") -> Iterator[Visit]:
    """Open a page in a new browser context, which shares no cookies and no storage with others."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=theme, accept_downloads=True)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.set_default_timeout(20_000)
    visited = Visit(page)
    page.on("console", lambda message: visited.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: visited.errors.append(str(error)))
    context.on("request", lambda request: visited.requests.append(request.url))
    page.goto(url)
    yield visited
    context.close()
