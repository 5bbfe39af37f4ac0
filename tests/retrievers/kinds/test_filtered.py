from contextlib import nullcontext
from typing import Any

import pytest
from fixed_retriever import FixedRetriever
from langchain_core.documents import Document
from pydantic import ValidationError

from common.errors import UserError
from retrievers.config import StoreConfig
from retrievers.kinds.filtered import FilterConfig, FilteredRetriever, check_fields
from retrievers.registry import Context

METADATA: dict[str, dict[str, Any]] = {
    "a": {"year": 1999, "mesh": ["Humans", "Stroke"], "source": "trials/a.pdf"},
    "b": {"year": 2005, "mesh": ["Mice"], "source": "trials/old/b.pdf"},
    "c": {"year": 2010, "mesh": ["stroke"], "source": "notes/c.txt"},
    "d": {},
    "e": {"year": "2005", "mesh": "Stroke", "source": 3},  # values of wrong types meet no condition
}
INNER = FixedRetriever({"a": 5.0, "b": 4.0, "c": 3.0, "d": 2.0, "e": 1.0}, metadata=METADATA)


def filtered_ids(inner: FixedRetriever, k: int, **conditions: Any) -> list[str | None]:
    retriever = FilteredRetriever(inner, FilterConfig(retriever="inner", **conditions))
    return [document.id for document in retriever.search(["q"], k)[0]]


# The conditions, and the ids of the documents of INNER that meet them.
@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, "abcde"),
        ({"min_score": 3.0}, "abc"),
        ({"year_from": 2005}, "bc"),
        ({"year_to": 2005}, "ab"),
        ({"year_from": 2000, "year_to": 2005}, "b"),
        ({"mesh": ("STROKE",)}, "ac"),
        ({"mesh": ("Mice", "Humans")}, "ab"),
        ({"source": ("trials/*",)}, "ab"),
        ({"source": ("*.txt", "trials/a.*")}, "ac"),
        ({"mesh": ("stroke",), "year_from": 2000}, "c"),
        ({"mesh": ("stroke",), "min_score": 4.5}, "a"),
        ({"source": ("elsewhere/*",)}, ""),
    ],
)
def test_returned_passages_meet_all_conditions(conditions: dict[str, Any], expected: str) -> None:
    assert filtered_ids(INNER, 5, **conditions) == list(expected)


def test_source_with_brackets_or_decomposed_characters_is_matched_by_its_name() -> None:
    sources = {"a": "trials [2020]/a.pdf", "b": "trials/mu\u0308ller.pdf"}
    inner = FixedRetriever({"a": 2.0, "b": 1.0}, metadata={id: {"source": name} for id, name in sources.items()})
    assert filtered_ids(inner, 5, source=("trials [2020]/a.pdf",)) == ["a"]
    assert filtered_ids(inner, 5, source=("*/m\u00fcller.pdf",)) == ["b"]


SCORES = {f"{rank:04}": 1000.0 - rank for rank in range(1000)}  # the ids are the ranks


def test_search_is_repeated_deeper_until_k_passages_meet_the_conditions() -> None:
    inner = FixedRetriever(SCORES, metadata={f"{rank:04}": {"year": rank} for rank in range(1000)})
    assert filtered_ids(inner, 3, year_from=700) == ["0700", "0701", "0702"]
    assert [depth for _, depth in inner.calls] == [50, 200, 800]


def test_search_is_repeated_only_for_questions_with_too_few_passages() -> None:
    by_rank = {f"{rank:03}": -float(rank) for rank in range(100)}
    inner = FixedRetriever(by_rank, {"easy": {"x": 1.0}}, {"x": {"year": 2}, "099": {"year": 2}})
    retriever = FilteredRetriever(inner, FilterConfig(retriever="inner", year_from=1))
    results = retriever.search(["easy", "hard"], 1)
    assert [[document.id for document in documents] for documents in results] == [["x"], ["099"]]
    assert [questions for questions, _ in inner.calls] == [["easy", "hard"], ["hard"]]


def test_search_is_not_repeated_below_the_minimum_score() -> None:
    inner = FixedRetriever(SCORES)
    filtered_ids(inner, 5, min_score=998.0)
    assert len(inner.calls) == 1


def test_year_from_after_year_to_is_rejected() -> None:
    with pytest.raises(ValidationError, match="year_from 2010 is after year_to 2000"):
        FilterConfig(retriever="inner", year_from=2010, year_to=2000)


@pytest.mark.parametrize(
    ("conditions", "metadata", "message"),
    [
        (
            {"year_from": 2000},
            [{}, {"year": "2005"}],
            r"needs year, but none of the 2 passages has it.*remove year",
        ),
        ({"year_to": 2000}, [{"mesh": ["x"]}], "needs year"),
        ({"mesh": ("x",)}, [{"mesh": []}, {"year": 1}], "needs mesh.*MESHES"),
        ({"source": ("x",)}, [{"year": 1}], "needs source.*medground index"),
        ({"mesh": ("x",), "year_to": 2}, [{"year": 1}], "needs mesh"),
        ({"mesh": ("x",), "year_to": 2}, [{"year": 1}, {"mesh": ["y"]}], None),
        ({"year_from": 2000}, [{}, {"year": 1}], None),
        ({"year_from": 2000}, [], None),
        ({"min_score": 0.5}, [{}], None),
    ],
)
def test_a_filter_by_a_field_that_no_document_has_is_rejected(
    conditions: dict[str, Any], metadata: list[dict[str, Any]], message: str | None
) -> None:
    documents = [Document(page_content="x", metadata=each) for each in metadata]
    config = FilterConfig(retriever="inner", **conditions)
    with nullcontext() if message is None else pytest.raises(UserError, match=message):
        check_fields(Context(documents, "c", {}, StoreConfig()), config)
