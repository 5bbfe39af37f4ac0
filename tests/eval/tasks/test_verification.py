import re
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from rich.console import Console
from word_nli import WordNLI

from chains.answer import Answer, Passage
from chains.qa.base import AnswerChain, Question
from chains.verification.answers import Verifier, verified_chain
from common.errors import UserError
from corpus.records import Label, QARecord
from eval.report.plots import write_risk_plots
from eval.results import TaskResult, write_results
from eval.stats.verification import verification_metrics
from eval.tables import result_tables
from eval.tasks import VerificationTask, task_from_name

IDENTITY = {"model": "words", "nli": "words"}


class Reader(AnswerChain):
    """Says what stands after ANSWER in the text, as surely as the number after it."""

    def answer_all(self, questions: Sequence[Question]) -> list[Answer | UserError]:
        return [self._one(question) for question in questions]

    def _one(self, question: Question) -> Answer:
        text = question.context or ""
        found = re.search(r"ANSWER (\w+) (0\.\d+)", text)
        label, sure = (found[1], float(found[2])) if found else (None, 0.0)
        return Answer(
            question=question.text,
            text=label or "It depends.",
            label=label,
            label_scores={label: sure, "other": 1 - sure} if label else {},
            output=None if label else "It depends.",
            prompt=text,
            passages=(Passage(id=question.passage_id or "none", text=text),) if text else (),
        )


def record(number: int, label: Label, text: str) -> QARecord:
    return QARecord(id=f"r{number}", question=f"Is there use in drug{number}?", contexts=(text,), label=label)


RECORDS = [
    record(0, "yes", "Adults came. Drug0 works. ANSWER yes 0.9."),  # right, supported
    record(1, "no", "Adults came. Drug1 fails. ANSWER no 0.6."),  # right, supported
    record(2, "no", "Adults came. Drug2 works FAINTLY. ANSWER yes 0.7."),  # wrong, supported, less surely
    record(3, "no", "Adults came. Drug3 fails. ANSWER yes 0.8."),  # wrong, contradicted
    record(4, "maybe", "Adults came. ANSWER maybe 0.95."),  # right, not enough evidence
]


def chain(policy="report", *, scored: bool = True) -> AnswerChain:
    return verified_chain(Reader(), WordNLI(scored=scored), verify=policy)


def gold(records: Sequence[QARecord] = RECORDS, **options: Any) -> TaskResult:
    return task_from_name("verified_gold").evaluate(chain(**options), records, identity=IDENTITY, quiet=True)


def test_figures() -> None:
    result = gold()
    assert result.name == "verified_gold"
    metrics = result.metrics
    assert metrics["share_supported"] == 0.6
    assert metrics["share_contradicted"] == 0.2
    assert metrics["share_not_enough_evidence"] == 0.2
    assert metrics["unverified"] == 0
    assert metrics["accuracy"] == 0.6
    assert metrics["accuracy_supported"] == pytest.approx(2 / 3)
    assert metrics["accuracy_gain"] == pytest.approx(2 / 3 - 0.6)
    # surest by support: r0 and r1 (0.9), r2 (0.6), r3 (0.05), r4 (0)
    assert metrics["aurc"] == pytest.approx((0 + 0 + 1 / 3 + 2 / 4 + 2 / 5) / 5)
    assert metrics["risk@0.4"] == 0
    assert metrics["risk@0.8"] == 0.5
    # surest by confidence: r4, r0, r3, r2, r1
    assert metrics["aurc_confidence"] == pytest.approx((0 + 0 + 1 / 3 + 2 / 4 + 2 / 5) / 5)


def test_samples_are_those_of_the_answers_with_their_verdicts() -> None:
    samples = gold().samples
    assert [sample["verdict"] for sample in samples] == [*["supported"] * 3, "contradicted", "not enough evidence"]
    first = dict(samples[0])
    assert (first["id"], first["prediction"], first["target"]) == ("r0", "yes", "yes")
    assert first["statement"] == "Is there use in drug0? The answer is yes."
    assert first["verdict_scores"]["supported"] == 0.9
    assert first["sentence"]["quote"] == "Drug0 works."
    assert first["retrieved"] == [{"id": "r0", "score": None}]
    assert samples[4]["sentence"] is None


def test_wrong_abstracts_have_verdicts_and_no_accuracy() -> None:
    result = task_from_name("verified_wrong").evaluate(chain(), RECORDS, identity=IDENTITY, quiet=True)
    assert set(result.metrics) == {
        "share_supported",
        "share_contradicted",
        "share_not_enough_evidence",
        "unverified",
    }
    assert result.metrics["share_not_enough_evidence"] == 1
    assert all(sample["retrieved"][0]["id"] != sample["id"] for sample in result.samples)


def test_swapped_abstracts_are_read_by_the_verifier_alone() -> None:
    texts = {0: "Drug0 works", 1: "Drug0 fails", 2: "Drug0 works. Drug1 works. Drug2 works. Drug3 works"}
    records = [record(n, "yes", f"{texts.get(n, '')}. ANSWER yes 0.{n + 1}.") for n in range(4)]
    result = VerificationTask(context="swapped").evaluate(
        Reader(), verifier=Verifier(WordNLI()), records=records, identity=IDENTITY, quiet=True
    )
    assert result.name == "verified_swapped"
    assert {one["prediction"] for one in result.samples} == {"yes"}
    assert [one["retrieved"][0]["id"] for one in result.samples] == [one["id"] for one in result.samples]
    against = {one["id"]: one["verified_against"] for one in result.samples}
    assert sorted(against.values()) == sorted(against)
    assert all(key != other for key, other in against.items())
    reader = next(one for one in result.samples if one["verified_against"] == "r2")
    assert reader["verdict"] == "supported"
    assert result.metrics["share_supported"] == sum(one["verdict"] == "supported" for one in result.samples) / 4
    assert "accuracy" not in result.metrics


def test_without_a_text_nothing_is_supported() -> None:
    result = task_from_name("verified_none").evaluate(chain(), RECORDS, identity=IDENTITY, quiet=True)
    assert result.metrics["unverified"] == 5
    assert result.metrics["share_supported"] == 0
    assert not {"accuracy_supported", "accuracy_gain", "aurc_confidence"} & set(result.metrics)
    assert result.metrics["aurc"] == 1


def test_written_judgements_are_sure_or_not() -> None:
    metrics = gold(scored=False).metrics
    assert metrics["risk@0.6"] == pytest.approx(1 / 3)
    assert metrics["risk@0.2"] == pytest.approx(1 / 3)


def test_withheld_answers_cannot_be_measured() -> None:
    with pytest.raises(UserError, match=r"verified_gold: the chain withheld answers.*chain\.verify to report"):
        gold(policy="abstain")


def test_what_the_answers_lack_is_named_as_in_their_own_task() -> None:
    with pytest.raises(UserError, match="there are no records"):
        gold([])
    with pytest.raises(ValidationError, match="'none', 'gold', 'retrieved', 'wrong' or 'swapped'"):
        VerificationTask(context="other")
    with pytest.raises(ValueError, match="a verifier belongs to the context swapped"):
        VerificationTask(context="swapped").evaluate(Reader(), RECORDS, identity=IDENTITY)


def sample(verdict: str | None, prediction: str | None, sure: float = 0.5) -> dict[str, Any]:
    rest = (1 - sure) / 2
    scores = {"supported": sure, "contradicted": rest, "not enough evidence": rest} if verdict else {}
    given = {"yes": sure, "no": 1 - sure} if prediction else {}
    return {
        "verdict": verdict,
        "verdict_scores": scores,
        "prediction": prediction,
        "target": "yes",
        "label_scores": given,
    }


def many(supported: tuple[int, int], others: tuple[int, int]) -> list[dict[str, Any]]:
    """So many right and wrong answers of each kind."""
    kinds = zip(("supported", "not enough evidence"), (supported, others), strict=True)
    return [
        sample(verdict, prediction)
        for verdict, counts in kinds
        for prediction, count in zip(("yes", "no"), counts, strict=True)
        for _ in range(count)
    ]


def test_the_gains_interval_tells_chance_from_more() -> None:
    clear = verification_metrics(many((190, 10), (50, 50)))["accuracy_gain"]
    assert clear.value == pytest.approx(0.95 - 0.8)
    assert clear.low is not None
    assert clear.low > 0.08
    none = verification_metrics(many((160, 40), (80, 20)))["accuracy_gain"]
    assert none.value == pytest.approx(0)
    assert none.low is not None
    assert none.high is not None
    assert none.low < 0 < none.high


def test_the_gains_interval_is_that_of_resampled_records() -> None:
    samples = many((40, 10), (25, 25))
    gain = verification_metrics(samples)["accuracy_gain"]
    rng = np.random.default_rng(3)
    right = np.array([one["prediction"] == "yes" for one in samples])
    supported = np.array([one["verdict"] == "supported" for one in samples])
    drawn = rng.integers(0, len(samples), size=(4000, len(samples)))
    gains = [right[row][supported[row]].mean() - right[row].mean() for row in drawn]
    assert (gain.low, gain.high) == pytest.approx(tuple(np.quantile(gains, [0.025, 0.975])), abs=0.015)
    assert gain.stderr == pytest.approx(np.std(gains), abs=0.005)


def test_resamples_without_a_supported_answer_gain_nothing() -> None:
    gain = verification_metrics([sample("supported", "yes"), sample("contradicted", "no")])["accuracy_gain"]
    assert (gain.value, gain.low, gain.high) == (0.5, 0, 0.5)


def test_one_sample_and_none() -> None:
    metrics = verification_metrics([sample("supported", "yes")])
    assert metrics["accuracy_gain"].low is None
    with pytest.raises(ValueError, match="0 answers"):
        verification_metrics([])


def test_an_unverified_answer_is_the_least_sure() -> None:
    samples = [sample(None, "no"), sample("contradicted", "yes", 0.0), sample("supported", "yes", 0.9)]
    assert verification_metrics(samples)["aurc"].value == pytest.approx((0 + 0 + 1 / 3) / 3)


def test_results_are_written_and_plotted(tmp_path: Path) -> None:
    results = [gold(), task_from_name("verified_wrong").evaluate(chain(), RECORDS, identity=IDENTITY, quiet=True)]
    write_results(tmp_path, results, {})
    assert (tmp_path / "samples_verified_gold.jsonl").is_file()
    plots = write_risk_plots(tmp_path, [*results, TaskResult(task_from_name("qa_gold"), {}, [])])
    assert plots == [tmp_path / "risk_verified_gold.png"]
    assert plots[0].read_bytes().startswith(b"\x89PNG")


def text(results: Sequence[TaskResult]) -> list[str]:
    console = Console(file=StringIO(), width=100)
    console.print(*result_tables(results))
    assert isinstance(console.file, StringIO)
    return [line.strip() for line in console.file.getvalue().splitlines() if line.strip()]


def test_tables() -> None:
    wrong = task_from_name("verified_wrong").evaluate(chain(), RECORDS, identity=IDENTITY, quiet=True)
    lines = text([gold(), wrong])
    rows = [line.split() for line in lines if re.match(r"verified_\w+ ", line)]
    assert rows[0][:3] == ["verified_gold", "5", "0.600"]
    assert rows[0][4:] == ["0.200", "0.200", "0"]
    assert rows[1][:3] == ["verified_wrong", "5", "0.000"]
    assert rows[2][1] == "0.600"
    assert rows[2][3] == "0.667"
    assert rows[2][5] == "+0.067"
    assert rows[3][1:] == ["0.000", "0.000", "0.333", "0.500", "0.400", "0.247", "the", "verdict's", "support"]
    assert rows[4][-3:] == ["answer's", "own", "confidence"]
    assert len(rows) == 5
    assert any(line.startswith("verified_wrong: answered from another") for line in lines)
    assert all(len(line) <= 100 for line in lines)


def test_tables_where_nothing_is_supported() -> None:
    none = task_from_name("verified_none").evaluate(chain(), RECORDS, identity=IDENTITY, quiet=True)
    rows = [line.split() for line in text([none]) if line.startswith("verified_none")]
    assert rows[1] == ["verified_none", "0.000", "(0.000-0.434)"]
