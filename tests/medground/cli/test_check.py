"""``medground check`` and ``load_checker``: NLI models, invalid input and interrupts."""

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

SETTINGS = {"data.path": "records.json", "retriever": "bm25"}
WITH_JUDGE = ("--data", "records.json", "--set", "retriever=bm25", "--set", "nli.kind=encoder", "--set", "nli.model=x")


@pytest.fixture(autouse=True)
def _write_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    record = '{{"QUESTION": "Does {0} lower pressure?", "CONTEXTS": ["Pressure fell with {0}. {1}"]}}'
    aspirin, heparin = record.format("aspirin", "One. Two."), record.format("heparin", "Pain rose with heparin.")
    Path("records.json").write_text(f'{{"1": {aspirin}, "2": {heparin}}}')


class PressureNLI(NLIModel):
    """Judges a premise with "fell" as entailment, any other as neutral; can be interrupted.

    ``interrupted_batch`` is the number of the batch, from 1, that raises ``KeyboardInterrupt``; 0 for none.
    """

    labels = ("entailment", "neutral", "contradiction")

    def __init__(self, interrupted_batch: int = 0) -> None:
        self._interrupted_batch = interrupted_batch
        self._batches = 0

    def judge(self, pairs: Sequence[Pair]) -> list[Judgement | UserError]:
        self._batches += 1
        if self._batches == self._interrupted_batch:
            raise KeyboardInterrupt
        return [Judgement(label="entailment" if "fell" in premise else "neutral") for premise, _ in pairs]


def set_judge(monkeypatch: pytest.MonkeyPatch, judge: NLIModel) -> None:
    monkeypatch.setattr(Pipeline, "judge", lambda self: judge)


def test_load_checker_returns_a_runnable_with_invoke_and_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    set_judge(monkeypatch, PressureNLI())
    checker = medground.load_checker(SETTINGS, nli={"kind": "encoder", "model": "x"})
    checked = checker.invoke("Pressure falls with heparin.")
    assert (checked.verdict, checked.notes) == ("supported", ())
    assert checked.supporting[0].passage_id == "2"
    assert [one.verdict for one in checker.batch(["Pressure falls with aspirin.", "Rain is wet."])] == [
        "supported",
        "not enough evidence",
    ]


def test_check_by_medground_tiny_has_a_note() -> None:
    checked = medground.load_checker(SETTINGS).invoke("Pressure falls with heparin.")
    assert checked.notes[-1] == TINY_JUDGE_NOTE


def test_missing_nli_model_raises_an_error_with_the_settings_to_change() -> None:
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
def test_invalid_arguments_are_reported(
    command: Callable[..., Any], arguments: tuple[str, ...], status: int, problem: str
) -> None:
    outcome = command("check", *arguments)
    assert outcome.status == status
    assert problem in outcome.err


def write_statements() -> None:
    """Write a heading and ten statements."""
    Path("list.txt").write_text("# Drugs\n" + "".join(f"Pressure falls with heparin {n}.\n" for n in range(10)))


def test_interrupted_check_prints_the_results_so_far(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_statements()
    set_judge(monkeypatch, PressureNLI(interrupted_batch=3))
    outcome = command("check", "--file", "list.txt", *WITH_JUDGE)
    assert outcome.status == 130
    assert "statements: 8 (8 supported); 1 part of the text is no statement" in outcome.out  # two batches of 4
    set_judge(monkeypatch, PressureNLI(interrupted_batch=2))
    outcome = command("check", "--file", "list.txt", "--json", *WITH_JUDGE)
    assert outcome.status == 130
    report = json.loads(outcome.out)  # segments: the heading and one batch of 4
    assert (report["complete"], report["counts"]["supported"], len(report["segments"])) == (False, 4, 5)


def test_note_on_the_corpus_is_printed_once_for_a_file(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_statements()
    set_judge(monkeypatch, PressureNLI())
    outcome = command("check", "--file", "list.txt", *WITH_JUDGE[2:])  # without --data
    assert outcome.status == 0
    assert "the sample was searched" not in outcome.out
    assert outcome.err.count("the sample was searched") == 1
