"""Linear classifier that tells sentences with findings of a study from those with its aims or methods."""

import json
import math
import re
from functools import cache
from pathlib import Path

from corpus.words import stem

WEIGHTS = Path(__file__).parents[1] / "embedded" / "findings.json"
_WORD = re.compile(r"[^\W\d_]+|\d+(?:\.\d+)?|[%<>=±]")


def finding_log_odds(sentence: str) -> float:
    """The natural logarithm of the odds that a sentence of an abstract reports a finding or a conclusion.

    The model sums weights of English words; ``tools.fit_findings`` fits it to PubMedQA's training half. It gives about
    -4 for "The aim of this study was to determine whether aspirin prevents stroke", 3 for "Aspirin reduced the risk of
    stroke by 20% (p<0.05)", and a value near 0 for a sentence without any of the model's words.
    """
    intercept, weights = _model()
    return intercept + math.fsum(weights.get(word, 0.0) for word in finding_words(sentence))


def finding_words(sentence: str) -> frozenset[str]:
    """Features of a sentence: the stems of its words, ``#`` for a number, and the signs % < > = ±."""
    return frozenset("#" if word[0].isdigit() else stem(word) for word in _WORD.findall(sentence.lower()))


@cache
def _model() -> tuple[float, dict[str, float]]:
    model = json.loads(WEIGHTS.read_text("utf-8"))
    return model["intercept"], model["weights"]
