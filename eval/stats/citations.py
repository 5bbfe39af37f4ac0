"""Citation recall and precision of written answers, and their overlap with a reference.

Citation recall and precision are those of ALCE (Gao et al. 2023, "Enabling Large Language Models to Generate Text with
Citations"). They are computed as in ALCE's evaluation script, except that all citations of a sentence count. The script
by default takes only the first three.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.stats.estimate import Estimate, mean, proportion

Entails = Callable[[Sequence[tuple[str, str]]], Sequence[bool]]
"""Whether the first text of each pair entails the second."""

ANSWER_METRICS = (
    "citation_recall",
    "citation_precision",
    "attributed_recall",
    "sentence_support",
    "sentence_contradicted",
)
REFERENCE_METRICS = ("rouge_l", "entails_reference", "entailed_by_reference")
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class CitedSentence:
    """A statement and the texts of the passages that it cites, without repetition."""

    statement: str
    passages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CitationScore:
    """Whether the cited passages together entail the sentence, its number of citations, and how many are precise."""

    is_supported: bool
    citations: int
    precise: int


def score_citations(sentences: Sequence[CitedSentence], entails: Entails) -> list[CitationScore]:
    """The score of each sentence; ``entails`` is called three times, with pairs of all sentences.

    A sentence is supported if the concatenation of its passages entails it. A citation of a supported sentence is
    irrelevant if the cited passage alone does not entail the sentence, but the sentence's other passages together do;
    else the citation is precise. A sentence that is not supported has no precise citations.
    """

    def entailed(premises: Sequence[tuple[int, tuple[str, ...]]]) -> Sequence[bool]:
        """For each pair of a sentence's index and passages, whether the passages together entail the sentence."""
        return entails([("\n".join(passages), sentences[index].statement) for index, passages in premises])

    cited = [(index, sentence.passages) for index, sentence in enumerate(sentences) if sentence.passages]
    supported = dict(pair for pair, is_entailed in zip(cited, entailed(cited), strict=True) if is_entailed)
    citations = [
        (index, passages, position)
        for index, passages in supported.items()
        if len(passages) > 1
        for position in range(len(passages))
    ]
    by_one = entailed([(index, passages[i : i + 1]) for index, passages, i in citations])
    insufficient = [citation for citation, is_entailed in zip(citations, by_one, strict=True) if not is_entailed]
    by_the_rest = entailed([(index, passages[:i] + passages[i + 1 :]) for index, passages, i in insufficient])
    irrelevant = Counter(
        index for (index, *_), is_entailed in zip(insufficient, by_the_rest, strict=True) if is_entailed
    )
    return [
        CitationScore(
            is_supported=index in supported,
            citations=len(sentence.passages),
            precise=len(sentence.passages) - irrelevant[index] if index in supported else 0,
        )
        for index, sentence in enumerate(sentences)
    ]


def citation_recall(scores: Sequence[CitationScore]) -> float | None:
    """The share of an answer's sentences that are supported; None without sentences."""
    return sum(score.is_supported for score in scores) / len(scores) if scores else None


def citation_precision(scores: Sequence[CitationScore]) -> float | None:
    """The share of an answer's citations that are precise; 0 without citations, but None without sentences."""
    if not scores:
        return None
    citations = sum(score.citations for score in scores)
    return sum(score.precise for score in scores) / citations if citations else 0.0


def rouge_l(reference: str, text: str) -> float:
    """ROUGE-L (Lin 2004): F1 of the longest common subsequence of words, in lower case and without stemming."""
    reference_words, words = _WORD.findall(reference.lower()), _WORD.findall(text.lower())
    if not reference_words or not words:
        return 0.0
    row = [0] * (len(words) + 1)  # row[i]: length of the longest common subsequence with the first i words
    for reference_word in reference_words:
        diagonal = 0
        for index, word in enumerate(words, start=1):
            above = row[index]
            row[index] = diagonal + 1 if word == reference_word else max(above, row[index - 1])
            diagonal = above
    return 2 * row[-1] / (len(reference_words) + len(words))


def citation_metrics(samples: Sequence[Mapping[str, Any]]) -> dict[str, Estimate]:
    """The metrics of written answers.

    ``ANSWER_METRICS`` and ``REFERENCE_METRICS`` are means over the answers that have a value: an answer without
    sentences, such as a withheld one, has no recall, and an answer without a reference has no overlap. ``refused`` and
    ``withheld`` are shares of all answers, ``words`` and ``sentences`` means over all answers.
    """
    metrics: dict[str, Estimate] = {}
    for name in (*ANSWER_METRICS, *REFERENCE_METRICS):
        if values := [float(sample[name]) for sample in samples if sample[name] is not None]:
            metrics[name] = mean(values)
    for name in ("refused", "withheld"):
        metrics[name] = proportion(sum(bool(sample[name]) for sample in samples), len(samples))
    return metrics | {name: mean([float(sample[name]) for sample in samples]) for name in ("words", "sentences")}
