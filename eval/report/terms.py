"""A glossary of a report's figures."""

from collections.abc import Sequence

from eval.report.tasks import ReportTask

_TERMS = {
    "95 % interval": (
        "Wilson's interval where a figure is a share, else a percentile bootstrap over the records with a fixed seed "
        "(for ECE a basic one); none where the records are all alike, which a bootstrap cannot judge. It covers the "
        "uncertainty that comes from the records drawn, and no other."
    ),
    "accuracy@1, recall@k": (
        "The share of the questions whose own abstract is the first, or among the first k, passages found."
    ),
    "MRR@10, nDCG@10": (
        "The mean of 1/rank, and of 1/log2(1 + rank), of the own abstract; 0 where it is not among the first ten."
    ),
    "accuracy": "The share of the answers whose label is the right one. An answer without a label is wrong.",
    "macro F1": "The mean of F1 over all labels, each with the same weight however rare it is.",
    "unparsed": "How many answers name no label.",
    "confidence": "The probability of the label that was given.",
    "ECE": (
        "Expected calibration error: the mean distance between accuracy and confidence in 15 bins of equal width. "
        "Chance alone puts it above 0; its interval is corrected for that, and can lie below the figure."
    ),
    "Brier": "The squared distance between the labels' probabilities and the right label; 0 is best, 2 worst.",
    "verdict": "What an entailment model makes of an answer, given the passage that it rests on.",
    "evidence": (
        "found: the share of the claims with deciding documents of which one was among the passages. precision, "
        "recall, F1: of the quoted sentences, by SciFact's rule: one is correct if its rationale is quoted whole and "
        "on the document's side."
    ),
    "gain": "Accuracy of the supported answers less accuracy of all.",
    "risk, coverage": (
        "Coverage is the share of the answers that are given, the surest first; risk is the share of these that is "
        "wrong. The area under the curve is the mean risk: lower is better."
    ),
}
_NEEDED = {
    "accuracy@1, recall@k": {"retrieval"},
    "MRR@10, nDCG@10": {"retrieval"},
    "accuracy": {"qa", "nli", "verified", "check"},
    "macro F1": {"qa", "nli", "check"},
    "unparsed": {"qa", "nli"},
    "evidence": {"check"},
    "verdict": {"verified"},
    "gain": {"verified"},
}


def terms(tasks: Sequence[ReportTask]) -> list[tuple[str, str]]:
    """The terms that a report of these tasks uses."""
    sections = {task.section.id for task in tasks}
    scored = any(task.is_scored for task in tasks)
    unwanted = {name for name, needed in _NEEDED.items() if not needed & sections}
    if not scored:
        unwanted |= {"confidence", "ECE", "Brier"}
        unwanted |= set() if "verified" in sections else {"risk, coverage"}
    return [(name, meaning) for name, meaning in _TERMS.items() if name not in unwanted]
