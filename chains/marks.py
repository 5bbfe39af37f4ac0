"""Numbers of passages, and citation marks such as [1], [1, 2] and [1-3] in texts."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from chains.answer import Passage, Sentence
from corpus.sentences import Span, sentence_spans

_OPENING, _CLOSING = r"[\[［【]", r"[\]］】]"
_DASH = r"[-–—‑−~～]"
_SOURCE_NAMES = (
    r"(?:passages?|sources?|texts?|references?|refs?\.?|documents?|docs?|abstracts?|ids?|nos?\.?|quellen?|fuentes?"
    r"|extraits?|pasajes?|文献|来源|段落|资料)"
)
_PAGES = r"(?:\s*+(?:†|,?\s*+(?:pp?\.|S\.)|,\s*+pages?\b)[^\[\]［］【】\n]{0,40}+)?"  # such as ", p. 3"
_SPACE = r"(?<!\s)\s*+"  # matches a whole run or nothing, so that long runs take linear time
_MARK = re.compile(
    rf"{_SPACE}(?P<double>\[(?=\[[^\[\]]*\]\]))?{_OPENING}\s*+\^?(?:{_SOURCE_NAMES}\s*+)?:?\s*+\#?"
    rf"(?P<numbers>\d{{1,3}}(?:\s*+(?:{_DASH}|[,;、，&]|and|und|et|y)\s*+(?:{_SOURCE_NAMES}\s*+:?\s*+)?\d{{1,3}})*)"
    rf"{_PAGES}\s*+{_CLOSING}(?(double)\])",
    re.IGNORECASE,
)
_NUMBER_OR_RANGE = re.compile(rf"(\d+)(?:\s*{_DASH}\s*(\d+))?")
_UNFINISHED_MARK = re.compile(
    rf"{_SPACE}(?:\[\[[^\[\]\n]{{0,200}}\]|{_OPENING}[^\]］】\n]{{0,200}})?\Z"
)  # the end of a partial stream that later pieces may complete to a mark
_CUT_MARK = re.compile(rf"{_SPACE}{_OPENING}\s*+\^?\d[\d\s,;–-]*\Z")  # a mark cut off by the token limit
_BEFORE_INTERVAL = re.compile(r"\b(?:CIs?|CrI|IQR|KI|IC|interval|range[sd]?|Intervall)\b[\s:,=]*\Z", re.IGNORECASE)
_AFTER_NUMBER = re.compile(r"\d\s*%?[\s:,]*\Z")
_LOOKBACK = 40  # characters before a bracket in which words and numbers show that it is an interval


def passage_numbers(passages: Sequence[Passage]) -> dict[str, int]:
    """The number of each passage by its id: its position among an answer's passages, from 1.

    Prompts, marks, footnotes, the page and JSON use these numbers.
    """
    # Reversed, so that a repeated id gets the number of its first passage.
    return {passage.id: number for number, passage in reversed(list(enumerate(passages, start=1)))}


@dataclass(frozen=True, slots=True)
class Mark:
    """A citation in a text: ``text[start:end]``, with the white space before the bracket."""

    start: int
    end: int
    numbers: tuple[int, ...]


def find_marks(text: str, passages: int) -> list[Mark]:
    """The marks of a text in order; numbers may exceed ``passages``.

    A bracket with an interval is not a mark: after "CI" or "range", and after a number if the bracket names a passage
    that does not exist, as in "median 4 [12-30]".
    """
    return [mark for found in _MARK.finditer(text) if (mark := _mark(found, passages)) is not None]


def without_marks(text: str, passages: int = 0) -> str:
    """The text without its marks, for statements, passages with references, and earlier turns in a prompt."""
    for mark in reversed(find_marks(text, passages)):
        text = text[: mark.start] + text[mark.end :]
    return text


class MarkWriter:
    """Rewrites the marks of a streamed text as [1][2] and removes numbers above ``passages``, their count.

    ``unknown`` are the removed numbers.
    """

    def __init__(self, passages: int) -> None:
        self._passages = passages
        self.unknown: set[int] = set()

    def write(self, pieces: Iterable[str]) -> Iterator[str]:
        """The rewritten text in pieces, stripped; an unfinished bracket is delayed until it is complete."""
        raw, sent = "", 0
        for piece in pieces:
            raw += piece
            unfinished = _UNFINISHED_MARK.search(raw)
            complete = self._with_uniform_marks(raw[: unfinished.start() if unfinished else len(raw)])
            if len(complete) > sent:
                yield complete[sent:]
                sent = len(complete)
        complete = self._with_uniform_marks(_CUT_MARK.sub("", raw)).rstrip()
        if len(complete) > sent:
            yield complete[sent:]

    @property
    def notes(self) -> tuple[str, ...]:
        """A note on the removed numbers, if there are any."""
        if not self.unknown:
            return ()
        unknown = [str(number) for number in sorted(self.unknown)]
        listed = ", ".join(unknown[:5]) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else "")
        noun = "passage" if len(unknown) == 1 else "passages"
        available = "1 passage was" if self._passages == 1 else f"{self._passages} passages were"
        return (f"citations of {noun} {listed} were removed: only {available} read",)

    def _with_uniform_marks(self, raw: str) -> str:
        def rewrite(found: re.Match[str]) -> str:
            mark = _mark(found, self._passages)
            if mark is None:
                return found[0]
            known = [number for number in mark.numbers if 1 <= number <= self._passages]
            self.unknown.update(number for number in mark.numbers if number not in known)
            return _formatted(found, known) if known else ""

        return _MARK.sub(rewrite, raw).lstrip()


def renumbered(text: str, numbers: Sequence[int]) -> str:
    """The text with passage 1 cited as ``numbers[0]``, passage 2 as ``numbers[1]`` and so on."""

    def rewrite(found: re.Match[str]) -> str:
        mark = _mark(found, len(numbers))
        if mark is None:
            return found[0]
        return _formatted(
            found, [numbers[number - 1] if 1 <= number <= len(numbers) else number for number in mark.numbers]
        )

    return _MARK.sub(rewrite, text)


def cited_sentences(text: str, passages: int) -> tuple[Sentence, ...]:
    """The sentences of a text, each with the passages that its marks cite.

    A mark between two sentences belongs to the first, unless it begins the line of the second.
    """
    marks = find_marks(text, passages)
    blanked = text
    for mark in marks:
        blanked = blanked[: mark.start] + " " * (mark.end - mark.start) + blanked[mark.end :]
    spans = sentence_spans(blanked)
    cited: list[list[int]] = [[] for _ in spans]
    for mark in marks:
        if not spans:
            break
        index = _sentence_of(mark, spans, text)
        start, end = spans[index]
        spans[index] = (min(start, _bracket(text, mark)), max(end, mark.end))
        cited[index] += mark.numbers
    return tuple(
        Sentence(text=text[start:end], start=start, end=end, citations=tuple(dict.fromkeys(numbers)))
        for (start, end), numbers in zip(spans, cited, strict=True)
    )


def _formatted(found: re.Match[str], numbers: Sequence[int]) -> str:
    """The white space before a mark, and ``numbers`` in the form [1][2]."""
    space = found[0][: len(found[0]) - len(found[0].lstrip())]
    return space + "".join(f"[{number}]" for number in numbers)


def _mark(found: re.Match[str], passages: int) -> Mark | None:
    """The mark of a match; None for an interval (see ``find_marks``)."""
    numbers: list[int] = []
    items = _NUMBER_OR_RANGE.findall(found["numbers"])
    for first, last in items:
        low, high = int(first), int(last or first)
        numbers += range(low, high + 1) if low <= high else (low, high)
    if len(items) > 1 or items[0][1]:
        before = found.string[max(0, found.start() - _LOOKBACK) : found.start()]
        exist = all(1 <= number <= passages for number in numbers)
        if _BEFORE_INTERVAL.search(before) or (not exist and _AFTER_NUMBER.search(before)):
            return None
    return Mark(found.start(), found.end(), tuple(dict.fromkeys(numbers)))


def _bracket(text: str, mark: Mark) -> int:
    """The position of the mark's opening bracket."""
    return mark.end - len(text[mark.start : mark.end].lstrip())


def _sentence_of(mark: Mark, spans: Sequence[Span], text: str) -> int:
    """The index of the sentence to which a mark belongs (see ``cited_sentences``)."""
    index = next((index for index, (_, end) in enumerate(spans) if mark.start < end), len(spans))
    if index == len(spans):
        return index - 1
    bracket = _bracket(text, mark)
    if index == 0 or spans[index][0] < bracket:
        return index
    begins_line = "\n" in text[spans[index - 1][1] : bracket]
    return index if begins_line and "\n" not in text[mark.end : spans[index][0]] else index - 1
