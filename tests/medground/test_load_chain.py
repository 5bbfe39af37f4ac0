"""medground.load_chain: the settings' chain from Python."""

import asyncio
from pathlib import Path

import pytest

import medground
from chains.answer import Answer
from common.errors import UserError
from medground.tiny import TINY_NOTE


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    record = '{{"QUESTION": "Does {0} lower pressure?", "CONTEXTS": ["Pressure fell with {0}."]}}'
    Path("mine.json").write_text(f'{{"1": {record.format("aspirin")}, "2": {record.format("heparin")}}}')


def test_the_embedded_default_answers_from_its_evidence() -> None:
    chain = medground.load_chain(data={"path": "mine.json"})
    answer = chain.invoke("Does heparin lower pressure?")
    assert isinstance(answer, Answer)
    assert answer.label in ("yes", "no", "maybe")
    assert answer.passages[0].id == "2"
    assert [one.passages[0].id for one in chain.batch(["Does aspirin help?", {"question": "Heparin?"}])] == ["1", "2"]
    assert asyncio.run(chain.ainvoke("Does heparin lower pressure?")) == answer
    assert list(chain.stream("Does heparin lower pressure?")) == [answer]


def test_quiet_shows_no_progress(capfd: pytest.CaptureFixture[str]) -> None:
    for quiet in (True, False):
        medground.load_chain(
            data={"path": "mine.json"}, llm={"kind": "extractive"}, store={"path": f"{quiet}"}, quiet=quiet
        )
        assert bool(capfd.readouterr().err) is not quiet


def test_settings_come_from_a_file_a_mapping_or_keywords() -> None:
    Path("mine.yaml").write_text("llm: {kind: extractive}\ndata: {path: mine.json}\nretriever: bm25\n")
    quoted = medground.load_chain("mine.yaml").invoke("Does heparin lower pressure?")
    assert quoted.label is None
    assert quoted.citations[0].quote == "Pressure fell with heparin."
    mapping = {"llm": {"kind": "extractive"}, "data.path": "mine.json"}
    assert medground.load_chain(mapping, retriever="bm25").invoke("Does heparin lower pressure?") == quoted


def test_the_users_documents_are_quoted_where_no_real_model_is_set() -> None:
    from medground.ingest import add_documents
    from medground.settings import load_settings

    Path("note.txt").write_text("Heparin prevented clots. Nothing else was seen.")
    add_documents(load_settings(), [Path("note.txt")], quiet=True)
    answer = medground.load_chain().invoke("Does heparin prevent clots?")
    assert answer.label is None
    assert answer.citations[0].quote == "Heparin prevented clots."
    assert answer.notes[-1].startswith("medground-tiny reads the sample only, so your documents are quoted")


def test_that_the_sample_was_searched_in_place_of_documents_is_said_whoever_answers() -> None:
    quoting = medground.load_chain(retriever="bm25", llm={"kind": "extractive"})
    answer = quoting.invoke("Is itch score decreased by rotesartan in men with breast cancer?")
    assert answer.notes == (
        "No documents are indexed in .medground/store, so the sample was searched: its abstracts are invented.",
    )
    reading = medground.load_chain(retriever="bm25")
    (note,) = reading.invoke("Is itch score decreased by rotesartan in men with breast cancer?").notes
    assert note == f"{answer.notes[0]} {TINY_NOTE}"
    assert medground.load_chain(data={"path": "mine.json"}).invoke("Does heparin help?").notes == (TINY_NOTE,)


@pytest.mark.parametrize("verify", ["report", "retry", "abstain"])
def test_a_quoted_answer_says_that_it_is_not_verified(verify: str) -> None:
    stated = {"llm": {"kind": "extractive"}, "data.path": "mine.json", "retriever": "bm25"}
    answer = medground.load_chain(stated, chain={"verify": verify}).invoke("Does heparin lower pressure?")
    assert answer.citations[0].quote == "Pressure fell with heparin."
    assert answer.notes == ("not verified: the answer quotes its evidence and claims nothing beyond it",)
    assert medground.load_chain(stated).invoke("Does heparin lower pressure?").notes == ()


def test_gold_context_needs_no_retriever() -> None:
    chain = medground.load_chain(chain={"context": "gold"})
    answer = chain.invoke({"question": "Does heparin lower pressure?", "context": "Pressure fell with heparin."})
    assert answer.passages[0].text == "Pressure fell with heparin."
    assert not Path(".medground").exists()


def test_a_wrong_setting_is_a_user_error() -> None:
    with pytest.raises(UserError, match="Did you mean model"):
        medground.load_chain(llm={"modle": "x"})


def test_an_agent_answers_where_the_settings_name_one() -> None:
    stated = {"data.path": "mine.json", "retriever": "bm25", "agent.kind": "graph"}
    answer = medground.load_chain(stated).invoke("Does heparin prevent clots in children with asthma?")
    assert answer.text.startswith("No answer is given")
    assert answer.label is None
