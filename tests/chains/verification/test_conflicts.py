"""Answers whose passages disagree; ``OverlapNLI`` compares the words of premise and statement."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from overlap_nli import OverlapNLI
from stub_openai import completion, stub_openai

from chains.answer import Answer, Passage, Verification
from chains.config import CheckConfig
from chains.qa.extractive import extractive_chain
from chains.verification.conflicts import add_conflicts
from chains.verification.sentences import SentenceVerifier, prune, with_sentences
from chains.verification.statements import make_checker
from medground.ingest import Corpus
from medground.pipeline import Pipeline
from medground.settings import load_settings
from retrievers.kinds.bm25 import BM25Retriever


def passage(id: str, text: str, **metadata: object) -> Passage:
    return Passage(id=id, text=text, metadata=metadata)


OLD = passage("old", "Forty adults took part. Zinc shortened colds.", year=2001, source="old.pdf")
NEW = passage("new", "Zinc has not shortened colds. It tasted bad.", year=2019, title="A later trial")
MIDDLE = passage("middle", "Zinc shortened colds again.", year="2010-05")
UNDATED = passage("undated", "In winter zinc shortened colds.")
OTHER = passage("other", "Tea was liked by all.")


def with_conflicts(answer: Answer) -> Answer:
    return add_conflicts(make_checker(None, OverlapNLI(), CheckConfig(threshold=0.6)), [answer])[0]


def verified_answer(text: str, *passages: Passage) -> Answer:
    answer = with_sentences(Answer(question="Does zinc help?", text=text, passages=passages))
    return SentenceVerifier(OverlapNLI()).verify([answer])[0]


def test_conflict_and_note_quote_both_sides_newest_first() -> None:
    answer = with_conflicts(verified_answer("Zinc shortened colds [1].", UNDATED, OLD, NEW, MIDDLE))
    (conflict,) = answer.conflicts
    assert conflict.statement == "Zinc shortened colds."
    assert [one.passage_id for one in conflict.supporting] == ["middle", "old", "undated"]
    assert [one.passage_id for one in conflict.contradicting] == ["new"]
    texts = {one.id: one.text for one in answer.passages}
    assert all(
        texts[one.passage_id][one.start : one.end] == one.quote
        for one in (*conflict.supporting, *conflict.contradicting)
    )
    assert answer.notes[-1] == (
        "the evidence conflicts on “Zinc shortened colds”. For: [4] 2010, middle: “Zinc shortened colds again.”; "
        "[2] 2001, old.pdf: “Zinc shortened colds.”; [1] undated: “In winter zinc shortened colds.”. "
        "Against: [3] 2019, A later trial: “Zinc has not shortened colds.”."
    )


@pytest.mark.parametrize(
    ("text", "passages"),
    [
        ("Zinc shortened colds [1].", (OLD, MIDDLE, OTHER)),
        ("Zinc shortened colds [1].", (NEW, OTHER)),
        ("Zinc shortened colds [1].", (OLD,)),
        ("Tea was cheap [1].", (OLD, NEW)),
        ("The passages do not answer the question.", (OLD, NEW)),
    ],
)
def test_agreeing_evidence_is_no_conflict(text: str, passages: tuple[Passage, ...]) -> None:
    agreeing = verified_answer(text, *passages)
    assert with_conflicts(agreeing) == agreeing


@pytest.mark.parametrize("cited", [1, 2])
def test_conflict_with_a_passage_that_the_sentence_does_not_cite_is_reported(cited: int) -> None:
    answer = with_conflicts(
        verified_answer(f"Zinc shortened colds [{cited}]. Tea was liked by all [3].", OLD, NEW, OTHER)
    )
    assert [one.statement for one in answer.conflicts] == ["Zinc shortened colds."]


def test_removed_sentence_keeps_its_conflict() -> None:
    answer = with_conflicts(
        prune(verified_answer("Zinc shortened colds [2]. Tea was liked by all [3].", OLD, NEW, OTHER))
    )
    assert answer.text == "Tea was liked by all [3]."
    assert [one.statement for one in answer.conflicts] == ["Zinc shortened colds."]


def test_statement_of_the_answers_verdict_is_checked_for_conflicts() -> None:
    answer = Answer(
        question="Zinc shortened colds?",
        text="yes",
        label="yes",
        passages=(OLD, NEW),
        verdict="supported",
        verification=Verification(statement="Zinc shortened colds"),
    )
    assert [one.statement for one in with_conflicts(answer).conflicts] == ["Zinc shortened colds"]
    assert with_conflicts(answer.model_copy(update={"verification": None})).conflicts == ()


CORPUS = Corpus("zinc", [Document(id=one.id, page_content=one.text, metadata=one.metadata) for one in (OLD, NEW)])


@pytest.fixture
def url() -> Iterator[str]:
    """A server whose model answers "yes", and judges a premise with "not" as contradiction, else as entailment."""

    def reply(body: Any) -> Any:
        prompt = body["messages"][-1]["content"]
        if "Statement: " not in prompt:
            return 200, completion("yes")
        return 200, completion("contradiction" if " not " in prompt.split("Text:")[1] else "entailment")

    with stub_openai(reply) as stub:
        yield stub.url


def make_pipeline(folder: Path, settings: dict[str, Any]) -> Pipeline:
    """A pipeline over ``CORPUS`` with its files in ``folder``."""
    paths = {"chat.path": str(folder / "chat.sqlite3"), "store.path": str(folder / "store")}
    all_settings = load_settings(None, {}, {**settings, **paths, "retriever": "bm25"})
    return Pipeline.from_settings(all_settings, CORPUS, quiet=True)


def test_pipeline_and_chat_report_conflicts_if_answers_are_verified(url: str, tmp_path: Path) -> None:
    def ask(verify: str) -> list[Answer | None]:
        llm = {"llm.kind": "openai", "llm.base_url": url, "llm.model": "stub"}
        chain = {"chain.passages": 2, "chain.verify": verify, "chain.decide": "generate"}
        pipeline = make_pipeline(tmp_path, {**llm, **chain, "chat.answers": "brief"})
        question = "Has zinc shortened colds?"
        return [pipeline.answerer().invoke(question), pipeline.chat().reply([], question).answer]

    for answer in ask("report"):
        assert [{one.passage_id for one in answer.conflicts[0].supporting}] == [{"old"}]
        assert [note.startswith("the evidence conflicts on ") for note in answer.notes] == [True]
        assert json.loads(answer.model_dump_json())["conflicts"]
    assert [answer.conflicts for answer in ask("off") if answer is not None] == [(), ()]


def extractive_answer(question: str, *passages: Passage) -> Answer:
    """An extractive answer, with the conflicts of its quotes."""
    retriever = BM25Retriever([Document(id=one.id, page_content=one.text, metadata=one.metadata) for one in passages])
    checker = make_checker(None, OverlapNLI(), CheckConfig(threshold=0.6))
    return add_conflicts(checker, [extractive_chain(retriever).invoke(question)], quotes=True)[0]


@pytest.mark.parametrize("question", ["Has zinc shortened colds?", "What shortened colds?", "zinc shortened colds"])
def test_contradicting_quotes_are_one_conflict(question: str) -> None:
    answer = extractive_answer(question, OLD, NEW, OTHER)
    assert {"Zinc shortened colds.", "Zinc has not shortened colds."} <= {one.quote for one in answer.citations}
    (conflict,) = answer.conflicts
    assert {side[0].passage_id for side in (conflict.supporting, conflict.contradicting)} == {"old", "new"}
    (note,) = [note for note in answer.notes if note.startswith("the evidence conflicts on ")]
    assert "old.pdf: “Zinc shortened colds.”" in note
    assert "A later trial: “Zinc has not shortened colds.”" in note
    assert answer.verdict is None


@pytest.mark.parametrize("passages", [(OLD, MIDDLE, OTHER), (NEW, OTHER), (OLD,)])
def test_agreeing_quotes_are_no_conflict(passages: tuple[Passage, ...]) -> None:
    answer = extractive_answer("Has zinc shortened colds?", *passages)
    assert answer.citations
    assert answer.conflicts == ()
    assert not any("conflict" in note for note in answer.notes)


@pytest.mark.parametrize(("verify", "count"), [("report", 1), ("off", 0)])
def test_extractive_answers_report_conflicts_if_an_encoder_verifies(
    verify: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pipeline, "judge", lambda _: OverlapNLI())
    judge = {"nli.kind": "encoder", "nli.model": "judge", "chain.verify": verify}
    pipeline = make_pipeline(tmp_path, {"llm.kind": "extractive", **judge})
    question = "Has zinc shortened colds?"
    for answer in (pipeline.answerer().invoke(question), pipeline.chat().reply([], question).answer):
        assert len(answer.conflicts) == count
        assert sum(note.startswith("the evidence conflicts on ") for note in answer.notes) == count
