"""medground retrieve: what is said where nothing is found."""

import json
from collections.abc import Callable
from typing import Any

Run = Callable[..., Any]
WORDS = ("--set", "retriever=bm25", "--set", "retrievers={bm25: {kind: bm25}}", "--data", "sample")


def test_that_nothing_was_found_is_said(command: Run) -> None:
    outcome = command("retrieve", "xylophone", *WORDS)
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "Nothing was found.\n")
    outcome = command("retrieve", "xylophone", "--json", *WORDS)
    assert outcome.err == ""
    assert json.loads(outcome.out)["passages"] == []
    assert command("retrieve", "itch score", *WORDS).err == ""


def test_that_the_sample_was_searched_in_place_of_documents_is_said(command: Run) -> None:
    outcome = command("retrieve", "itch score", *WORDS[:-2])
    assert "mg" in outcome.out
    assert outcome.err.startswith("No documents are indexed in .medground/store, so the sample was searched")
