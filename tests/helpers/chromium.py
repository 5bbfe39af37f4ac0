"""Headless Chromium for tests of pages; they are skipped where it, or playwright, is not installed."""

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
    """A browser of playwright's."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=[*ARGUMENTS, *arguments])
        yield opened
        opened.close()


@dataclass
class Visit:
    """A page that was opened, the errors of its console, and the addresses that it asked for."""

    page: Any
    errors: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def hosts(self) -> set[str]:
        """Where its requests went."""
        return {urlsplit(url).netloc for url in self.asked if not url.startswith("blob:")}


@contextmanager
def visit(browser: Any, url: str, *, width: int = 1440, theme: str = "light") -> Iterator[Visit]:
    """Open a page in a window of its own, which shares no cookie and no storage with others."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=theme, accept_downloads=True)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.set_default_timeout(20_000)
    shown = Visit(page)
    page.on("console", lambda message: shown.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: shown.errors.append(str(error)))
    context.on("request", lambda request: shown.asked.append(request.url))
    page.goto(url)
    yield shown
    context.close()
