"""``medground.load_chain``: settings in Python, and the kinds of chains."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import medground
from chains.answer import Answer
from common.errors import UserError
from medground.tiny import TINY_NOTE


@pytest.fixture(autouse=True)
def _write_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    record = '{{"QUESTION": "Does {0} lower pressure?", "CONTEXTS": ["Pressure fell with {0}."]}}'
    Path("records.json").write_text(f'{{"1": {record.format("aspirin")}, "2": {record.format("heparin")}}}')


def test_default_chain_answers_by_invoke_batch_ainvoke_and_stream() -> None:
    chain = medground.load_chain(data={"path": "records.json"})
    answer = chain.invoke("Does heparin lower pressure?")
    assert isinstance(answer, Answer)
    assert answer.label in ("yes", "no", "maybe")
    assert answer.passages[0].id == "2"
    answers = chain.batch(["Does aspirin help?", {"question": "Heparin?"}])
    assert [answer.passages[0].id for answer in answers] == ["1", "2"]
    assert asyncio.run(chain.ainvoke("Does heparin lower pressure?")) == answer
    assert list(chain.stream("Does heparin lower pressure?")) == [answer]


def test_quiet_hides_progress_bars(capfd: pytest.CaptureFixture[str]) -> None:
    for quiet in (True, False):
        medground.load_chain(
            data={"path": "records.json"}, llm={"kind": "extractive"}, store={"path": f"{quiet}"}, quiet=quiet
        )
        assert bool(capfd.readouterr().err) is not quiet


def test_settings_may_be_a_file_a_mapping_or_keyword_arguments() -> None:
    Path("config.yaml").write_text("llm: {kind: extractive}\ndata: {path: records.json}\nretriever: bm25\n")
    quoted = medground.load_chain("config.yaml").invoke("Does heparin lower pressure?")
    assert quoted.label is None
    assert quoted.citations[0].quote == "Pressure fell with heparin."
    mapping = {"llm": {"kind": "extractive"}, "data.path": "records.json"}
    assert medground.load_chain(mapping, retriever="bm25").invoke("Does heparin lower pressure?") == quoted


def test_user_s_documents_are_quoted_if_the_model_is_medground_tiny() -> None:
    from medground.ingest import add_documents
    from medground.settings import load_settings

    Path("note.txt").write_text("Heparin prevented clots. Nothing else was seen.")
    add_documents(load_settings(), [Path("note.txt")], quiet=True)
    answer = medground.load_chain().invoke("Does heparin prevent clots?")
    assert answer.label is None
    assert answer.citations[0].quote == "Heparin prevented clots."
    assert answer.notes[-1].startswith("medground-tiny reads the sample only, so your documents are quoted")


def test_answers_from_the_sample_have_a_note_unless_data_is_named() -> None:
    question = "Is itch score decreased by rotesartan in men with breast cancer?"
    sample_note = (
        "No documents are indexed in .medground/store, so the sample was searched: its abstracts are invented."
    )
    extractive = medground.load_chain(retriever="bm25", llm={"kind": "extractive"})
    assert extractive.invoke(question).notes == (sample_note,)
    assert medground.load_chain(retriever="bm25").invoke(question).notes == (f"{sample_note} {TINY_NOTE}",)
    assert medground.load_chain(data={"path": "records.json"}).invoke("Does heparin help?").notes == (TINY_NOTE,)


@pytest.mark.parametrize("verify", ["report", "retry", "abstain"])
def test_quoted_answer_has_a_note_that_it_is_not_verified(verify: str) -> None:
    extractive = {"llm": {"kind": "extractive"}, "data.path": "records.json", "retriever": "bm25"}
    answer = medground.load_chain(extractive, chain={"verify": verify}).invoke("Does heparin lower pressure?")
    assert answer.citations[0].quote == "Pressure fell with heparin."
    assert answer.notes == ("not verified: the answer quotes its evidence and claims nothing beyond it",)
    assert medground.load_chain(extractive).invoke("Does heparin lower pressure?").notes == ()


def test_gold_context_opens_no_store() -> None:
    chain = medground.load_chain(chain={"context": "gold"})
    answer = chain.invoke({"question": "Does heparin lower pressure?", "context": "Pressure fell with heparin."})
    assert answer.passages[0].text == "Pressure fell with heparin."
    assert not Path(".medground").exists()


def test_unknown_setting_raises_a_user_error() -> None:
    with pytest.raises(UserError, match="Did you mean model"):
        medground.load_chain(llm={"modle": "x"})


@pytest.mark.parametrize("settings", [5, ["config.yaml"], b"config.yaml"])
@pytest.mark.parametrize("load", [medground.load_chain, medground.load_checker, medground.Pipeline.from_settings])
def test_settings_of_another_type_are_refused(load: Any, settings: object) -> None:
    with pytest.raises(UserError, match=f"must be a file or a mapping of sections, not {type(settings).__name__}"):
        load(settings)


def test_agent_kind_makes_load_chain_return_an_agent() -> None:
    settings = {"data.path": "records.json", "retriever": "bm25", "agent.kind": "graph"}
    answer = medground.load_chain(settings).invoke("Does heparin prevent clots in children with asthma?")
    assert answer.text.startswith("No answer is given")
    assert answer.label is None
