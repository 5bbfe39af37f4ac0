import re

from chains.answer import Answer, Citation, Passage, Verification
from chains.chat.turn import Turn
from medground.service.evidence import NOTHING, evidence_html

TEXT = "We studied <men>. It fell. It rose."


def cited(start: int, end: int, id: str = "p2") -> Citation:
    return Citation(passage_id=id, quote=TEXT[start:end], start=start, end=end, score=0.5)


def turn(**fields: object) -> Turn:
    passages = (Passage(id="p1", text="Not cited."), Passage(id="p2", text=TEXT, score=0.25))
    answer = Answer(question="Q", text="yes", passages=passages, **fields)
    return Turn(message="Q", question="Q", text="Yes.", answer=answer, notes=("read as: <Q>",))


def test_quotes_are_marked_where_they_stand_and_cited_passages_come_first() -> None:
    html = evidence_html(turn(citations=(cited(0, 17), cited(18, 26))))
    assert [re.sub("<.*?>", "", mark) for mark in re.findall("<mark.*?</mark>", html)] == [
        "We studied &lt;men&gt;.",
        "It fell.",
    ]
    assert html.index("p2") < html.index("p1")
    assert "<details open><summary>[1] [2] p2 <span class='mg-score'>0.250</span>" in html
    assert "<details><summary>p1</summary>" in html
    assert re.sub("<.*?>", "", html).count("We studied &lt;men&gt;. It fell. It rose.") == 1


def test_nothing_from_a_text_is_markup() -> None:
    bad = "<script>alert(1)</script>\"'&"
    answer = Answer(
        question=bad, text=bad, passages=(Passage(id=bad, text=bad, metadata={"title": bad}),), notes=(bad,)
    )
    html = evidence_html(Turn(message=bad, question=bad, text=bad, answer=answer, notes=(bad,)))
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 5


def test_the_verdict_and_the_sentence_that_decided_it() -> None:
    verification = Verification(statement="S", passage_id="p2", sentence=cited(18, 26))
    html = evidence_html(turn(citations=(cited(18, 26),), verdict="contradicted", verification=verification))
    assert "<p class='mg-verdict mg-contradicted' role='status'>✗ contradicted</p>" in html
    assert "<mark class='mg-quote mg-deciding'>It fell.</mark>" in html
    assert "<mark class='mg-deciding'>It fell.</mark>" in evidence_html(turn(verification=verification))
    assert "mg-not" in evidence_html(turn(verdict="not enough evidence"))


def test_overlapping_quotes_leave_the_text_whole() -> None:
    html = evidence_html(turn(citations=(cited(0, 26), cited(18, 26))))
    assert re.sub("<.*?>", "", html).count("We studied &lt;men&gt;. It fell. It rose.") == 1


def test_a_turn_without_evidence() -> None:
    assert evidence_html(None) == NOTHING
    assert evidence_html(Turn(message="Q", question="Q", text="Yes.")) == NOTHING
    assert "read as: &lt;Q&gt;" in evidence_html(turn())
