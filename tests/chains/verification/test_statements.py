"""Statements checked against passages, by a judge that knows the words works and fails."""

import asyncio
from collections.abc import Sequence
from typing import ClassVar

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from word_retriever import WordRetriever

from chains.answer import Passage
from chains.config import CheckConfig
from chains.nli import Judgement, NLIModel, Pair
from chains.verification.statements import Check, Checker, Claim, make_checker
from common.errors import UserError

SURE = {"for": (0.9, 0.05, 0.05), "against": (0.05, 0.9, 0.05), "open": (0.1, 0.1, 0.8)}


class Judge(NLIModel):
    """A premise with "works" entails, one with "fails" contradicts; "perhaps" lowers the probability to 0.6."""

    def __init__(self, *, scored: bool = True, labels: Sequence[str] = ("entailment", "contradiction", "neutral")):
        self.labels = tuple(labels)
        self.passes: list[list[Pair]] = []
        self._scored = scored

    def judge(self, pairs: Sequence[Pair]) -> list[Judgement | UserError]:
        self.passes.append(list(pairs))
        return [self._one(premise.lower()) for premise, _ in pairs]

    def _one(self, premise: str) -> Judgement | UserError:
        if "unreadable" in premise:
            return UserError("The server is busy." if "colds" not in premise else "The pair is too long.")
        side = "for" if "works" in premise else "against" if "fails" in premise else "open"
        scores = (
            SURE[side]
            if "perhaps" not in premise or side == "open"
            else {"for": (0.6, 0.2, 0.2), "against": (0.2, 0.6, 0.2)}[side]
        )
        shares = dict(zip(("entailment", "contradiction", "neutral"), scores, strict=True))
        label = max(shares, key=shares.__getitem__)
        return Judgement(label=label, label_scores=shares if self._scored else {})


class Dated(BaseRetriever):
    """Brings its documents, whatever is asked."""

    documents: list[Document]

    def _get_relevant_documents(self, query: str, *, run_manager: object) -> list[Document]:
        return self.documents


def checker(judge: Judge | None = None, *documents: tuple[str, str, int | None], **config: object) -> Checker:
    found = [
        Document(id=id, page_content=text, metadata={"year": year} if year else {}) for id, text, year in documents
    ]
    return make_checker(Dated(documents=found), judge or Judge(), CheckConfig(**config))  # type: ignore[arg-type]


FOR = ("a", "Adults were seen. Zinc works for colds. All went home.", 2001)
AGAINST = ("b", "Children were seen. Zinc fails for colds. Some stayed.", 2015)
OPEN = ("c", "Zinc was given for colds.", None)


@pytest.mark.parametrize(
    ("documents", "verdict", "text"),
    [
        ([FOR, OPEN], "supported", "Supported by 1 passage."),
        ([AGAINST, OPEN], "contradicted", "Contradicted by 1 passage."),
        ([OPEN], "not enough evidence", "Not enough evidence: the passage found does not decide the statement."),
        ([], "not enough evidence", "Not enough evidence: no passage was found."),
    ],
)
@pytest.mark.parametrize("scored", [True, False])
def test_verdicts(documents: list[tuple[str, str, int | None]], verdict: str, text: str, scored: bool) -> None:
    checked = checker(Judge(scored=scored), *documents).invoke("Zinc helps colds.")
    assert (checked.verdict, checked.text, checked.conflicting) == (verdict, text, False)
    assert [one.id for one in checked.passages] == [id for id, _, _ in documents]
    if scored and documents:
        assert max(checked.scores, key=checked.scores.__getitem__) == verdict
        assert sum(checked.scores.values()) == pytest.approx(1)
    else:
        assert checked.scores == {}


def test_evidence_is_the_shortest_quote_that_decides() -> None:
    checked = checker(None, FOR, AGAINST).invoke("Zinc helps colds.")
    (pro,), (con,) = checked.supporting, checked.contradicting
    assert (pro.passage_id, pro.quote, pro.score) == ("a", "Zinc works for colds.", pytest.approx(0.9))
    assert (con.passage_id, con.quote) == ("b", "Zinc fails for colds.")
    assert FOR[1][pro.start : pro.end] == pro.quote


def test_a_window_of_neighbours_is_quoted_where_no_sentence_decides() -> None:
    class Together(Judge):
        def _one(self, premise: str) -> Judgement | UserError:
            both = "zinc" in premise and "shorter" in premise
            return super()._one("works" if both else premise)

    text = "Zinc was given for colds. The colds were shorter. Nothing else was seen."
    checked = checker(Together(), ("a", text, None)).invoke("Zinc makes colds shorter.")
    assert checked.verdict == "supported"
    assert checked.supporting[0].quote.startswith("Zinc was given for colds. The colds were shorter.")


def test_conflicting_evidence_is_shown_newest_first_and_said() -> None:
    documents = [
        ("old", "Zinc works for colds.", 1999),
        ("new", "Zinc works for colds too.", 2020),
        ("undated", "In colds zinc works.", None),
        ("against", "Perhaps zinc fails for colds.", 2010),
    ]
    checked = checker(None, *documents).invoke("Zinc helps colds.")
    assert checked.conflicting
    assert checked.verdict == "supported"
    assert [one.passage_id for one in checked.supporting] == ["new", "old", "undated"]
    assert [checked.year(one) for one in (*checked.supporting, *checked.contradicting)] == [2020, 1999, None, 2010]
    assert checked.text == (
        "The evidence conflicts: 3 passages support the statement and 1 passage contradicts it. The strongest evidence "
        "supports it."
    )
    assert checked.model_dump(mode="json")["text"] == checked.text


@pytest.mark.parametrize("scored", [True, False])
def test_of_equally_strong_sides_neither_wins(scored: bool) -> None:
    checked = checker(Judge(scored=scored), FOR, AGAINST).invoke("Zinc helps colds.")
    assert (checked.verdict, checked.conflicting) == ("not enough evidence", True)
    assert checked.text.endswith("contradicts it. Neither side is stronger.")
    more = checker(Judge(scored=scored), FOR, AGAINST, ("d", "Zinc fails for many colds.", 2016))
    assert more.invoke("Zinc helps colds.").verdict == "contradicted"


def test_a_window_may_be_stronger_than_the_sentence_that_is_quoted_for_it() -> None:
    class Together(Judge):
        def _one(self, premise: str) -> Judgement | UserError:
            return super()._one(premise.replace("perhaps", "") if "many" in premise else premise)

    documents = [
        ("a", "Perhaps zinc works for colds. It was given to many.", None),
        ("b", "Zinc fails for colds.", None),
    ]
    checked = checker(Together(), *documents, passages=2).invoke("Zinc helps colds.")
    assert checked.verdict == "not enough evidence"  # 0.9 on both sides
    assert checked.supporting[0].quote == "Perhaps zinc works for colds."
    assert checked.supporting[0].score == pytest.approx(0.6)


def test_a_passage_stands_on_the_side_of_its_strongest_sentence() -> None:
    both = ("a", "Perhaps zinc works for colds. Nothing was seen then. But later zinc fails for colds.", None)
    checked = checker(None, both).invoke("Zinc helps colds.")
    assert (checked.verdict, checked.conflicting, checked.supporting) == ("contradicted", False, ())


def test_the_threshold_holds() -> None:
    weak = ("a", "Perhaps zinc works for colds.", None)
    assert checker(None, weak).invoke("Zinc helps colds.").verdict == "supported"
    checked = checker(None, weak, threshold=0.7).invoke("Zinc helps colds.")
    assert (checked.verdict, checked.supporting) == ("not enough evidence", ())
    assert checked.scores["supported"] == pytest.approx(0.6)


def test_headings_questions_and_references_are_no_evidence() -> None:
    text = "# Zinc works for colds\n\nZinc was given. Is it true that zinc works for colds?\n\nReferences\n\n"
    text += "1. Smith J, Doe A. Zinc works for colds. BMJ 2001;12:34-45."
    assert checker(None, ("a", text, None)).invoke("Zinc helps colds.").verdict == "not enough evidence"


def test_a_row_is_judged_with_its_columns() -> None:
    judge = Judge()
    table = "| Drug | Illness | Effect |\n|---|---|---|\n| Zinc | colds | works |\n| Iron | colds | fails |"
    checked = checker(judge, ("t", table, None)).invoke("Zinc helps colds.")
    assert ("Drug: Zinc; Illness: colds; Effect: works", "Zinc helps colds.") in judge.passes[0]
    assert checked.supporting[0].headings == ("Drug", "Illness", "Effect")


def test_a_batch_is_one_pass_and_its_errors_are_apart() -> None:
    judge = Judge()
    retriever = WordRetriever(texts={"a": FOR[1], "b": OPEN[1]}, top_k=2)
    made = make_checker(retriever, judge, CheckConfig(passages=1))
    checked = made.batch(["Zinc works.", " ", {"claim": "x"}, {"statement": "Zinc was given."}], return_exceptions=True)
    assert [type(one) for one in checked] == [Check, UserError, UserError, Check]
    assert "empty" in str(checked[1])
    assert len(judge.passes) == 1
    assert len(retriever.searches) == 1
    with pytest.raises(UserError, match="empty"):
        made.batch(["Zinc works.", ""])


def test_streams_and_coroutines_give_the_same() -> None:
    made = checker(None, FOR)
    whole = made.invoke("Zinc helps colds.")
    assert list(made.stream("Zinc helps colds.")) == [whole]
    assert asyncio.run(made.ainvoke("Zinc helps colds.")) == whole
    assert asyncio.run(made.abatch(["Zinc helps colds."] * 2)) == [whole, whole]
    assert (made | RunnableLambda(lambda checked: checked.verdict)).invoke("Zinc helps colds.") == "supported"


def test_a_context_is_judged_instead_of_what_is_found() -> None:
    checked = checker(None, FOR).invoke({"statement": "Zinc helps colds.", "context": "Here zinc fails for colds."})
    assert (checked.verdict, checked.passages) == (
        "contradicted",
        (Passage(id="context", text="Here zinc fails for colds."),),
    )


def test_callbacks_see_the_search() -> None:
    class Seen(BaseCallbackHandler):
        queries: ClassVar[list[str]] = []

        def on_retriever_start(self, serialized: object, query: str, **_: object) -> None:
            self.queries.append(query)

    checker(None, FOR).invoke("Zinc helps colds.", {"callbacks": [Seen()]})
    assert Seen.queries == ["Zinc helps colds."]


def test_a_sentence_that_refers_back_is_searched_with_the_one_before_and_judged_alone() -> None:
    judge = Judge()
    retriever = WordRetriever(texts={"a": FOR[1]}, top_k=1)
    (checked,) = make_checker(retriever, judge).check_all([Claim("It works.", "Zinc was given. It works.")])
    assert isinstance(checked, Check)
    assert retriever.searches == [["Zinc was given. It works."]]
    assert {hypothesis for _, hypothesis in judge.passes[0]} == {"It works."}


def test_what_cannot_be_judged_is_noted_or_raised() -> None:
    unreadable = ("u", "Unreadable zinc text of colds.", None)
    checked = checker(None, FOR, unreadable, ("v", "Unreadable: zinc helps.", None)).invoke("Zinc helps colds.")
    assert checked.verdict == "supported"
    assert set(checked.notes) == {
        "not all of passage u could be judged: The pair is too long.",
        "not all of passage v could be judged: The server is busy.",
    }
    with pytest.raises(UserError, match="too long"):
        checker(None, unreadable).invoke("Zinc helps colds.")


def test_a_retracted_source_is_noted() -> None:
    documents = [Document(id="a", page_content=FOR[1], metadata={"notice": "Retracted", "title": "Zinc"})]
    checked = make_checker(Dated(documents=documents), Judge()).invoke("Zinc helps colds.")
    assert checked.notes == ("Retracted: Zinc",)


def test_a_judge_with_other_labels_is_refused() -> None:
    with pytest.raises(UserError, match="Map the data's labels"):
        checker(Judge(labels=("yes", "no")), FOR)
