"""Does a sentence report a finding, or does it say what was asked and how it was studied?"""

import json
import math
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from Stemmer import Stemmer

WEIGHTS = Path(__file__).parents[1] / "embedded" / "findings.json"
_WORD = re.compile(r"[^\W\d_]+|\d+(?:\.\d+)?|[%<>=±]")


def finding_log_odds(sentence: str) -> float:
    """The natural logarithm of the odds that a sentence of an abstract reports a finding or a conclusion.

    A linear model over which words are there, in English, fitted on PubMedQA's training half by
    ``tools.fit_findings``. About -4 for "The aim of this study was to determine whether aspirin prevents stroke", 3 for
    "Aspirin reduced the risk of stroke by 20% (p<0.05)", and near 0 where none of the model's words is.
    """
    intercept, weights = _model()
    return intercept + math.fsum(weights.get(word, 0.0) for word in finding_words(sentence))


def finding_words(sentence: str) -> frozenset[str]:
    """What the model looks at: the stems of the words, ``#`` for a number, and the signs % < > = ±."""
    words = _WORD.findall(sentence.lower())
    return frozenset(stemmer().stemWords(["#" if word[0].isdigit() else word for word in words]))


@cache
def _model() -> tuple[float, dict[str, float]]:
    model = json.loads(WEIGHTS.read_text("utf-8"))
    return model["intercept"], model["weights"]


@cache
def stemmer() -> "Stemmer":
    """Snowball's for English."""
    from Stemmer import Stemmer

    return Stemmer("english")
