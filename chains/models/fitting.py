"""Truncation and splitting of texts at sentences and words, so that the parts fit a context window."""

from bisect import bisect_left
from collections.abc import Callable, Sequence

from corpus.sentences import Span, sentence_spans, word_spans


def count_fitting(count: int, fits: Callable[[int], bool]) -> int:
    """The greatest number from 1 to ``count`` for which ``fits`` is true; 0 if there is none.

    1, 2, 4, ... are tried first, then numbers between the last two by bisection. So no number above twice the result is
    tried, and of a long text only parts about as long as the window are tokenized.
    """
    bound = 1
    while bound <= count and fits(bound):
        bound *= 2
    fitting = bound // 2
    return fitting + bisect_left(range(fitting + 1, min(bound, count + 1)), True, key=lambda number: not fits(number))


def longest_part(text: str, fits: Callable[[str], bool], *, from_end: bool = False) -> Span | None:
    """The longest part that fits at the beginning of a text; with ``from_end``, at its end.

    It consists of whole sentences. If no sentence fits, it consists of words of the first or last sentence. None if no
    word fits, or the text is blank.
    """
    sentences = sentence_spans(text)
    words = word_spans(text, *sentences[-1 if from_end else 0]) if sentences else []
    for spans in (sentences, words):
        if count := _count_fitting_spans(text, spans, fits, from_end):
            return _joint_span(spans, count, from_end)
    return None


def split_to_fit(text: str, fits: Callable[[str], bool]) -> list[str] | None:
    """The text split into the longest parts that fit, of whole sentences if possible; None if a word does not fit."""
    parts: list[str] = []
    spans = sentence_spans(text)  # a sentence that does not fit is replaced by its words
    while spans:
        if count := _count_fitting_spans(text, spans, fits):
            parts.append(text[slice(*_joint_span(spans, count))])
            spans = spans[count:]
        elif len(words := word_spans(text, *spans[0])) > 1:
            spans = [*words, *spans[1:]]
        else:
            return None
    return parts


def _count_fitting_spans(text: str, spans: Sequence[Span], fits: Callable[[str], bool], from_end: bool = False) -> int:
    """The number of spans (sentences or words) at the beginning or end that fit together."""
    return count_fitting(len(spans), lambda count: fits(text[slice(*_joint_span(spans, count, from_end))]))


def _joint_span(spans: Sequence[Span], count: int, from_end: bool = False) -> Span:
    """The span from the first to the last of ``count`` spans at the beginning or end."""
    chosen = spans[-count:] if from_end else spans[:count]
    return chosen[0][0], chosen[-1][1]
