"""Pipelines over the real tiny model and a few of the sample's abstracts."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import medground
from common.errors import UserError
from medground.components import judging_settings
from medground.ingest import Corpus, data_corpus
from medground.pipeline import Pipeline
from medground.service.batching import Batcher
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


def pipeline(settings: Settings, corpus: Corpus) -> Pipeline:
    return Pipeline.from_settings(settings, corpus, quiet=True)


def test_a_conversation_on_the_embedded_default(tmp_path: Path) -> None:
    chat = pipeline(settings(tmp_path), sample("mg0312", "mg0313", "mg0004")).chat()
    id = None
    for message in (QUESTION, "And in women?", "Does it also lower pain score?"):
        *_, done = chat.converse("ann", id, message)
        id = done.conversation
    first, women, pain = chat.conversations.read("ann", id)
    assert (first.text, first.question) == ("No.", QUESTION)
    assert women.question == QUESTION.replace("men", "women")
    assert pain.question == f"Pain? {women.question} Does it also lower pain score?"
    for turn in (first, women, pain):
        assert turn.answer is not None
        assert [passage.id for passage in turn.answer.passages] == ["mg0312"]


def test_whatever_runs_a_model_goes_through_what_shares_it(tmp_path: Path) -> None:
    runs: list[str] = []

    def share(run: Any) -> Any:
        def listening(items: Any) -> Any:
            runs.append(type(items[0]).__name__)
            return run(items)

        return listening

    stated = settings(tmp_path, **{"chain.verify": "report", "chat.rewrite": "llm"})
    chat = pipeline(stated, sample("mg0312")).chat(share)
    chat.reply([chat.reply([], QUESTION)], "And in women?")
    assert runs == ["Question", "Answer", "ChatPromptValue", "Question", "Answer"]


def test_the_user_s_documents_are_quoted_and_follow_ups_understood(tmp_path: Path) -> None:
    few = sample("mg0312", "mg0313")
    chat = pipeline(settings(tmp_path), Corpus("documents", few.passages)).chat()
    turn = chat.reply([chat.reply([], QUESTION)], "And in women?")
    assert turn.question == QUESTION.replace("men", "women")
    assert "itch score" in turn.text
    assert turn.answer is not None
    assert turn.answer.label is None


def test_the_model_rewrites_and_writes_where_it_is_set_to(tmp_path: Path) -> None:
    both = settings(tmp_path, **{"chat.rewrite": "llm", "chat.answers": "written", "chat.max_new_tokens": 6})
    chat = pipeline(both, sample("mg0312")).chat()
    first = chat.reply([], QUESTION)
    assert first.text not in ("No.", "")  # whatever the tiny model writes
    second = chat.reply([first], "And in women?")
    assert second.notes
    assert "read as" in second.notes[-1] or "taken by rules" in second.notes[-1]


def test_a_question_for_a_fact_is_answered_in_writing_alone(tmp_path: Path) -> None:
    config = {"chat.answers": "written", "chat.max_new_tokens": 6, "chain.verify": "report"}
    made = pipeline(settings(tmp_path, **config), sample("mg0312"))
    answer = made.answerer().invoke(f"How much did it fall? {QUESTION}")
    assert answer.label is None
    assert answer.text
    assert not [note for note in answer.notes if "yes, no or maybe" in note]
    assert made.answerer().invoke(QUESTION).label is not None
    assert made.chain(verify="off").invoke("How much did it fall?").label is not None


def test_a_message_stays_as_it_is_where_rewriting_is_off(tmp_path: Path) -> None:
    chat = pipeline(settings(tmp_path, **{"chat.rewrite": False}), sample("mg0312")).chat()
    assert chat.reply([chat.reply([], QUESTION)], "And in women?").question == "And in women?"


def test_report_judges_after_the_answer_and_abstain_before_it(tmp_path: Path) -> None:
    chat = pipeline(settings(tmp_path, **{"chain.verify": "report"}), sample("mg0312")).chat()
    events = list(chat.stream([], QUESTION))
    assert [event.kind for event in events[-3:]] == ["answer", "verdict", "done"]
    assert events[-3].answer.verdict is None  # type: ignore[union-attr]
    chat = pipeline(settings(tmp_path, **{"chain.verify": "abstain"}), sample("mg0312")).chat()
    events = list(chat.stream([], QUESTION))
    assert events[-3].answer.verdict is not None  # type: ignore[union-attr]


def test_verdicts_and_rewritten_questions_share_passes(tmp_path: Path) -> None:
    sizes: list[int] = []
    batcher = Batcher(max_batch=3, max_wait=5, observe=sizes.append)
    stated = {"chain.verify": "report", "chat.rewrite": "llm"}
    chat = pipeline(settings(tmp_path, **stated), sample("mg0312")).chat(batcher.share)
    first = chat.reply  # it is not rewritten
    with ThreadPoolExecutor(3) as pool:
        begun = list(pool.map(lambda _: first([], QUESTION), range(3)))
        assert sizes == [3, 3]
        list(pool.map(lambda turn: chat.reply([turn], "And in women?"), begun))
    assert sizes == [3] * 5
    batcher.close()


def test_a_follow_up_without_room_for_the_model_is_completed_by_rule(tmp_path: Path) -> None:
    chat = pipeline(settings(tmp_path, **{"chat.rewrite": "llm"}), sample("mg0312")).chat()
    history = [chat.reply([], QUESTION)]
    asked = next(chat.stream(history, "And in women? " * 400))
    assert "the model wrote no question; its place was taken by rules" in asked.notes[0]  # type: ignore[union-attr]


def test_the_agent_withholds_without_evidence_and_its_steps_are_in_the_trace(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    set_to = settings(tmp_path, **{"agent.kind": "graph", "agent.trace": str(trace)})
    chat = pipeline(set_to, sample("mg0312", "mg0004", "mg0308", "mg0327")).chat()
    assert chat.reply([], QUESTION).text == "No."
    absent = chat.reply([], "Does jadacoprazole cause an increase in wound infection rate in women with acne?")
    assert absent.text.startswith("No answer is given: none of the passages found is evidence on the question.")
    assert "Searched for: Does jadacoprazole cause" in absent.text
    steps = [json.loads(line) for line in trace.read_text().splitlines()]
    assert [step["kind"] for step in steps[:3]] == ["retrieve", "grade", "answer"]
    assert steps[-1]["kind"] == "withhold"


def test_a_model_that_calls_no_tools_is_told_of_the_other_agent(tmp_path: Path) -> None:
    chat = pipeline(settings(tmp_path, **{"agent.kind": "tools"}), sample("mg0312")).chat()
    text = chat.reply([], QUESTION).text
    assert text.startswith("No answer is given: the model called no search tool (agent.kind graph")


def test_an_agent_must_be_chosen_and_must_search(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"agent\.kind is off"):
        pipeline(settings(tmp_path), sample("mg0312")).agent()
    with pytest.raises(UserError, match=r"Set chain\.context to retrieved"):
        pipeline(settings(tmp_path, **{"agent.kind": "graph", "chain.context": "none"}), sample("mg0312")).chat()


def test_single_questions_are_asked_of_the_agent_too(tmp_path: Path) -> None:
    corpus = sample("mg0312", "mg0004", "mg0308", "mg0327")
    absent = "Does jadacoprazole cause an increase in wound infection rate in women with acne?"
    agent = pipeline(settings(tmp_path, **{"agent.kind": "graph"}), corpus).answerer()
    assert agent.invoke(QUESTION).label == "no"
    assert agent.invoke(absent).text.startswith("No answer is given")
    assert pipeline(settings(tmp_path), corpus).answerer().invoke(absent).label is not None


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ({"agent.kind": "graph"}, "agent.kind is graph, which needs a language model"),
        ({"chat.rewrite": "llm", "chat.answers": "written"}, "chat.rewrite is llm and chat.answers is written, which"),
    ],
)
def test_what_takes_a_model_is_refused_where_answers_are_quotes(
    tmp_path: Path, stated: dict[str, Any], told: str
) -> None:
    documents = Corpus("documents", sample("mg0312").passages)
    with pytest.raises(UserError, match=told):
        pipeline(settings(tmp_path, **stated), documents).chat()
    if "agent.kind" in stated:
        with pytest.raises(UserError, match=told):
            pipeline(settings(tmp_path, **stated), documents).answerer()


def test_summaries_need_a_model_that_writes(tmp_path: Path) -> None:
    set_to, corpus = settings(tmp_path, **{"chain.evidence": "summaries"}), sample("mg0312")
    with pytest.raises(UserError, match=r"medground-tiny writes none\. Set llm\.model"):
        pipeline(set_to, corpus).answerer()
    with pytest.raises(UserError, match="passages are quoted without a language model"):
        pipeline(set_to, Corpus("documents", corpus.passages)).answerer()


def test_quotes_follow_the_setting_of_rewriting_too(tmp_path: Path) -> None:
    documents = Corpus("documents", sample("mg0312").passages)
    chat = pipeline(settings(tmp_path, **{"chat.rewrite": "off"}), documents).chat()
    assert chat.reply([chat.reply([], QUESTION)], "And in women?").question == "And in women?"


def test_what_answers_is_told(tmp_path: Path) -> None:
    corpus = sample("mg0312")
    assert pipeline(settings(tmp_path), corpus).about == {"llm": "medground-tiny", "retriever": "bm25"}
    documents = Corpus("documents", corpus.passages)
    assert pipeline(settings(tmp_path), documents).about == {"llm": "none: quotes", "retriever": "bm25"}
    stated = {"agent.kind": "graph", "chain.context": "none", "llm.model": "some/model"}
    told = {"llm": "some/model", "retriever": "none", "agent": "graph"}
    assert pipeline(settings(tmp_path, **stated), corpus).about == told


@pytest.mark.parametrize("kind", ["off", "graph"])
def test_with_an_agent_nobody_waits_for_the_questions_of_a_pass(tmp_path: Path, kind: str) -> None:
    stated = {"agent.kind": kind, "serve.wait_ms": 1000}
    service = make_service(settings(tmp_path, **stated), sample("mg0312"), quiet=True)
    with ThreadPoolExecutor(4) as pool:
        turns = list(pool.map(service.chat.reply, [[]] * 4, [f"{QUESTION} {number}" for number in range(4)]))
    assert len(turns) == 4
    assert (b'medground_batch_size_bucket{le="1.0"} 4.0' in service.metrics.text()) == (kind == "graph")
    service.stop()


def test_an_adapter_merged_into_medground_tiny_does_not_make_it_read_other_texts(tmp_path: Path) -> None:
    merged = tmp_path / "merged"
    merged.mkdir()
    (merged / "merge.json").write_text('{"base": "embedded"}')
    documents = Corpus("documents", sample("mg0312").passages)
    stated = settings(tmp_path, **{"llm.model": str(merged)})
    assert pipeline(stated, documents).about["llm"] == "none: quotes"
    assert "so your documents are quoted" in (pipeline(stated, documents).note or "")
    (merged / "merge.json").write_text('{"base": "a/real-model"}')
    assert pipeline(stated, documents).about["llm"] == str(merged)
    assert pipeline(stated, documents).note is None


def test_settings_are_taken_in_every_form(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("retriever: bm25\n")
    for stated in (file, str(file), {"retriever": "bm25"}, load_settings(file)):
        assert Pipeline.from_settings(stated).settings == load_settings(file)
    assert Pipeline.from_settings().settings == Settings()
    assert medground.Pipeline is Pipeline


def test_what_is_loaded_is_kept_and_given_retrievers_are_used(tmp_path: Path) -> None:
    first = pipeline(settings(tmp_path), sample("mg0312"))
    assert first.llm is first.llm
    assert first.retriever() is first.retriever("bm25")
    second = Pipeline.from_settings(settings(tmp_path), first.corpus, retrievers=first.retrievers(["bm25"]))
    assert second.retriever("bm25") is first.retriever("bm25")


def test_one_chain_for_each_context_retriever_and_policy(tmp_path: Path) -> None:
    made = pipeline(settings(tmp_path, **{"chain.verify": "report"}), sample("mg0312", "mg0004"))
    asked = {"question": QUESTION, "context": "Itch score fell."}
    assert made.chain("none").invoke(asked).passages == ()
    assert made.chain("gold").invoke(asked).passages[0].text == "Itch score fell."
    assert made.chain().invoke(asked).passages[0].id == "mg0312"
    by_words, by_vectors = (made.chain(retriever=name).invoke(asked).passages[0].score for name in ("bm25", "dense"))
    assert by_vectors <= 1 < by_words
    assert made.chain().invoke(asked).verification is not None
    assert made.chain(verify="off").invoke(asked).verification is None


def test_the_temperature_is_the_judges(tmp_path: Path) -> None:
    made = [pipeline(settings(tmp_path, **{"nli.temperature": one}), sample("mg0312")) for one in ("1", "3")]
    pair = [("Itch score fell with rotesartan.", "Rotesartan lowers itch score.")]
    plain, flatter = (one.judge().judge(pair)[0] for one in made)
    assert max(flatter.label_scores.values()) < max(plain.label_scores.values())
    assert flatter.label == plain.label
    assert made[0].judge().fingerprint != made[1].judge().fingerprint
    assert made[0].chain().invoke(QUESTION) == made[1].chain().invoke(QUESTION)


def test_an_adapter_judges_and_does_not_answer(tmp_path: Path) -> None:
    from checkpoints import make_adapter

    from chains.models.local import EMBEDDED

    adapter = str(make_adapter(EMBEDDED, tmp_path / "adapter", seed=3))
    plain = pipeline(settings(tmp_path), sample("mg0312"))
    adapted = pipeline(settings(tmp_path, **{"nli.adapter": adapter, "chain.verify": "report"}), sample("mg0312"))
    pair = [("Itch score fell with rotesartan.", "Rotesartan lowers itch score.")]
    base, tuned = plain.judge().judge(pair)[0], adapted.judge().judge(pair)[0]
    assert base.label_scores != tuned.label_scores
    assert adapted.judge(adapter=False).judge(pair)[0].label_scores == base.label_scores
    assert adapted.chain(verify="off").invoke(QUESTION) == plain.chain().invoke(QUESTION)
    alone = pipeline(judging_settings(adapted.settings), sample("mg0312"))
    assert alone.judge().judge(pair)[0].label_scores == pytest.approx(tuned.label_scores)
    server = {"llm.kind": "openai", "llm.base_url": "http://localhost:1/v1", "llm.model": "x"}
    with pytest.raises(UserError, match=r"nli\.adapter needs llm\.kind huggingface"):
        judging_settings(settings(tmp_path, **server, **{"nli.adapter": adapter}))
