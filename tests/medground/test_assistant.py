"""Chats and agents over the real tiny model and a few of the sample's abstracts."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from common.errors import UserError
from medground.assemble import load_models, make_retrievers, reader_note
from medground.assistant import about, make_agent, make_answering, make_chat
from medground.corpora import Corpus, data_corpus
from medground.service.batching import Passes
from medground.service.run import make_service
from medground.settings import Settings, load_settings

QUESTION = "Is itch score decreased by rotesartan in men with breast cancer?"


def settings(tmp_path: Path, **more: Any) -> Settings:
    here = {
        "store.path": str(tmp_path / "store"),
        "chat.path": str(tmp_path / "c.sqlite3"),
        "retriever": "bm25",
        "llm.dtype": "float32",
    }
    return load_settings(None, {**here, **more})


def sample(*ids: str) -> Corpus:
    whole = data_corpus(load_settings())
    return Corpus("few", [one for one in whole.passages if one.id in ids])


def test_a_conversation_on_the_embedded_default(tmp_path: Path) -> None:
    chat = make_chat(settings(tmp_path), sample("mg0312", "mg0313", "mg0004"), quiet=True)
    id = None
    for message in (QUESTION, "And in women?", "Does it also lower pain score?"):
        *_, done = chat.converse("ann", id, message)
        id = done.conversation
    first, women, pain = chat.conversations.read("ann", id)
    assert (first.text, first.question) == ("No.", QUESTION)
    assert women.question == QUESTION.replace("men", "women")
    assert pain.question == "Does rotesartan also lower pain score in women with breast cancer?"
    for turn in (first, women, pain):
        assert turn.answer is not None
        assert [passage.id for passage in turn.answer.passages] == ["mg0312"]


def test_a_wrapped_chain_is_what_is_asked(tmp_path: Path) -> None:
    asked: list[str] = []

    def wrap(chain: Any) -> Any:
        answer_all = chain.answer_all

        def listening(questions: Any) -> Any:
            asked.extend(question.text for question in questions)
            return answer_all(questions)

        chain.answer_all = listening
        return chain

    make_chat(settings(tmp_path), sample("mg0312"), quiet=True, wrap=wrap).reply([], QUESTION)
    assert asked == [QUESTION]


def test_the_user_s_documents_are_quoted_and_follow_ups_understood(tmp_path: Path) -> None:
    few = sample("mg0312", "mg0313")
    chat = make_chat(settings(tmp_path), Corpus("documents", few.passages), quiet=True)
    turn = chat.reply([chat.reply([], QUESTION)], "And in women?")
    assert turn.question == QUESTION.replace("men", "women")
    assert "itch score" in turn.text
    assert turn.answer is not None
    assert turn.answer.label is None


def test_the_model_rewrites_and_writes_where_it_is_set_to(tmp_path: Path) -> None:
    both = settings(tmp_path, **{"chat.rewrite": "llm", "chat.answers": "written", "chat.max_new_tokens": 6})
    chat = make_chat(both, sample("mg0312"), quiet=True)
    first = chat.reply([], QUESTION)
    assert first.text not in ("No.", "")  # whatever the tiny model writes
    second = chat.reply([first], "And in women?")
    assert second.notes
    assert "read as" in second.notes[-1] or "taken by rules" in second.notes[-1]


def test_a_message_stays_as_it_is_where_rewriting_is_off(tmp_path: Path) -> None:
    chat = make_chat(settings(tmp_path, **{"chat.rewrite": False}), sample("mg0312"), quiet=True)
    assert chat.reply([chat.reply([], QUESTION)], "And in women?").question == "And in women?"


def test_report_judges_after_the_answer_and_abstain_before_it(tmp_path: Path) -> None:
    chat = make_chat(settings(tmp_path, **{"chain.verify": "report"}), sample("mg0312"), quiet=True)
    events = list(chat.stream([], QUESTION))
    assert [event.kind for event in events[-3:]] == ["answer", "verdict", "done"]
    assert events[-3].answer.verdict is None  # type: ignore[union-attr]
    chat = make_chat(settings(tmp_path, **{"chain.verify": "abstain"}), sample("mg0312"), quiet=True)
    events = list(chat.stream([], QUESTION))
    assert events[-3].answer.verdict is not None  # type: ignore[union-attr]


def test_verdicts_and_rewritten_questions_share_passes(tmp_path: Path) -> None:
    sizes: list[int] = []
    passes = Passes(most=3, wait=5, observe=sizes.append)
    stated = {"chain.verify": "report", "chat.rewrite": "llm"}
    chat = make_chat(settings(tmp_path, **stated), sample("mg0312"), quiet=True, share=passes.share)
    first = chat.reply  # neither waits for others: nothing is rewritten first, and only the verdict is shared
    with ThreadPoolExecutor(3) as pool:
        begun = list(pool.map(lambda _: first([], QUESTION), range(3)))
        assert sizes == [3]
        list(pool.map(lambda turn: chat.reply([turn], "And in women?"), begun))
    assert sizes == [3, 3, 3]
    passes.close()


def test_a_follow_up_without_room_for_the_model_is_completed_by_rule(tmp_path: Path) -> None:
    chat = make_chat(settings(tmp_path, **{"chat.rewrite": "llm"}), sample("mg0312"), quiet=True)
    history = [chat.reply([], QUESTION)]
    asked = next(chat.stream(history, "And in women? " * 400))
    assert "the model wrote no question; its place was taken by rules" in asked.notes[0]  # type: ignore[union-attr]


def test_the_agent_withholds_without_evidence_and_its_steps_are_in_the_trace(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    set_to = settings(tmp_path, **{"agent.kind": "graph", "agent.trace": str(trace)})
    chat = make_chat(set_to, sample("mg0312", "mg0004", "mg0308", "mg0327"), quiet=True)
    assert chat.reply([], QUESTION).text == "No."
    absent = chat.reply([], "Does jadacoprazole cause an increase in wound infection rate in women with acne?")
    assert absent.text.startswith("No answer is given: no passage that was found is evidence on the question.")
    assert "Searched for: Does jadacoprazole cause" in absent.text
    steps = [json.loads(line) for line in trace.read_text().splitlines()]
    assert [step["kind"] for step in steps[:3]] == ["retrieve", "grade", "answer"]
    assert steps[-1]["kind"] == "withhold"


def test_a_model_that_calls_no_tools_is_told_of_the_other_agent(tmp_path: Path) -> None:
    chat = make_chat(settings(tmp_path, **{"agent.kind": "tools"}), sample("mg0312"), quiet=True)
    text = chat.reply([], QUESTION).text
    assert text.startswith("No answer is given: the model called no tool to search with (agent.kind graph")


def test_an_agent_must_be_chosen_and_must_search(tmp_path: Path) -> None:
    off = settings(tmp_path)
    models = load_models(off)
    retriever = make_retrievers(off, sample("mg0312"), ["bm25"], quiet=True)["bm25"]
    with pytest.raises(UserError, match=r"agent\.kind is off"):
        make_agent(off, models, retriever)
    with pytest.raises(UserError, match=r"Set chain\.context to retrieved"):
        make_chat(settings(tmp_path, **{"agent.kind": "graph", "chain.context": "none"}), sample("mg0312"), quiet=True)


def test_single_questions_are_asked_of_the_agent_too(tmp_path: Path) -> None:
    corpus = sample("mg0312", "mg0004", "mg0308", "mg0327")
    absent = "Does jadacoprazole cause an increase in wound infection rate in women with acne?"
    agent = make_answering(settings(tmp_path, **{"agent.kind": "graph"}), corpus, quiet=True)
    assert agent.invoke(QUESTION).label == "no"
    assert agent.invoke(absent).text.startswith("No answer is given")
    assert make_answering(settings(tmp_path), corpus, quiet=True).invoke(absent).label is not None


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ({"agent.kind": "graph"}, "agent.kind is graph, which takes a language model"),
        ({"chat.rewrite": "llm", "chat.answers": "written"}, "chat.rewrite is llm and chat.answers is written, which"),
    ],
)
def test_what_takes_a_model_is_refused_where_answers_are_quotes(
    tmp_path: Path, stated: dict[str, Any], told: str
) -> None:
    documents = Corpus("documents", sample("mg0312").passages)
    with pytest.raises(UserError, match=told):
        make_chat(settings(tmp_path, **stated), documents, quiet=True)
    if "agent.kind" in stated:
        with pytest.raises(UserError, match=told):
            make_answering(settings(tmp_path, **stated), documents, quiet=True)


def test_quotes_follow_the_setting_of_rewriting_too(tmp_path: Path) -> None:
    documents = Corpus("documents", sample("mg0312").passages)
    chat = make_chat(settings(tmp_path, **{"chat.rewrite": "off"}), documents, quiet=True)
    assert chat.reply([chat.reply([], QUESTION)], "And in women?").question == "And in women?"


def test_what_answers_is_told(tmp_path: Path) -> None:
    corpus = sample("mg0312")
    assert about(settings(tmp_path), corpus) == {"llm": "medground-tiny", "retriever": "bm25"}
    documents = Corpus("documents", corpus.passages)
    assert about(settings(tmp_path), documents) == {"llm": "none: quotes", "retriever": "bm25"}
    stated = {"agent.kind": "graph", "chain.context": "none", "llm.model": "some/model"}
    told = {"llm": "some/model", "retriever": "none", "agent": "graph"}
    assert about(settings(tmp_path, **stated), corpus) == told


@pytest.mark.parametrize("kind", ["off", "graph"])
def test_with_an_agent_nobody_waits_for_the_questions_of_a_pass(tmp_path: Path, kind: str) -> None:
    stated = {"agent.kind": kind, "serve.wait_ms": 1000}
    service = make_service(settings(tmp_path, **stated), sample("mg0312"), quiet=True)
    with ThreadPoolExecutor(4) as pool:
        turns = list(pool.map(service.chat.reply, [[]] * 4, [f"{QUESTION} {number}" for number in range(4)]))
    assert len(turns) == 4
    assert ('medground_batch_size_bucket{le="1.0"} 4' in service.metrics.text({})) == (kind == "graph")
    service.stop()


def test_an_adapter_merged_into_medground_tiny_does_not_make_it_read_other_texts(tmp_path: Path) -> None:
    merged = tmp_path / "merged"
    merged.mkdir()
    (merged / "merge.json").write_text('{"base": "embedded"}')
    documents = Corpus("documents", sample("mg0312").passages)
    stated = settings(tmp_path, **{"llm.model": str(merged)})
    assert about(stated, documents)["llm"] == "none: quotes"
    assert "so your documents are quoted" in (reader_note(stated, documents) or "")
    (merged / "merge.json").write_text('{"base": "a/real-model"}')
    assert about(stated, documents)["llm"] == str(merged)
    assert reader_note(stated, documents) is None
