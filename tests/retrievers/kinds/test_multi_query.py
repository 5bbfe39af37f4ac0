from fixed_retriever import FixedRetriever
from langchain_core.runnables import RunnableLambda

from retrievers.kinds.multi_query import MultiQueryConfig, MultiQueryRetriever, RewriteRequest


def make_multi_query(inner: FixedRetriever, wordings: dict[str, list[str]], **settings: int) -> MultiQueryRetriever:
    rewriter = RunnableLambda(lambda request: wordings.get(request["question"], []))
    return MultiQueryRetriever(inner, rewriter, MultiQueryConfig(retriever="inner", **settings))


def test_results_of_all_wordings_are_fused_by_reciprocal_rank() -> None:
    inner = FixedRetriever({"a": 3.0, "b": 2.0}, {"mi?": {"c": 5.0, "a": 1.0}, "infarct?": {"c": 9.0}})
    results = make_multi_query(inner, {"heart attack?": ["mi?", "infarct?"]}, k=0).search(["heart attack?"], 3)[0]
    assert [(each.id, each.metadata["score"]) for each in results] == [("c", 2.0), ("a", 1.5), ("b", 0.5)]


def test_distinct_wordings_of_all_questions_are_one_search() -> None:
    inner = FixedRetriever({"a": 3.0})
    wordings = {"q": ["q", " r ", "r", "", "?!", "s", "t"], "u": []}  # "t" is the seventh
    make_multi_query(inner, wordings, rewrites=6, candidates=4).search(["q", "u"], 2)
    assert inner.calls == [(["q", "r", "s", "u"], 4)]


def test_rewrites_beyond_the_requested_count_are_not_searched_for() -> None:
    inner = FixedRetriever({"a": 3.0})
    counts: list[int] = []

    def write(request: RewriteRequest) -> list[str]:
        counts.append(request["count"])
        return ["r", "s", "t"]

    config = MultiQueryConfig(retriever="inner", rewrites=2)
    MultiQueryRetriever(inner, RunnableLambda(write), config).search(["q"], 60)
    assert counts == [2]
    assert inner.calls == [(["q", "r", "s"], 60)]


def test_lone_surrogates_in_rewrites_are_replaced() -> None:
    inner = FixedRetriever({"a": 3.0})
    make_multi_query(inner, {"q": ["r \ud800"]}).search(["q"], 1)
    assert inner.calls[0][0] == ["q", "r ?"]
