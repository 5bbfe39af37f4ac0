from fixed_retriever import FixedRetriever
from langchain_core.runnables import RunnableLambda

from retrievers.kinds.multi_query import MultiQueryConfig, MultiQueryRetriever, RewriteRequest


def make(inner: FixedRetriever, written: dict[str, list[str]], **settings: int) -> MultiQueryRetriever:
    asked = RunnableLambda(lambda one: written.get(one["question"], []))
    return MultiQueryRetriever(inner, asked, MultiQueryConfig(retriever="inner", **settings))


def test_other_wordings_bring_in_what_the_question_misses() -> None:
    inner = FixedRetriever({"a": 3.0, "b": 2.0}, {"mi?": {"c": 5.0, "a": 1.0}, "infarct?": {"c": 9.0}})
    found = make(inner, {"heart attack?": ["mi?", "infarct?"]}, k=0).search(["heart attack?"], 3)[0]
    assert [(one.id, one.metadata["score"]) for one in found] == [("c", 2.0), ("a", 1.5), ("b", 0.5)]


def test_all_wordings_of_all_questions_are_one_search_each_once() -> None:
    inner = FixedRetriever({"a": 3.0})
    written = {"q": ["q", " r ", "r", "", "?!", "s", "t"], "u": []}
    make(inner, written, rewrites=6, candidates=4).search(["q", "u"], 2)
    assert inner.calls == [(["q", "r", "s", "u"], 4)]


def test_no_more_wordings_than_wanted_are_taken() -> None:
    inner = FixedRetriever({"a": 3.0})
    counts: list[int] = []

    def write(one: RewriteRequest) -> list[str]:
        counts.append(one["count"])
        return ["r", "s", "t"]

    config = MultiQueryConfig(retriever="inner", rewrites=2)
    MultiQueryRetriever(inner, RunnableLambda(write), config).search(["q"], 60)
    assert counts == [2]
    assert inner.calls == [(["q", "r", "s"], 60)]


def test_wordings_that_no_file_can_hold_are_searched_for_all_the_same() -> None:
    inner = FixedRetriever({"a": 3.0})
    make(inner, {"q": ["r \ud800"]}).search(["q"], 1)
    assert inner.calls[0][0] == ["q", "r ?"]
