"""Fits the word weights of ``chains.models.findings`` to abstracts whose sections have headings."""

import json
import re
from collections.abc import Sequence
from typing import Any

from chains.models.findings import WEIGHTS, finding_words
from corpus.records import QARecord
from corpus.sentences import sentence_spans

_FINDINGS_HEADING = re.compile(r"RESULT|FINDING|CONCLUSION|OBSERVATION|LIMITATION")
_MIN_SENTENCES_PER_WORD = 10


def reports_findings(heading: str) -> bool:
    """Whether the heading of an abstract's section announces results or conclusions."""
    return _FINDINGS_HEADING.search(heading.upper()) is not None


def fit_findings(records: Sequence[QARecord]) -> dict[str, Any]:
    """Fit a logistic regression (L1 penalty, C 0.1, balanced classes) of whether a sentence is a finding on its words.

    Sentences of conclusions and of sections headed as results are findings; sentences of other sections are not.
    Records without headings are left out.

    Returns:
        ``intercept`` and ``weights`` (by word) of the log-odds, and the number of ``abstracts`` and ``sentences``.
    """
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    headed = [record for record in records if len(record.sections) == len(record.contexts)]
    sentences: list[str] = []
    is_finding: list[bool] = []
    for record in headed:
        headings = (*record.sections, "CONCLUSION")
        for heading, text in zip(headings, (*record.contexts, record.conclusion), strict=True):
            spans = sentence_spans(text)
            sentences += [text[start:end] for start, end in spans]
            is_finding += [reports_findings(heading)] * len(spans)
    vectorizer = CountVectorizer(analyzer=finding_words, binary=True, min_df=_MIN_SENTENCES_PER_WORD)
    occurrences = vectorizer.fit_transform(sentences)
    model = LogisticRegression(
        C=0.1, l1_ratio=1, solver="liblinear", class_weight="balanced", max_iter=500, random_state=0
    ).fit(occurrences, is_finding)
    weights = zip(vectorizer.get_feature_names_out(), model.coef_[0], strict=True)
    return {
        "abstracts": len(headed),
        "sentences": len(sentences),
        "intercept": round(float(model.intercept_[0]), 2),
        # without weights that round to 0
        "weights": {word: round(float(weight), 2) for word, weight in sorted(weights) if abs(weight) >= 0.005},
    }


def save_findings(model: dict[str, Any]) -> None:
    """Write a fitted model to the file that ``chains.models.findings`` reads."""
    WEIGHTS.write_text(json.dumps(model, indent=1, ensure_ascii=False) + "\n", "utf-8")
