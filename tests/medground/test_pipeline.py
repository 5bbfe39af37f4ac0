"""Pipelines over medground-tiny and a few of the sample's abstracts."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import medground
from common.errors import UserError
from medground.components import judging_settings
from medground.ingest import DOCUMENTS, Corpus, data_corpus
from medground.pipeline import Pipeline
from medground.service.batching import Batcher
from medground.service.run import make_service
from medground.settings import Settings, load_settings

QUESTION = "Is itch score decreased by rotesartan in men with breast cancer?"  # the abstract mg0312 answers it
UNANSWERABLE = "Does jadacoprazole cause an increase in wound infection rate in women with acne?"


def settings(tmp_path: Path, **overrides: Any) -> Settings:
    defaults = {
        "store.path": str(tmp_path / "store"),
        "chat.path": str(tmp_path / "c.sqlite3"),
        "retriever": "bm25",
        "llm.dtype": "float32",
    }
    return load_settings(None, {**defaults, **overrides})


def sample(*ids: str) -> Corpus:
    """A corpus of some of the sample's abstracts."""
    return Corpus("few", [passage for passage in data_corpus(load_settings()).passages if passage.id in ids])


def user_documents(*ids: str) -> Corpus:
    """A corpus of the user's documents, which medground-tiny does not read; their texts are abstracts of the sample."""
    return Corpus(DOCUMENTS, sample(*ids).passages)


def pipeline(settings: Settings, corpus: Corpus) -> Pipeline:
    return Pipeline.from_settings(settings, corpus, quiet=True)


def test_chat_completes_follow_up_questions(tmp_path: Path) -> None:
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


def test_share_is_applied_to_answering_judging_and_rewriting(tmp_path: Path) -> None:
    item_types: list[str] = []

    def share(run: Any) -> Any:
        def recorded(items: Any) -> Any:
            item_types.append(type(items[0]).__name__)
            return run(items)

        return recorded

    config = settings(tmp_path, **{"chain.verify": "report", "chat.rewrite": "llm"})
    chat = pipeline(config, sample("mg0312")).chat(share)
    chat.reply([chat.reply([], QUESTION)], "And in women?")
    # Answer and verdict of the first question; rewriting, answer and verdict of the follow-up
    assert item_types == ["Question", "Answer", "ChatPromptValue", "Question", "Answer"]


def test_chat_quotes_user_s_documents_and_completes_follow_ups(tmp_path: Path) -> None:
    chat = pipeline(settings(tmp_path), user_documents("mg0312", "mg0313")).chat()
    turn = chat.reply([chat.reply([], QUESTION)], "And in women?")
    assert turn.question == QUESTION.replace("men", "women")
    assert "itch score" in turn.text
    assert turn.answer is not None
    assert turn.answer.label is None


def test_model_rewrites_follow_ups_and_writes_answers_if_set(tmp_path: Path) -> None:
    config = settings(tmp_path, **{"chat.rewrite": "llm", "chat.answers": "written", "chat.max_new_tokens": 6})
    chat = pipeline(config, sample("mg0312")).chat()
    first = chat.reply([], QUESTION)
    assert first.text not in ("No.", "")  # any text, and not the label
    second = chat.reply([first], "And in women?")
    assert second.notes
    assert "read as" in second.notes[-1] or "taken by rules" in second.notes[-1]


def test_written_answer_to_an_open_question_has_no_label(tmp_path: Path) -> None:
    config = {"chat.answers": "written", "chat.max_new_tokens": 6, "chain.verify": "report"}
    written = pipeline(settings(tmp_path, **config), sample("mg0312"))
    answer = written.answerer().invoke(f"How much did it fall? {QUESTION}")
    assert answer.label is None
    assert answer.text
    assert not [note for note in answer.notes if "yes, no or maybe" in note]
    assert written.answerer().invoke(QUESTION).label is not None
    assert written.chain(verify="off").invoke("How much did it fall?").label is not None


@pytest.mark.parametrize("corpus", [sample, user_documents])
@pytest.mark.parametrize("off", ["off", False])  # YAML reads off as false
def test_follow_up_is_not_rewritten_if_rewriting_is_off(
    tmp_path: Path, off: object, corpus: Callable[[str], Corpus]
) -> None:
    chat = pipeline(settings(tmp_path, **{"chat.rewrite": off}), corpus("mg0312")).chat()
    assert chat.reply([chat.reply([], QUESTION)], "And in women?").question == "And in women?"


def test_policy_report_verifies_after_the_answer_event_and_policy_abstain_before_it(tmp_path: Path) -> None:
    chat = pipeline(settings(tmp_path, **{"chain.verify": "report"}), sample("mg0312")).chat()
    events = list(chat.stream([], QUESTION))
    assert [event.kind for event in events[-3:]] == ["answer", "verdict", "done"]
    assert events[-3].answer.verdict is None  # type: ignore[union-attr]
    chat = pipeline(settings(tmp_path, **{"chain.verify": "abstain"}), sample("mg0312")).chat()
    events = list(chat.stream([], QUESTION))
    assert events[-3].answer.verdict is not None  # type: ignore[union-attr]


def test_verdicts_and_rewritten_questions_are_batched(tmp_path: Path) -> None:
    sizes: list[int] = []
    batcher = Batcher(max_batch=3, max_wait=5, observe=sizes.append)
    overrides = {"chain.verify": "report", "chat.rewrite": "llm"}
    chat = pipeline(settings(tmp_path, **overrides), sample("mg0312")).chat(batcher.share)
    with ThreadPoolExecutor(3) as pool:
        turns = list(pool.map(lambda _: chat.reply([], QUESTION), range(3)))
        assert sizes == [3, 3]  # answers and verdicts
        list(pool.map(lambda turn: chat.reply([turn], "And in women?"), turns))
    assert sizes == [3] * 5  # and rewritten questions, answers and verdicts
    batcher.close()


def test_follow_up_beyond_the_context_window_is_completed_by_rules(tmp_path: Path) -> None:
    chat = pipeline(settings(tmp_path, **{"chat.rewrite": "llm"}), sample("mg0312")).chat()
    history = [chat.reply([], QUESTION)]
    event = next(chat.stream(history, "And in women? " * 400))
    assert "the model wrote no question; its place was taken by rules" in event.notes[0]  # type: ignore[union-attr]


def test_agent_abstains_without_evidence_and_writes_its_steps_to_the_trace(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    config = settings(tmp_path, **{"agent.kind": "graph", "agent.trace": str(trace)})
    chat = pipeline(config, sample("mg0312", "mg0004", "mg0308", "mg0327")).chat()
    assert chat.reply([], QUESTION).text == "No."
    abstention = chat.reply([], UNANSWERABLE)
    assert abstention.text.startswith("No answer is given: none of the passages found is evidence on the question.")
    assert "Searched for: Does jadacoprazole cause" in abstention.text
    steps = [json.loads(line) for line in trace.read_text().splitlines()]
    assert [step["kind"] for step in steps[:3]] == ["retrieve", "grade", "answer"]
    assert steps[-1]["kind"] == "withhold"


def test_tool_agent_recommends_graph_if_the_model_calls_no_tool(tmp_path: Path) -> None:
    chat = pipeline(settings(tmp_path, **{"agent.kind": "tools"}), sample("mg0312")).chat()
    text = chat.reply([], QUESTION).text
    assert text.startswith("No answer is given: the model called no search tool (agent.kind graph")


def test_agent_needs_an_agent_kind_and_retrieved_context(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"agent\.kind is off"):
        pipeline(settings(tmp_path), sample("mg0312")).agent()
    with pytest.raises(UserError, match=r"Set chain\.context to retrieved"):
        pipeline(settings(tmp_path, **{"agent.kind": "graph", "chain.context": "none"}), sample("mg0312")).chat()


def test_answerer_is_the_agent_if_agent_kind_is_set(tmp_path: Path) -> None:
    corpus = sample("mg0312", "mg0004", "mg0308", "mg0327")
    agent = pipeline(settings(tmp_path, **{"agent.kind": "graph"}), corpus).answerer()
    assert agent.invoke(QUESTION).label == "no"
    assert agent.invoke(UNANSWERABLE).text.startswith("No answer is given")
    assert pipeline(settings(tmp_path), corpus).answerer().invoke(UNANSWERABLE).label is not None


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"agent.kind": "graph"}, "agent.kind is graph, which needs a language model"),
        ({"chat.rewrite": "llm", "chat.answers": "written"}, "chat.rewrite is llm and chat.answers is written, which"),
    ],
)
def test_settings_that_need_a_language_model_are_refused_if_answers_are_quotes(
    tmp_path: Path, overrides: dict[str, Any], message: str
) -> None:
    extractive = pipeline(settings(tmp_path, **overrides), user_documents("mg0312"))
    with pytest.raises(UserError, match=message):
        extractive.chat()
    if "agent.kind" in overrides:
        with pytest.raises(UserError, match=message):
            extractive.answerer()


def test_summaries_need_a_model_that_writes_them(tmp_path: Path) -> None:
    config = settings(tmp_path, **{"chain.evidence": "summaries"})
    with pytest.raises(UserError, match=r"medground-tiny writes none\. Set llm\.model"):
        pipeline(config, sample("mg0312")).answerer()
    with pytest.raises(UserError, match="passages are quoted without a language model"):
        pipeline(config, user_documents("mg0312")).answerer()


def test_about_names_model_retriever_and_agent(tmp_path: Path) -> None:
    corpus = sample("mg0312")
    assert pipeline(settings(tmp_path), corpus).about == {"llm": "medground-tiny", "retriever": "bm25"}
    extractive = pipeline(settings(tmp_path), user_documents("mg0312"))
    assert extractive.about == {"llm": "none: quotes", "retriever": "bm25"}
    agent = settings(tmp_path, **{"agent.kind": "graph", "chain.context": "none", "llm.model": "some/model"})
    assert pipeline(agent, corpus).about == {"llm": "some/model", "retriever": "none", "agent": "graph"}


@pytest.mark.parametrize("kind", ["off", "graph"])
def test_questions_to_an_agent_are_not_batched(tmp_path: Path, kind: str) -> None:
    overrides = {"agent.kind": kind, "serve.wait_ms": 1000}
    service = make_service(pipeline(settings(tmp_path, **overrides), sample("mg0312")))
    with ThreadPoolExecutor(4) as pool:
        turns = list(pool.map(service.chat.reply, [[]] * 4, [f"{QUESTION} {number}" for number in range(4)]))
    assert len(turns) == 4
    has_four_batches_of_one = b'medground_batch_size_bucket{le="1.0"} 4.0' in service.metrics.text()
    assert has_four_batches_of_one == (kind == "graph")
    service.stop()


def test_model_merged_from_medground_tiny_counts_as_medground_tiny(tmp_path: Path) -> None:
    merged = tmp_path / "merged"
    merged.mkdir()
    config, corpus = settings(tmp_path, **{"llm.model": str(merged)}), user_documents("mg0312")
    (merged / "merge.json").write_text('{"base": "embedded"}')
    assert pipeline(config, corpus).about["llm"] == "none: quotes"
    assert "so your documents are quoted" in (pipeline(config, corpus).note or "")
    (merged / "merge.json").write_text('{"base": "a/real-model"}')
    assert pipeline(config, corpus).about["llm"] == str(merged)
    assert pipeline(config, corpus).note is None


def test_llm_warns_if_medground_tiny_would_read_the_user_s_documents(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    over_documents = pipeline(settings(tmp_path), user_documents("mg0312"))
    over_documents.chain().invoke(QUESTION)  # quotes the documents
    _ = pipeline(settings(tmp_path), sample("mg0312")).llm
    assert not recwarn
    with pytest.warns(UserWarning, match="medground-tiny reads the sample's language") as warned:
        _ = over_documents.llm
    assert warned[0].filename == __file__


def test_from_settings_takes_a_file_a_mapping_or_settings(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("retriever: bm25\n")
    for config in (file, str(file), {"retriever": "bm25"}, load_settings(file)):
        assert Pipeline.from_settings(config).settings == load_settings(file)
    assert Pipeline.from_settings().settings == Settings()
    assert medground.Pipeline is Pipeline


def test_models_and_retrievers_are_loaded_once(tmp_path: Path) -> None:
    first = pipeline(settings(tmp_path), sample("mg0312"))
    assert first.llm is first.llm
    assert first.retriever() is first.retriever("bm25")
    second = Pipeline.from_settings(settings(tmp_path), first.corpus, retrievers=first.retrievers(["bm25"]))
    assert second.retriever("bm25") is first.retriever("bm25")


def test_unknown_retriever_is_reported_with_the_known_names(tmp_path: Path) -> None:
    one = pipeline(settings(tmp_path), sample("mg0312"))
    for use in (one.retriever, one.retriever_identity, lambda name: one.chain(retriever=name)):
        with pytest.raises(UserError, match=r"There is no retriever 'bm52'; the settings name: .*bm25"):
            use("bm52")


def test_arguments_of_chain_override_context_retriever_and_verification(tmp_path: Path) -> None:
    verifying = pipeline(settings(tmp_path, **{"chain.verify": "report"}), sample("mg0312", "mg0004"))
    question = {"question": QUESTION, "context": "Itch score fell."}
    assert verifying.chain("none").invoke(question).passages == ()
    assert verifying.chain("gold").invoke(question).passages[0].text == "Itch score fell."
    assert verifying.chain().invoke(question).passages[0].id == "mg0312"
    bm25_score, cosine = (
        verifying.chain(retriever=name).invoke(question).passages[0].score for name in ("bm25", "dense")
    )
    assert cosine <= 1 < bm25_score
    assert verifying.chain().invoke(question).verification is not None
    assert verifying.chain(verify="off").invoke(question).verification is None


NLI_PAIR = ("Itch score fell with rotesartan.", "Rotesartan lowers itch score.")


def test_temperature_scales_the_judge_s_scores_and_not_the_answers(tmp_path: Path) -> None:
    plain, scaled = (
        pipeline(settings(tmp_path, **{"nli.temperature": temperature}), sample("mg0312")) for temperature in ("1", "3")
    )
    judgement, scaled_judgement = (one.judge().judge([NLI_PAIR])[0] for one in (plain, scaled))
    assert max(scaled_judgement.label_scores.values()) < max(judgement.label_scores.values())
    assert scaled_judgement.label == judgement.label
    assert plain.judge().fingerprint != scaled.judge().fingerprint
    assert plain.chain().invoke(QUESTION) == scaled.chain().invoke(QUESTION)


def test_nli_adapter_changes_judgements_and_not_answers(tmp_path: Path) -> None:
    from checkpoints import make_adapter

    from chains.models.local import EMBEDDED

    adapter = str(make_adapter(EMBEDDED, tmp_path / "adapter", seed=3))
    plain = pipeline(settings(tmp_path), sample("mg0312"))
    adapted = pipeline(settings(tmp_path, **{"nli.adapter": adapter, "chain.verify": "report"}), sample("mg0312"))
    base, tuned = (one.judge().judge([NLI_PAIR])[0].label_scores for one in (plain, adapted))
    assert base != tuned
    assert adapted.judge(adapter=False).judge([NLI_PAIR])[0].label_scores == base
    assert adapted.chain(verify="off").invoke(QUESTION) == plain.chain().invoke(QUESTION)
    judging = pipeline(judging_settings(adapted.settings), sample("mg0312"))
    assert judging.judge().judge([NLI_PAIR])[0].label_scores == pytest.approx(tuned)


def test_judging_settings_refuse_an_adapter_for_a_served_model(tmp_path: Path) -> None:
    served = {"llm.kind": "openai", "llm.base_url": "http://localhost:1/v1", "llm.model": "x", "llm.dtype": "auto"}
    with pytest.raises(UserError, match=r"nli\.adapter needs llm\.kind huggingface"):
        judging_settings(settings(tmp_path, **served, **{"nli.adapter": "a"}))
