"""Statements checked against passages; the judge looks for the words "works" and "fails".

A window is a sentence of a passage, alone or with its neighbours.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda
from word_retriever import WordRetriever

from chains.answer import Passage
from chains.config import CheckConfig
from chains.nli import Judgement, NLIModel, Pair
from chains.verification.statements import Check, Checker, Claim, make_checker
from common.errors import UserError

STATEMENT = "Zinc helps colds."
LABELS = ("entailment", "contradiction", "neutral")
SCORES = {"for": (0.9, 0.05, 0.05), "against": (0.05, 0.9, 0.05), "neutral": (0.1, 0.1, 0.8)}
UNCERTAIN_SCORES = {"for": (0.6, 0.2, 0.2), "against": (0.2, 0.6, 0.2), "neutral": (0.1, 0.1, 0.8)}


class KeywordNLI(NLIModel):
    """Judges a premise with "works" as entailment and with "fails" as contradiction, less surely with "perhaps".

    A premise with "unreadable" gives an error: "too long" if it has "colds", otherwise "busy".
    """

    def __init__(self, *, scored: bool = True, labels: Sequence[str] = LABELS):
        self.labels = tuple(labels)
        self.calls: list[list[Pair]] = []
        self._scored = scored

    def judge(self, pairs: Sequence[Pair]) -> list[Judgement | UserError]:
        self.calls.append(list(pairs))
        return [self._judge_premise(premise.lower()) for premise, _ in pairs]

    def _judge_premise(self, premise: str) -> Judgement | UserError:
        if "unreadable" in premise:
            return UserError("The pair is too long." if "colds" in premise else "The server is busy.")
        side = "for" if "works" in premise else "against" if "fails" in premise else "neutral"
        scores = dict(zip(LABELS, (UNCERTAIN_SCORES if "perhaps" in premise else SCORES)[side], strict=True))
        label = max(scores, key=scores.__getitem__)
        return Judgement(label=label, label_scores=scores if self._scored else {})


def checker_of(*documents: tuple[str, str, int | None], judge: NLIModel | None = None, **config: Any) -> Checker:
    """A checker over documents, given as id, text and year."""
    retrieved = [
        Document(id=id, page_content=text, metadata={"year": year} if year else {}) for id, text, year in documents
    ]
    return make_checker(RunnableLambda(lambda _: retrieved), judge or KeywordNLI(), CheckConfig(**config))


def check_statement(*documents: tuple[str, str, int | None], judge: NLIModel | None = None, **config: Any) -> Check:
    return checker_of(*documents, judge=judge, **config).invoke(STATEMENT)


FOR = ("a", "Adults were seen. Zinc works for colds. All went home.", 2001)
AGAINST = ("b", "Children were seen. Zinc fails for colds. Some stayed.", 2015)
NEUTRAL = ("c", "Zinc was given for colds.", None)


@pytest.mark.parametrize(
    ("documents", "verdict", "text"),
    [
        ([FOR, NEUTRAL], "supported", "Supported by 1 passage."),
        ([AGAINST, NEUTRAL], "contradicted", "Contradicted by 1 passage."),
        ([NEUTRAL], "not enough evidence", "Not enough evidence: the passage found does not decide the statement."),
        ([], "not enough evidence", "Not enough evidence: no passage was found."),
    ],
)
@pytest.mark.parametrize("scored", [True, False])
def test_verdict_and_text_of_a_check(
    documents: list[tuple[str, str, int | None]], verdict: str, text: str, scored: bool
) -> None:
    check = check_statement(*documents, judge=KeywordNLI(scored=scored))
    assert (check.verdict, check.text, check.conflicting) == (verdict, text, False)
    assert [one.id for one in check.passages] == [id for id, _, _ in documents]
    if scored and documents:
        assert max(check.scores, key=check.scores.__getitem__) == verdict
        assert sum(check.scores.values()) == pytest.approx(1)
    else:
        assert check.scores == {}


def test_shortest_deciding_window_is_quoted() -> None:
    check = check_statement(FOR, AGAINST)
    (pro,), (con,) = check.supporting, check.contradicting
    assert (pro.passage_id, pro.quote, pro.score) == ("a", "Zinc works for colds.", pytest.approx(0.9))
    assert (con.passage_id, con.quote) == ("b", "Zinc fails for colds.")
    assert FOR[1][pro.start : pro.end] == pro.quote


def test_sentence_with_its_neighbour_is_quoted_if_no_sentence_decides_alone() -> None:
    class BothSentencesNLI(KeywordNLI):
        def _judge_premise(self, premise: str) -> Judgement | UserError:
            has_both_sentences = "zinc" in premise and "shorter" in premise
            return super()._judge_premise("works" if has_both_sentences else premise)

    text = "Zinc was given for colds. The colds were shorter. Nothing else was seen."
    check = checker_of(("a", text, None), judge=BothSentencesNLI()).invoke("Zinc makes colds shorter.")
    assert check.verdict == "supported"
    assert check.supporting[0].quote == "Zinc was given for colds. The colds were shorter."


def test_conflicting_evidence_is_quoted_newest_first_and_reported() -> None:
    documents = [
        ("old", "Zinc works for colds.", 1999),
        ("new", "Zinc works for colds too.", 2020),
        ("undated", "In colds zinc works.", None),
        ("against", "Perhaps zinc fails for colds.", 2010),
    ]
    check = check_statement(*documents)
    assert check.conflicting
    assert check.verdict == "supported"
    assert [one.passage_id for one in check.supporting] == ["new", "old", "undated"]
    assert [check.year(one) for one in (*check.supporting, *check.contradicting)] == [2020, 1999, None, 2010]
    assert check.text == (
        "The evidence conflicts: 3 passages support the statement and 1 passage contradicts it. The strongest evidence "
        "supports it."
    )
    assert check.model_dump(mode="json")["text"] == check.text


@pytest.mark.parametrize("scored", [True, False])
def test_equally_strong_sides_give_not_enough_evidence(scored: bool) -> None:
    judge = KeywordNLI(scored=scored)
    check = check_statement(FOR, AGAINST, judge=judge)
    assert (check.verdict, check.conflicting) == ("not enough evidence", True)
    assert check.text.endswith("contradicts it. Neither side is stronger.")
    two_against_one = check_statement(FOR, AGAINST, ("d", "Zinc fails for many colds.", 2016), judge=judge)
    assert two_against_one.verdict == "contradicted"


def test_strongest_window_decides_the_verdict_and_shortest_is_quoted() -> None:
    class SureWithManyNLI(KeywordNLI):
        """Ignores "perhaps" in a premise with "many"."""

        def _judge_premise(self, premise: str) -> Judgement | UserError:
            return super()._judge_premise(premise.replace("perhaps", "") if "many" in premise else premise)

    documents = [
        ("a", "Perhaps zinc works for colds. It was given to many.", None),
        ("b", "Zinc fails for colds.", None),
    ]
    check = check_statement(*documents, passages=2, judge=SureWithManyNLI())
    assert check.verdict == "not enough evidence"  # because the strongest windows have 0.9 on both sides
    assert check.supporting[0].quote == "Perhaps zinc works for colds."
    assert check.supporting[0].score == pytest.approx(0.6)


def test_strongest_sentence_decides_the_side_of_a_passage() -> None:
    mixed_passage = ("a", "Perhaps zinc works for colds. Nothing was seen then. But later zinc fails for colds.", None)
    check = check_statement(mixed_passage)
    assert (check.verdict, check.conflicting, check.supporting) == ("contradicted", False, ())


def test_evidence_below_the_threshold_does_not_count() -> None:
    uncertain = ("a", "Perhaps zinc works for colds.", None)
    assert check_statement(uncertain).verdict == "supported"
    check = check_statement(uncertain, threshold=0.7)
    assert (check.verdict, check.supporting) == ("not enough evidence", ())
    assert check.scores["supported"] == pytest.approx(0.6)


def test_headings_questions_and_references_are_no_evidence() -> None:
    text = "# Zinc works for colds\n\nZinc was given. Is it true that zinc works for colds?\n\nReferences\n\n"
    text += "1. Smith J, Doe A. Zinc works for colds. BMJ 2001;12:34-45."
    assert check_statement(("a", text, None)).verdict == "not enough evidence"


def test_table_row_is_judged_with_its_column_headings() -> None:
    judge = KeywordNLI()
    table = "| Drug | Illness | Effect |\n|---|---|---|\n| Zinc | colds | works |\n| Iron | colds | fails |"
    check = check_statement(("t", table, None), judge=judge)
    assert ("Drug: Zinc; Illness: colds; Effect: works", STATEMENT) in judge.calls[0]
    assert check.supporting[0].headings == ("Drug", "Illness", "Effect")


def test_batch_searches_and_judges_once_and_returns_errors_in_place() -> None:
    judge = KeywordNLI()
    retriever = WordRetriever(texts={"a": FOR[1], "b": NEUTRAL[1]}, top_k=2)
    checker = make_checker(retriever, judge, CheckConfig(passages=1))
    inputs = ["Zinc works.", " ", {"claim": "x"}, {"statement": "Zinc was given."}]
    results = checker.batch(inputs, return_exceptions=True)
    assert [type(result) for result in results] == [Check, UserError, UserError, Check]
    assert "empty" in str(results[1])
    assert len(judge.calls) == 1
    assert len(retriever.searches) == 1
    with pytest.raises(UserError, match="empty"):
        checker.batch(["Zinc works.", ""])


def test_context_is_judged_instead_of_retrieved_passages() -> None:
    check = checker_of(FOR).invoke({"statement": STATEMENT, "context": "Here zinc fails for colds."})
    assert (check.verdict, check.passages) == (
        "contradicted",
        (Passage(id="context", text="Here zinc fails for colds."),),
    )


def test_callbacks_receive_the_query() -> None:
    class QueryRecorder(BaseCallbackHandler):
        queries: ClassVar[list[str]] = []

        def on_retriever_start(self, serialized: object, query: str, **_: object) -> None:
            self.queries.append(query)

    checker = make_checker(WordRetriever(texts={"a": FOR[1]}), KeywordNLI())
    checker.invoke(STATEMENT, {"callbacks": [QueryRecorder()]})
    assert QueryRecorder.queries == [STATEMENT]


def test_query_is_searched_and_statement_is_judged() -> None:
    judge = KeywordNLI()
    retriever = WordRetriever(texts={"a": FOR[1]}, top_k=1)
    (check,) = make_checker(retriever, judge).check_all([Claim("It works.", "Zinc was given. It works.")])
    assert isinstance(check, Check)
    assert retriever.searches == [["Zinc was given. It works."]]
    assert {hypothesis for _, hypothesis in judge.calls[0]} == {"It works."}


def test_texts_that_cannot_be_judged_are_noted_or_raise() -> None:
    unjudgeable = ("u", "Unreadable zinc text of colds.", None)
    check = check_statement(FOR, unjudgeable, ("v", "Unreadable: zinc helps.", None))
    assert check.verdict == "supported"
    assert set(check.notes) == {
        "not all of passage u could be judged: The pair is too long.",
        "not all of passage v could be judged: The server is busy.",
    }
    with pytest.raises(UserError, match="too long"):
        check_statement(unjudgeable)


def test_retracted_document_is_noted() -> None:
    documents = [Document(id="a", page_content=FOR[1], metadata={"notice": "Retracted", "title": "Zinc"})]
    check = make_checker(RunnableLambda(lambda _: documents), KeywordNLI()).invoke(STATEMENT)
    assert check.notes == ("Retracted: Zinc",)


def test_make_checker_refuses_a_judge_with_other_labels() -> None:
    with pytest.raises(UserError, match="Map the data's labels"):
        checker_of(FOR, judge=KeywordNLI(labels=("yes", "no")))
