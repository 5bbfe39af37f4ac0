"""A browser, and the service over the sample."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from chat_page import EVIL, conversations
from chromium import chromium
from served_process import serving


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium(f"--host-resolver-rules=MAP {EVIL} 127.0.0.1") as opened:
        yield opened


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The embedded default over the sample."""
    with serving(tmp_path_factory.mktemp("served"), "--set", "chain.verify=report") as (url, _):
        yield url


@pytest.fixture
def emptied(served: str) -> str:
    """The address of the served sample, without conversations."""
    for one in conversations(served):
        httpx.delete(f"{served}/v1/conversations/{one['id']}", trust_env=False)
    return served
