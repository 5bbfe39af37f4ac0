"""Cutting and splitting of texts at sentences and words, so that the parts fit a context window."""

from bisect import bisect_left
from collections.abc import Callable, Sequence

from corpus.sentences import Span, sentence_spans, word_spans


def count_fitting(count: int, fits: Callable[[int], bool]) -> int:
    """The greatest number from 1 to ``count`` for which ``fits`` is true, by bisection; 0 if there is none."""
    return bisect_left(range(1, count + 1), True, key=lambda number: not fits(number))


def longest_part(text: str, fits: Callable[[str], bool], *, from_end: bool = False) -> Span | None:
    """The longest part at the beginning or end of a text that fits: whole sentences, else words of one sentence.

    None if not even one word fits, or the text is blank.
    """
    sentences = sentence_spans(text)
    if (part := _longest(text, sentences, fits, from_end)) is not None or not sentences:
        return part
    return _longest(text, word_spans(text, *sentences[-1 if from_end else 0]), fits, from_end)


def split_to_fit(text: str, fits: Callable[[str], bool]) -> list[str] | None:
    """The text split into the longest parts that fit; None if a single word does not fit."""
    parts = []
    while text.strip():
        if (span := longest_part(text, fits)) is None:
            return None
        parts.append(text[slice(*span)])
        text = text[span[1] :]
    return parts


def _longest(text: str, spans: Sequence[Span], fits: Callable[[str], bool], from_end: bool) -> Span | None:
    """The span of the most sentences or words at the beginning or end that fit together."""

    def merged(count: int) -> Span:
        chosen = spans[-count:] if from_end else spans[:count]
        return chosen[0][0], chosen[-1][1]

    count = count_fitting(len(spans), lambda count: fits(text[slice(*merged(count))]))
    return merged(count) if count else None
