import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from word_nli import WordNLI
from written_runs import printed_lines

from chains.answer import Answer, Passage
from chains.qa.base import AnswerChain, Question
from chains.verification.answers import Verifier, verified_chain
from common.errors import UserError
from corpus.records import Label, QARecord
from eval.results import TaskResult
from eval.stats.verification import verification_metrics
from eval.tables import result_tables
from eval.tasks import VerificationTask, task_from_name

IDENTITY = {"model": "words", "nli": "words"}


class MarkerReader(AnswerChain):
    """Answers with the label after "ANSWER" in the context, with the probability after the label."""

    def answer_all(self, questions: Sequence[Question]) -> list[Answer | UserError]:
        return [self._one(question) for question in questions]

    def _one(self, question: Question) -> Answer:
        text = question.context or ""
        match = re.search(r"ANSWER (\w+) (0\.\d+)", text)
        label, probability = (match[1], float(match[2])) if match else (None, 0.0)
        return Answer(
            question=question.text,
            text=label or "It depends.",
            label=label,
            label_scores={label: probability, "other": 1 - probability} if label else {},
            output=None if label else "It depends.",
            prompt=text,
            passages=(Passage(id=question.passage_id or "none", text=text),) if text else (),
        )


def make_record(number: int, label: Label, text: str) -> QARecord:
    return QARecord(id=f"r{number}", question=f"Is there use in drug{number}?", contexts=(text,), label=label)


# WordNLI supports "yes" if the premise says "WORD works", and "no" if it says "WORD fails"; FAINTLY lowers its score.
RECORDS = [
    make_record(0, "yes", "Adults came. Drug0 works. ANSWER yes 0.9."),  # right, supported
    make_record(1, "no", "Adults came. Drug1 fails. ANSWER no 0.6."),  # right, supported
    make_record(2, "no", "Adults came. Drug2 works FAINTLY. ANSWER yes 0.7."),  # wrong, supported with a lower score
    make_record(3, "no", "Adults came. Drug3 fails. ANSWER yes 0.8."),  # wrong, contradicted
    make_record(4, "maybe", "Adults came. ANSWER maybe 0.95."),  # right, not enough evidence
]


def make_verified_chain(policy="report", *, scored: bool = True) -> AnswerChain:
    return verified_chain(MarkerReader(), WordNLI(scored=scored), verify=policy)


def evaluate_gold(records: Sequence[QARecord] = RECORDS, **options: Any) -> TaskResult:
    return task_from_name("verified_gold").evaluate(
        make_verified_chain(**options), records, identity=IDENTITY, quiet=True
    )


def test_metrics_of_verdicts_accuracy_and_risk() -> None:
    result = evaluate_gold()
    assert result.name == "verified_gold"
    metrics = result.metrics
    assert metrics["share_supported"] == 0.6
    assert metrics["share_contradicted"] == 0.2
    assert metrics["share_not_enough_evidence"] == 0.2
    assert metrics["unverified"] == 0
    assert metrics["accuracy"] == 0.6
    assert metrics["accuracy_supported"] == pytest.approx(2 / 3)
    assert metrics["accuracy_gain"] == pytest.approx(2 / 3 - 0.6)
    # By their support, the answers rank in the order r0 and r1 (0.9), r2 (0.6), r3 (0.05), r4 (0).
    assert metrics["aurc"] == pytest.approx((0 + 0 + 1 / 3 + 2 / 4 + 2 / 5) / 5)
    assert metrics["risk@0.4"] == 0
    assert metrics["risk@0.8"] == 0.5
    # By their confidence, they rank in the order r4, r0, r3, r2, r1.
    assert metrics["aurc_confidence"] == pytest.approx((0 + 0 + 1 / 3 + 2 / 4 + 2 / 5) / 5)


def test_samples_hold_the_fields_of_the_verification() -> None:
    samples = evaluate_gold().samples
    assert [sample["verdict"] for sample in samples] == [*["supported"] * 3, "contradicted", "not enough evidence"]
    first = dict(samples[0])
    assert (first["id"], first["prediction"], first["target"]) == ("r0", "yes", "yes")
    assert first["statement"] == "Is there use in drug0? The answer is yes."
    assert first["verdict_scores"]["supported"] == 0.9
    assert first["sentence"]["quote"] == "Drug0 works."
    assert first["retrieved"] == [{"id": "r0", "score": None}]
    assert samples[4]["sentence"] is None


def test_context_wrong_has_metrics_of_verdicts_only() -> None:
    result = task_from_name("verified_wrong").evaluate(make_verified_chain(), RECORDS, identity=IDENTITY, quiet=True)
    assert set(result.metrics) == {
        "share_supported",
        "share_contradicted",
        "share_not_enough_evidence",
        "unverified",
    }
    assert result.metrics["share_not_enough_evidence"] == 1
    assert all(sample["retrieved"][0]["id"] != sample["id"] for sample in result.samples)


def test_context_swapped_gives_the_other_abstract_only_to_the_verifier() -> None:
    # r2's abstract supports every answer, r1's contradicts the answer of r0; the abstracts of r0 and r3 decide nothing.
    texts = {0: "Drug0 works", 1: "Drug0 fails", 2: "Drug0 works. Drug1 works. Drug2 works. Drug3 works"}
    records = [make_record(n, "yes", f"{texts.get(n, '')}. ANSWER yes 0.{n + 1}.") for n in range(4)]
    result = VerificationTask(context="swapped").evaluate(
        MarkerReader(), verifier=Verifier(WordNLI()), records=records, identity=IDENTITY, quiet=True
    )
    assert result.name == "verified_swapped"
    assert {sample["prediction"] for sample in result.samples} == {"yes"}
    assert [sample["retrieved"][0]["id"] for sample in result.samples] == [sample["id"] for sample in result.samples]
    against = {sample["id"]: sample["verified_against"] for sample in result.samples}
    assert sorted(against.values()) == sorted(against)
    assert all(id != other for id, other in against.items())
    with_r2 = next(sample for sample in result.samples if sample["verified_against"] == "r2")
    assert with_r2["verdict"] == "supported"
    assert result.metrics["share_supported"] == sum(sample["verdict"] == "supported" for sample in result.samples) / 4
    assert "accuracy" not in result.metrics


def test_answers_without_passages_are_unverified_and_wrong() -> None:
    result = task_from_name("verified_none").evaluate(make_verified_chain(), RECORDS, identity=IDENTITY, quiet=True)
    assert result.metrics["unverified"] == 5
    assert result.metrics["share_supported"] == 0
    assert not {"accuracy_supported", "accuracy_gain", "aurc_confidence"} & set(result.metrics)
    assert result.metrics["aurc"] == 1


def test_generated_verdicts_rank_answers_by_supported_or_not() -> None:
    metrics = evaluate_gold(scored=False).metrics
    assert metrics["risk@0.6"] == pytest.approx(1 / 3)
    assert metrics["risk@0.2"] == pytest.approx(1 / 3)


def test_withheld_answers_are_refused() -> None:
    with pytest.raises(UserError, match=r"verified_gold: the chain withheld answers.*chain\.verify to report"):
        evaluate_gold(policy="abstain")


def test_no_records_invalid_contexts_and_missing_verifier_are_refused() -> None:
    with pytest.raises(UserError, match="there are no records"):
        evaluate_gold([])
    with pytest.raises(ValidationError, match="'none', 'gold', 'retrieved', 'wrong' or 'swapped'"):
        VerificationTask(context="other")
    with pytest.raises(ValueError, match="a verifier belongs to the context swapped"):
        VerificationTask(context="swapped").evaluate(MarkerReader(), RECORDS, identity=IDENTITY)


def make_sample(verdict: str | None, prediction: str, confidence: float = 0.5) -> dict[str, Any]:
    """A sample with the target yes; ``confidence`` is the probability of yes and of supported."""
    rest = (1 - confidence) / 2
    scores = {"supported": confidence, "contradicted": rest, "not enough evidence": rest} if verdict else {}
    label_scores = {"yes": confidence, "no": 1 - confidence}
    labels = {"prediction": prediction, "target": "yes", "label_scores": label_scores}
    return {"verdict": verdict, "verdict_scores": scores, **labels}


def samples_by_verdict(supported: tuple[int, int], not_enough: tuple[int, int]) -> list[dict[str, Any]]:
    """Samples with these verdicts; each argument has the numbers of right and of wrong answers."""
    return [
        make_sample(verdict, prediction)
        for verdict, counts in (("supported", supported), ("not enough evidence", not_enough))
        for prediction, count in zip(("yes", "no"), counts, strict=True)
        for _ in range(count)
    ]


def test_gain_interval_excludes_0_only_if_support_predicts_accuracy() -> None:
    gain = verification_metrics(samples_by_verdict((190, 10), (50, 50)))["accuracy_gain"]
    assert gain.value == pytest.approx(0.95 - 0.8)
    assert gain.low is not None
    assert gain.low > 0.08
    no_gain = verification_metrics(samples_by_verdict((160, 40), (80, 20)))["accuracy_gain"]
    assert no_gain.value == pytest.approx(0)
    assert no_gain.low is not None
    assert no_gain.high is not None
    assert no_gain.low < 0 < no_gain.high


def test_gain_interval_agrees_with_a_bootstrap_over_records() -> None:
    samples = samples_by_verdict((40, 10), (25, 25))
    gain = verification_metrics(samples)["accuracy_gain"]
    rng = np.random.default_rng(3)
    right = np.array([sample["prediction"] == "yes" for sample in samples])
    supported = np.array([sample["verdict"] == "supported" for sample in samples])
    drawn = rng.integers(0, len(samples), size=(4000, len(samples)))
    gains = [right[row][supported[row]].mean() - right[row].mean() for row in drawn]
    assert (gain.low, gain.high) == pytest.approx(tuple(np.quantile(gains, [0.025, 0.975])), abs=0.015)
    assert gain.stderr == pytest.approx(np.std(gains), abs=0.005)


def test_gain_of_a_resample_without_supported_answer_is_0() -> None:
    gain = verification_metrics([make_sample("supported", "yes"), make_sample("contradicted", "no")])["accuracy_gain"]
    assert (gain.value, gain.low, gain.high) == (0.5, 0, 0.5)


def test_one_sample_has_no_interval_and_none_are_refused() -> None:
    metrics = verification_metrics([make_sample("supported", "yes")])
    assert metrics["accuracy_gain"].low is None
    with pytest.raises(ValueError, match="0 answers"):
        verification_metrics([])


def test_unverified_answers_rank_last() -> None:
    samples = [make_sample(None, "no"), make_sample("contradicted", "yes", 0.0), make_sample("supported", "yes", 0.9)]
    assert verification_metrics(samples)["aurc"].value == pytest.approx((0 + 0 + 1 / 3) / 3)


def test_tables_of_verdicts_accuracy_and_risk() -> None:
    wrong = task_from_name("verified_wrong").evaluate(make_verified_chain(), RECORDS, identity=IDENTITY, quiet=True)
    lines = printed_lines(*result_tables([evaluate_gold(), wrong]))
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


def test_accuracy_table_without_supported_answers() -> None:
    without_passages = task_from_name("verified_none").evaluate(
        make_verified_chain(), RECORDS, identity=IDENTITY, quiet=True
    )
    rows = [
        line.split() for line in printed_lines(*result_tables([without_passages])) if line.startswith("verified_none")
    ]
    assert rows[1] == ["verified_none", "0.000", "(0.000-0.434)"]
