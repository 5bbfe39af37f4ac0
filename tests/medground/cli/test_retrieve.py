"""Messages of ``medground retrieve``."""

import json
from collections.abc import Callable
from typing import Any

Run = Callable[..., Any]
BM25_ON_SAMPLE = ("--set", "retriever=bm25", "--set", "retrievers={bm25: {kind: bm25}}", "--data", "sample")


def test_empty_result_is_reported_on_stderr_and_as_empty_json_list(command: Run) -> None:
    outcome = command("retrieve", "xylophone", *BM25_ON_SAMPLE)
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "Nothing was found.\n")
    outcome = command("retrieve", "xylophone", "--json", *BM25_ON_SAMPLE)
    assert outcome.err == ""
    assert json.loads(outcome.out)["passages"] == []
    assert command("retrieve", "itch score", *BM25_ON_SAMPLE).err == ""


def test_search_of_the_sample_without_indexed_documents_has_a_note(command: Run) -> None:
    outcome = command("retrieve", "itch score", *BM25_ON_SAMPLE[:-2])  # without --data
    assert "mg" in outcome.out
    assert outcome.err.startswith("No documents are indexed in .medground/store, so the sample was searched")


def test_control_characters_in_messages_are_escaped(command: Run) -> None:
    outcome = command("retrieve", "itch score", *BM25_ON_SAMPLE[:-2], "--set", 'store.path="a\\e[31m"')
    assert outcome.err.startswith("No documents are indexed in a\\x1b[31m, so")
