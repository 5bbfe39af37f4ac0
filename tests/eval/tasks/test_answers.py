import json
from pathlib import Path

import pytest
from scripted_answers import TEXTS, evaluate_scripted

from eval.compare import Side, compare
from eval.results import write_results
from eval.runs import read_run
from eval.tasks import AnswersTask


def test_citations_are_scored_by_answer_and_in_total() -> None:
    result = evaluate_scripted()
    cited, wrong, uncited, refused = result.samples
    assert (cited["citation_recall"], cited["citation_precision"]) == (1.0, pytest.approx(2 / 3))
    assert (wrong["citation_recall"], wrong["citation_precision"]) == (0.0, 0.0)
    assert (uncited["citation_recall"], uncited["attributed_recall"]) == (0.0, 0.5)
    assert (refused["citation_recall"], refused["sentence_support"], refused["refused"]) == (0.0, None, True)
    assert result.metrics["citation_recall"] == pytest.approx(1 / 4)
    assert result.metrics["sentence_support"] == pytest.approx((1 + 0 + 0.5) / 3)
    assert result.metrics["refused"] == 1 / 4


def test_answers_are_compared_with_the_reference_in_both_directions() -> None:
    cited, wrong, *_ = evaluate_scripted().samples
    assert (cited["entails_reference"], cited["entailed_by_reference"]) == (True, False)
    assert cited["rouge_l"] == pytest.approx(2 * 3 / 9)
    assert wrong["rouge_l"] is wrong["entails_reference"] is None


def test_pruning_removes_unsupported_sentences_and_withholds_empty_answers() -> None:
    samples = evaluate_scripted(pruned=True).samples
    assert [samples[0]["output"], samples[2]["output"]] == [TEXTS["Cited?"], "Zinc raised growth."]
    assert [sample["withheld"] for sample in samples] == [False, True, False, False]
    assert samples[1]["citation_recall"] is None
    assert samples[2]["attributed_recall"] == 1.0
    assert samples[2]["removed"] == ["It was blue."]


def test_runs_with_and_without_pruning_are_compared_over_their_common_answers(tmp_path: Path) -> None:
    write_results(tmp_path, [evaluate_scripted(), evaluate_scripted(pruned=True)], {})
    run = read_run(tmp_path)
    plain, pruned = (Side(run, task) for task in run.tasks.values())
    assert plain.task == AnswersTask(context="retrieved", retriever="words")
    assert pruned.task.name == "answers_retrieved_words_pruned"
    [comparison] = compare([(plain, pruned)])
    support = comparison.figures["sentence_support"]
    assert (support.a, support.b) == (0.75, 1.0)  # the answers to "Cited?" and "Uncited?", which are not withheld
    assert json.loads((tmp_path / "samples_answers_retrieved_words.jsonl").read_text().splitlines()[0])["judged"]
