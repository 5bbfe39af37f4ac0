"""``medground check`` and ``load_checker``: judges, mistakes and interrupts."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import medground
from chains.nli import Judgement, NLIModel, Pair
from common.errors import UserError
from medground.pipeline import Pipeline
from medground.tiny import TINY_JUDGE_NOTE

SETTINGS = {"data.path": "mine.json", "retriever": "bm25"}
JUDGED = ("--data", "mine.json", "--set", "retriever=bm25", "--set", "nli.kind=encoder", "--set", "nli.model=x")


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    record = '{{"QUESTION": "Does {0} lower pressure?", "CONTEXTS": ["Pressure fell with {0}. {1}"]}}'
    more = ("One. Two.", "Pain rose with heparin.")
    Path("mine.json").write_text(
        f'{{"1": {record.format("aspirin", more[0])}, "2": {record.format("heparin", more[1])}}}'
    )


class Falls(NLIModel):
    """A premise with "fell" entails, any other is neutral; the pass number ``stops`` is interrupted."""

    labels = ("entailment", "neutral", "contradiction")

    def __init__(self, stops: int = 0) -> None:
        self._stops = stops

    def judge(self, pairs: Sequence[Pair]) -> list[Judgement | UserError]:
        self._stops -= 1
        if self._stops == 0:
            raise KeyboardInterrupt
        return [Judgement(label="entailment" if "fell" in premise else "neutral") for premise, _ in pairs]


def judged_by(monkeypatch: pytest.MonkeyPatch, judge: NLIModel) -> None:
    monkeypatch.setattr(Pipeline, "judge", lambda self: judge)


def test_load_checker_gives_a_runnable(monkeypatch: pytest.MonkeyPatch) -> None:
    judged_by(monkeypatch, Falls())
    checker = medground.load_checker(SETTINGS, nli={"kind": "encoder", "model": "x"})
    checked = checker.invoke("Pressure falls with heparin.")
    assert (checked.verdict, checked.notes) == ("supported", ())
    assert checked.supporting[0].passage_id == "2"
    assert [one.verdict for one in checker.batch(["Pressure falls with aspirin.", "Rain is wet."])] == [
        "supported",
        "not enough evidence",
    ]


def test_the_embedded_judge_says_what_it_is() -> None:
    checked = medground.load_checker(SETTINGS).invoke("Pressure falls with heparin.")
    assert checked.notes[-1] == TINY_JUDGE_NOTE


def test_without_a_judge_the_error_says_how_to_set_one() -> None:
    with pytest.raises(UserError, match=r"llm.kind is extractive. Set nli.kind to encoder"):
        medground.load_checker(SETTINGS, llm={"kind": "extractive"})
    from medground.ingest import add_documents
    from medground.settings import load_settings

    Path("note.txt").write_text("Heparin prevented clots.")
    add_documents(load_settings(), [Path("note.txt")], quiet=True)
    with pytest.raises(UserError, match=r"your documents are searched. Set nli.kind to encoder"):
        medground.load_checker()


@pytest.mark.parametrize(
    ("arguments", "status", "problem"),
    [
        ((), 2, "give a statement or --file FILE"),
        (("Zinc helps.", "--file", "mine.txt"), 2, "give a statement or --file FILE"),
        (("  ",), 1, "The statement is empty"),
        (("--file", "none.txt"), 1, "none.txt: there is no such file"),
    ],
)
def test_mistakes(command: Callable[..., Any], arguments: tuple[str, ...], status: int, problem: str) -> None:
    outcome = command("check", *arguments)
    assert outcome.status == status
    assert problem in outcome.err


def write_list() -> None:
    Path("list.txt").write_text("# Drugs\n" + "".join(f"Pressure falls with heparin {n}.\n" for n in range(10)))


def test_what_was_checked_before_an_interrupt_is_kept(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_list()
    judged_by(monkeypatch, Falls(stops=3))
    outcome = command("check", "--file", "list.txt", *JUDGED)
    assert outcome.status == 130
    assert "statements: 8 (8 supported); 1 part of the text is no statement" in outcome.out
    judged_by(monkeypatch, Falls(stops=2))
    outcome = command("check", "--file", "list.txt", "--json", *JUDGED)
    assert outcome.status == 130
    report = json.loads(outcome.out)
    assert (report["complete"], report["counts"]["supported"], len(report["segments"])) == (False, 4, 5)


def test_notes_on_all_statements_are_said_once(command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    write_list()
    judged_by(monkeypatch, Falls())
    without_data = ("--set", "retriever=bm25", *JUDGED[4:])
    outcome = command("check", "--file", "list.txt", *without_data)
    assert outcome.status == 0
    assert "the sample was searched" not in outcome.out
    assert outcome.err.count("the sample was searched") == 1
