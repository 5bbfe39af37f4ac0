"""Fixtures of the chat page's tests: a browser, and the service over the sample."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from chat_page import EVIL_HOST, conversations
from chromium import chromium
from served_process import serving


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium(f"--host-resolver-rules=MAP {EVIL_HOST} 127.0.0.1") as browser:
        yield browser


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a service with the default settings, which answers from the embedded sample."""
    with serving(tmp_path_factory.mktemp("served"), "--set", "chain.verify=report") as (url, _):
        yield url


@pytest.fixture
def served_empty(served: str) -> str:
    """URL of the same service after all conversations are deleted."""
    for conversation in conversations(served):
        httpx.delete(f"{served}/v1/conversations/{conversation['id']}", trust_env=False)
    return served
