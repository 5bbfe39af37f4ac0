"""The verified tasks: what are the verdicts on a chain's answers worth?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.runnables import Runnable, RunnableConfig
from rich.table import Table

from chains.answer import Answer, Passage, Verdict
from chains.verification import Verifier
from common.errors import UserError
from corpus.records import QARecord
from eval.estimate import Counts, Estimate, Floats, from_resamples, proportion, resampled
from eval.plots import plot_risk_coverage
from eval.qa import QAChain, evaluate_qa, wrong_contexts
from eval.results import TaskResult
from eval.risk import COVERAGES, RiskPoint, risk_at, risk_metrics, risk_points
from eval.table import new_table, with_interval, with_signed_interval

_SHARES: dict[str, Verdict] = {
    "share_supported": "supported",
    "share_contradicted": "contradicted",
    "share_not_enough_evidence": "not enough evidence",
}
_ORDERS = {"aurc": "the verdict's support", "aurc_confidence": "the answer's own confidence"}

_NOT_TO_BE_SUPPORTED = (
    "verified_wrong: answered from another record's abstract; verified_swapped: answered from the record's own, and "
    "verified against another's. None of these should be supported."
)


def evaluate_verified(
    task: str, chain: QAChain, records: Sequence[QARecord], *, identity: Mapping[str, Any], quiet: bool = False
) -> TaskResult:
    """Answer every record's question, and hold the verdicts against the labels.

    ``verified_X`` hands the chain what ``qa_X`` does (``eval.qa.evaluate_qa``): ``verified_gold``,
    ``verified_retrieved_NAME``, ``verified_none``, and ``verified_wrong``, where each question comes with another
    record's abstract and no answer deserves to be supported. The samples are those of ``qa_X`` with ``verdict``,
    ``verdict_scores``, ``statement``, ``verified_against`` (the id of the passage that decided) and ``sentence`` (that
    of the passage which decided, or None). The figures:

    - ``share_supported, share_contradicted, share_not_enough_evidence``, of all answers, and ``unverified``, a count;
    - save for ``verified_wrong``: ``accuracy``, and those of ``verified_metrics``.

    Args:
        task: one of the names above.
        chain: one that verifies and gives every answer (``chains.verification``, with the policy report or retry).
        records: with labels, save for ``verified_wrong``.
        identity: what determines answers and verdicts beside the prompt, the entailment model included.
        quiet: no progress bar on stderr.

    Raises:
        UserError: as ``evaluate_qa`` does, and where the chain withholds an answer.
        ValueError: the task's name is none of the above.
    """
    if not task.startswith("verified_"):
        raise ValueError(f"{task!r} is no verified task")
    kept = _Kept(chain)
    answered = evaluate_qa(task.replace("verified", "qa", 1), kept, records, identity=identity, quiet=quiet)
    if any(answer.withheld for answer in kept.answers):
        raise UserError(
            f"{task}: the chain withheld answers, which then cannot be scored. Set chain.verify to report or retry."
        )
    result = _result(task, answered, kept.answers)
    if task == "verified_wrong":
        return result
    figures = {"accuracy": answered.estimates["accuracy"], **verified_metrics(result.samples)}
    return replace(result, estimates={**result.estimates, **figures})


def evaluate_swapped(
    chain: QAChain,
    verifier: Verifier,
    records: Sequence[QARecord],
    *,
    identity: Mapping[str, Any],
    quiet: bool = False,
) -> TaskResult:
    """``verified_swapped``: each answer from the record's own abstract, verified against another record's.

    Of ``verified_wrong`` it leaves out the answering model, which may itself see that the abstract is a wrong one: what
    is measured is the verifier alone. The figures are those of ``verified_wrong``.

    Args:
        chain: answers from gold context, and does not verify.
        verifier: gives the verdicts.
        records: with labels.
        identity: what determines answers and verdicts beside the prompt, the entailment model included.
        quiet: no progress bar on stderr.

    Raises:
        UserError: as ``evaluate_qa`` does.
    """
    kept = _Kept(chain)
    answered = evaluate_qa("qa_gold", kept, records, identity=identity, quiet=quiet)
    swapped = [
        answer.model_copy(update={"passages": (Passage(id=other.id, text=other.context),)})
        for answer, other in zip(kept.answers, wrong_contexts(records), strict=True)
    ]
    return _result("verified_swapped", answered, verifier.verify(swapped))


def verified_metrics(samples: Sequence[Mapping[str, Any]]) -> dict[str, Estimate]:
    """How much better the supported answers are, and whether support tells right from wrong answers.

    - ``accuracy_supported`` and ``accuracy_gain``: the share of right answers among the supported ones, and by how much
      it is above that of all. The gain's interval is a percentile bootstrap over the records, each drawn with its
      answer, verdict and label; in a resample without a supported answer the gain is 0. Both are absent where no answer
      is supported.
    - ``aurc`` and ``risk@C`` by the probability of ``supported`` (``risk.risk_metrics``), which is 1 or 0 where the
      entailment model wrote its judgement; an answer without a verdict is the least sure.
    - ``aurc_confidence``: the area where the answers are put in order by their own label's probability, the
      reference that a verifier must be better than. Absent where the labels were read from generated text.

    Raises:
        ValueError: no samples.
    """
    right = [sample["prediction"] == sample["target"] for sample in samples]
    supported = [sample["verdict"] == "supported" for sample in samples]
    estimates: dict[str, Estimate] = {}
    if any(supported):
        counted = [answer for answer, given in zip(right, supported, strict=True) if given]
        estimates["accuracy_supported"] = proportion(sum(counted), len(counted))
        estimates["accuracy_gain"] = _gain(right, supported)
    estimates |= risk_metrics([support(sample) for sample in samples], right)
    if all(sample["label_scores"] for sample in samples):
        estimates["aurc_confidence"] = risk_metrics([_confidence(sample) for sample in samples], right)["aurc"]
    return estimates


def write_risk_plots(folder: Path, results: Sequence[TaskResult]) -> list[Path]:
    """``risk_TASK.png`` for each verified task that has right answers; others are passed over.

    Raises:
        UserError: a file cannot be written.
    """
    return [
        plot_risk_coverage(
            {f"surest by {_ORDERS[name]}": points for name, points in _curves(result).items()},
            result.task,
            folder / f"risk_{result.task}.png",
        )
        for result in results
        if "aurc" in result.estimates
    ]


def verified_tables(results: Sequence[TaskResult]) -> list[Table]:
    """Verdicts, accuracy with and without them, and risk by coverage; tasks of other kinds are passed over."""
    verdicts = new_table(
        "Verdicts", "task", "n", "supported (95%)", "contradicted", "not enough evidence", "unverified"
    )
    accuracy = new_table("Accuracy", "task", "of all answers (95%)", "of the supported (95%)", "gain (95%)")
    shares = [f"{coverage:.0%}" for coverage in COVERAGES]
    risk = new_table("Risk: the share of wrong answers among the surest", "task", *shares, "all", "area", "surest by")
    for result in results:
        if not result.task.startswith("verified_"):
            continue
        supported, *others = (result.estimates[name] for name in _SHARES)
        figures = [with_interval(supported), *(f"{other.value:.3f}" for other in others)]
        verdicts.add_row(result.task, str(len(result.samples)), *figures, f"{result.metrics['unverified']:.0f}")
        if "aurc" not in result.estimates:
            verdicts.caption = _NOT_TO_BE_SUPPORTED
            continue
        given = [with_interval(result.estimates.get(name)) for name in ("accuracy", "accuracy_supported")]
        accuracy.add_row(result.task, *given, with_signed_interval(result.estimates.get("accuracy_gain")))
        for name, points in _curves(result).items():
            figures = [f"{risk_at(points, coverage):.3f}" for coverage in (*COVERAGES, 1)]
            risk.add_row(result.task, *figures, f"{result.metrics[name]:.3f}", _ORDERS[name])
    return [verdicts, accuracy, risk]


def _result(task: str, answered: TaskResult, answers: Sequence[Answer]) -> TaskResult:
    """The samples with the answers' verdicts, and how many there are of each."""
    samples = [{**sample, **_verdict(answer)} for sample, answer in zip(answered.samples, answers, strict=True)]
    verdicts, n = [answer.verdict for answer in answers], len(answers)
    estimates = {name: proportion(verdicts.count(verdict), n) for name, verdict in _SHARES.items()}
    unverified = proportion(verdicts.count(None), n).times(n)
    reused = sum(answer.reused for answer in answers)
    return TaskResult(task, {**estimates, "unverified": unverified}, samples, reused, answered.identity)


class _Kept(Runnable[Any, Answer]):
    """A chain that keeps the answers which it hands on."""

    def __init__(self, chain: QAChain) -> None:
        self.answers: list[Answer] = []
        self._chain = chain

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Answer:
        answer = self._chain.invoke(input, config, **kwargs)
        self.answers.append(answer)
        return answer

    def batch(
        self,
        inputs: list[Any],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any | None,
    ) -> list[Answer]:
        answers = self._chain.batch(inputs, config, return_exceptions=return_exceptions, **kwargs)
        self.answers.extend(answers)
        return answers


def _curves(result: TaskResult) -> dict[str, list[RiskPoint]]:
    """The risk-coverage curves of a task by the names of their areas."""
    right = [sample["prediction"] == sample["target"] for sample in result.samples]
    orders = {"aurc": support, "aurc_confidence": _confidence}
    return {
        name: risk_points([order(sample) for sample in result.samples], right)
        for name, order in orders.items()
        if name in result.estimates
    }


def _verdict(answer: Answer) -> dict[str, Any]:
    judged = answer.verification
    return {
        "verdict": answer.verdict,
        "verdict_scores": judged.scores if judged else {},
        "verified_against": judged.passage_id if judged else None,
        "statement": judged.statement if judged else None,
        "sentence": judged.sentence.model_dump() if judged and judged.sentence else None,
    }


def support(sample: Mapping[str, Any]) -> float:
    """How probable it is that an answer is supported; below all others where it was not verified."""
    if sample["verdict"] is None:
        return -1.0
    scores = sample["verdict_scores"]
    return float(scores["supported"] if scores else sample["verdict"] == "supported")


def _confidence(sample: Mapping[str, Any]) -> float:
    return float(max(sample["label_scores"].values()))


def _gain(right: Sequence[bool], supported: Sequence[bool]) -> Estimate:
    cells = np.zeros((2, 2), dtype=np.int64)
    np.add.at(cells, (np.asarray(supported, dtype=np.int64), np.asarray(right, dtype=np.int64)), 1)

    def figures(drawn: Counts) -> Floats:
        table = drawn.reshape(-1, 2, 2)
        accuracy = table[:, :, 1].sum(axis=1) / table.sum(axis=(1, 2))
        given = table[:, 1].sum(axis=1)
        return np.asarray(np.divide(table[:, 1, 1], given, out=accuracy.copy(), where=given > 0) - accuracy)

    value = float(figures(cells)[0])
    return from_resamples(value, resampled(cells.ravel(), figures)) if len(right) > 1 else Estimate(value)
