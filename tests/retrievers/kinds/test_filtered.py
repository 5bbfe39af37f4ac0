from typing import Any

import pytest
from fixed_retriever import FixedRetriever
from langchain_core.documents import Document
from pydantic import ValidationError

from common.errors import UserError
from retrievers.kinds.filtered import FilterConfig, FilteredRetriever, check_fields

METADATA: dict[str, dict[str, Any]] = {
    "a": {"year": 1999, "mesh": ["Humans", "Stroke"], "source": "trials/a.pdf"},
    "b": {"year": 2005, "mesh": ["Mice"], "source": "trials/old/b.pdf"},
    "c": {"year": 2010, "mesh": ["stroke"], "source": "notes/c.txt"},
    "d": {},
    "e": {"year": "2005", "mesh": "Stroke", "source": 3},
}
INNER = FixedRetriever({"a": 5.0, "b": 4.0, "c": 3.0, "d": 2.0, "e": 1.0}, metadata=METADATA)


def found(**conditions: Any) -> list[str | None]:
    retriever = FilteredRetriever(INNER, FilterConfig(retriever="inner", **conditions))
    return [one.id for one in retriever.search(["q"], 5)[0]]


@pytest.mark.parametrize(
    ("conditions", "want"),
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
def test_conditions(conditions: dict[str, Any], want: str) -> None:
    assert found(**conditions) == list(want)


def test_it_looks_on_until_enough_have_passed() -> None:
    scores = {f"{number:04}": 1000.0 - number for number in range(1000)}
    inner = FixedRetriever(scores, metadata={f"{number:04}": {"year": number} for number in range(1000)})
    retriever = FilteredRetriever(inner, FilterConfig(retriever="inner", year_from=700, top_k=3))
    assert [one.id for one in retriever.invoke("q")] == ["0700", "0701", "0702"]
    assert [depth for _, depth in inner.calls] == [50, 200, 800]


def test_only_questions_that_lack_passages_are_asked_again() -> None:
    low = {f"{number:03}": -float(number) for number in range(100)}
    inner = FixedRetriever(low, {"easy": {"x": 1.0}}, {"x": {"year": 2}, "099": {"year": 2}})
    retriever = FilteredRetriever(inner, FilterConfig(retriever="inner", year_from=1))
    assert [[one.id for one in ones] for ones in retriever.search(["easy", "hard"], 1)] == [["x"], ["099"]]
    assert [questions for questions, _ in inner.calls] == [["easy", "hard"], ["hard"]]


def test_below_the_threshold_it_looks_no_further() -> None:
    inner = FixedRetriever({f"{number:04}": 1000.0 - number for number in range(1000)})
    FilteredRetriever(inner, FilterConfig(retriever="inner", min_score=998.0)).search(["q"], 5)
    assert len(inner.calls) == 1


def test_years_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(ValidationError, match="year_from 2010 is after year_to 2000"):
        FilterConfig(retriever="inner", year_from=2010, year_to=2000)


@pytest.mark.parametrize(
    ("conditions", "metadata", "told"),
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
def test_a_filter_that_nothing_can_pass_is_refused(
    conditions: dict[str, Any], metadata: list[dict[str, Any]], told: str | None
) -> None:
    documents = [Document(page_content="x", metadata=one) for one in metadata]
    config = FilterConfig(retriever="inner", **conditions)
    if told is None:
        check_fields(documents, config)
        return
    with pytest.raises(UserError, match=told):
        check_fields(documents, config)
