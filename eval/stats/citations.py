"""Citation recall and precision of written answers, and their overlap with a reference.

Citation recall and precision are those of ALCE (Gao et al. 2023, "Enabling Large Language Models to Generate Text with
Citations"), computed as its evaluation script does.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from eval.stats.estimate import Estimate, mean, proportion

Entails = Callable[[Sequence[tuple[str, str]]], Sequence[bool]]
"""Whether the first text of each pair entails the second."""

PER_ANSWER = ("citation_recall", "citation_precision", "attributed_recall", "sentence_support", "sentence_contradicted")
REFERENCE = ("rouge_l", "entails_reference", "entailed_by_reference")
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class CitedSentence:
    """A statement and the texts of the passages that it cites, each once."""

    statement: str
    passages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CitationScore:
    """Whether the cited passages together entail the sentence, and how many of them are not irrelevant."""

    is_supported: bool
    citations: int
    precise: int


def score_citations(sentences: Sequence[CitedSentence], entails: Entails) -> list[CitationScore]:
    """The score of each sentence, in three passes of ``entails`` at most.

    A sentence is supported if the concatenation of its passages entails it. A citation of a supported sentence is
    irrelevant if its passage alone does not entail the sentence and the other passages together do. Citations of a
    sentence that is not supported are not precise.
    """
    cited = [place for place, one in enumerate(sentences) if one.passages]
    together = entails([("\n".join(sentences[place].passages), sentences[place].statement) for place in cited])
    supported = {place for place, holds in zip(cited, together, strict=True) if holds}
    several = [
        (place, index)
        for place in sorted(supported)
        if len(sentences[place].passages) > 1
        for index in range(len(sentences[place].passages))
    ]
    alone = entails([(sentences[place].passages[index], sentences[place].statement) for place, index in several])
    weak = [one for one, holds in zip(several, alone, strict=True) if not holds]
    others = [
        ("\n".join(text for other, text in enumerate(sentences[place].passages) if other != index), place)
        for place, index in weak
    ]
    without = entails([(text, sentences[place].statement) for text, place in others])
    irrelevant = Counter(place for (place, _), holds in zip(weak, without, strict=True) if holds)
    return [
        CitationScore(
            place in supported, len(one.passages), len(one.passages) - irrelevant[place] if place in supported else 0
        )
        for place, one in enumerate(sentences)
    ]


def citation_recall(scores: Sequence[CitationScore]) -> float | None:
    """The share of an answer's sentences that are supported; None without sentences."""
    return sum(one.is_supported for one in scores) / len(scores) if scores else None


def citation_precision(scores: Sequence[CitationScore]) -> float | None:
    """The share of an answer's citations that are precise, 0 where it has none; None without sentences."""
    if not scores:
        return None
    citations = sum(one.citations for one in scores)
    return sum(one.precise for one in scores) / citations if citations else 0.0


def rouge_l(reference: str, text: str) -> float:
    """ROUGE-L (Lin 2004): F1 of the longest common subsequence of words, in lower case and without stemming."""
    wanted, given = (_WORD.findall(one.lower()) for one in (reference, text))
    if not wanted or not given:
        return 0.0
    row = [0] * (len(given) + 1)
    for word in wanted:
        diagonal = 0
        for place, other in enumerate(given, start=1):
            above = row[place]
            row[place] = diagonal + 1 if word == other else max(above, row[place - 1])
            diagonal = above
    return 2 * row[-1] / (len(wanted) + len(given))


def citation_metrics(samples: Sequence[Any]) -> dict[str, Estimate]:
    """The figures of written answers.

    Means over the answers that have a value: an answer without sentences, such as a withheld one, has no recall, and a
    record without a reference no overlap. ``refused`` and ``withheld`` are shares of all records, ``words`` and
    ``sentences`` means of all.
    """
    figures: dict[str, Estimate] = {}
    for name in (*PER_ANSWER, *REFERENCE):
        if values := [float(one[name]) for one in samples if one[name] is not None]:
            figures[name] = mean(values)
    for name in ("refused", "withheld"):
        figures[name] = proportion(sum(bool(one[name]) for one in samples), len(samples))
    figures |= {name: mean([float(one[name]) for one in samples]) for name in ("words", "sentences")}
    return figures
