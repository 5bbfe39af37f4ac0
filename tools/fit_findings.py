"""Fits ``chains.models.findings``: words that separate findings from aims and methods, by headings of abstracts."""

import json
import re
from collections.abc import Sequence
from typing import Any

from chains.models.findings import WEIGHTS, finding_words
from corpus.records import QARecord
from corpus.sentences import sentence_spans

_FINDINGS = re.compile(r"RESULT|FINDING|CONCLUSION|OBSERVATION|LIMITATION")
_SEEN = 10  # sentences that have a word, for it to be looked at


def reports_findings(heading: str) -> bool:
    """Whether a section of an abstract, by its heading, has what was found."""
    return _FINDINGS.search(heading.upper()) is not None


def fit_findings(records: Sequence[QARecord]) -> dict[str, Any]:
    """A logistic regression with an L1 penalty (C 0.1, classes weighted evenly) over the words of single sentences.

    Findings are the sentences of sections whose heading says so and of the conclusions; the rest are the sentences of
    all other sections. Records without headings are left out.

    Returns:
        ``intercept`` and ``weights``, a word's part of the log-odds, with the count of ``abstracts`` and ``sentences``.
    """
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    headed = [record for record in records if len(record.sections) == len(record.contexts)]
    sentences: list[str] = []
    findings: list[bool] = []
    for record in headed:
        parts = [
            (reports_findings(heading), text) for heading, text in zip(record.sections, record.contexts, strict=True)
        ]
        for found, text in (*parts, (True, record.conclusion)):
            cut = [text[start:end] for start, end in sentence_spans(text)]
            sentences += cut
            findings += [found] * len(cut)
    words = CountVectorizer(analyzer=finding_words, binary=True, min_df=_SEEN)
    seen = words.fit_transform(sentences)
    model = LogisticRegression(
        C=0.1, l1_ratio=1, solver="liblinear", class_weight="balanced", max_iter=500, random_state=0
    ).fit(seen, findings)
    weights = zip(words.get_feature_names_out(), model.coef_[0], strict=True)
    return {
        "abstracts": len(headed),
        "sentences": len(sentences),
        "intercept": round(float(model.intercept_[0]), 2),
        "weights": {word: round(float(weight), 2) for word, weight in sorted(weights) if abs(weight) >= 0.005},
    }


def save_findings(model: dict[str, Any]) -> None:
    """Write a fitted model to where ``chains.models.findings`` reads it."""
    WEIGHTS.write_text(json.dumps(model, indent=1, ensure_ascii=False) + "\n", "utf-8")
