import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from entailing import Entailing

from chains.answer import Answer, Passage
from chains.qa.base import AnswerChain, Question
from chains.support import SentenceVerifier, with_sentences
from common.errors import UserError
from corpus.records import QARecord
from eval.compare import Side, compare
from eval.results import write_results
from eval.runs import read_run
from eval.tasks import AnswersTask

PASSAGES = (Passage(id="a", text="Aspirin lowered pain."), Passage(id="z", text="Zinc raised growth."))
TEXTS = {
    "Cited?": "Aspirin lowered pain [1]. Zinc raised growth [1][2].",
    "Wrong?": "Aspirin lowered pain [2]. Zinc was red [2].",
    "Uncited?": "Zinc raised growth. It was blue.",
    "Refused?": "The passages do not answer the question.",
}
RECORDS = [
    QARecord(id=question, question=question, contexts=("x",), label=None, conclusion=conclusion)
    for question, conclusion in zip(TEXTS, ("Aspirin lowered pain.", "", "", ""), strict=True)
]


class Scripted(AnswerChain):
    """Writes the texts, and has their sentences judged."""

    def answer_all(self, questions: Sequence[Question]) -> list[Answer | UserError]:
        answers = [
            with_sentences(Answer(question=one.text, text=TEXTS[one.text], passages=PASSAGES)) for one in questions
        ]
        return list(SentenceVerifier(Entailing()).verify(answers))


def measured(*, pruned: bool = False) -> Any:
    task = AnswersTask(context="retrieved", retriever="words", pruned=pruned)
    return task.evaluate_written(Scripted(), Entailing(), RECORDS, identity={}, quiet=True)


def test_recall_and_precision_are_alces() -> None:
    result = measured()
    cited, wrong, uncited, refused = result.samples
    assert (cited["citation_recall"], cited["citation_precision"]) == (1.0, pytest.approx(2 / 3))
    assert (wrong["citation_recall"], wrong["citation_precision"]) == (0.0, 0.0)
    assert (uncited["citation_recall"], uncited["attributed_recall"]) == (0.0, 0.5)
    assert (refused["citation_recall"], refused["sentence_support"], refused["refused"]) == (0.0, None, True)
    assert result.metrics["citation_recall"] == pytest.approx(1 / 4)
    assert result.metrics["sentence_support"] == pytest.approx((1 + 0 + 0.5) / 3)
    assert result.metrics["refused"] == 1 / 4


def test_the_reference_is_compared_both_ways() -> None:
    cited, wrong, *_ = measured().samples
    assert (cited["entails_reference"], cited["entailed_by_reference"]) == (True, False)
    assert cited["rouge_l"] == pytest.approx(2 * 3 / 9)
    assert wrong["rouge_l"] is wrong["entails_reference"] is None


def test_pruning_removes_what_is_not_supported() -> None:
    samples = measured(pruned=True).samples
    assert [one["output"] for one in samples][::2] == [TEXTS["Cited?"], "Zinc raised growth."]
    assert [one["withheld"] for one in samples] == [False, True, False, False]
    assert samples[1]["citation_recall"] is None
    assert samples[2]["attributed_recall"] == 1.0
    assert samples[2]["removed"] == ["It was blue."]


def test_before_and_after_are_compared_over_the_answers_that_both_have(tmp_path: Path) -> None:
    write_results(tmp_path, [measured(), measured(pruned=True)], {})
    run = read_run(tmp_path)
    plain, pruned = (Side(run, task) for task in run.tasks.values())
    assert plain.task == AnswersTask(context="retrieved", retriever="words")
    assert pruned.task.name == "answers_retrieved_words_pruned"
    [found] = compare([(plain, pruned)])
    support = found.figures["sentence_support"]
    assert (support.a, support.b) == (0.75, 1.0)  # of "Cited?" and "Uncited?"
    assert json.loads((tmp_path / "samples_answers_retrieved_words.jsonl").read_text().splitlines()[0])["judged"]
