"""Numbers of passages, and citation marks such as [1], [1, 2] and [1-3] in texts."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from chains.answer import Passage, Sentence
from corpus.sentences import Span, sentence_spans

_OPENING, _CLOSING = r"[\[［【]", r"[\]］】]"
_TO = r"[-–—‑−~～]"
_NAMES = (
    r"(?:passages?|sources?|texts?|references?|refs?\.?|documents?|docs?|abstracts?|ids?|nos?\.?|quellen?|fuentes?"
    r"|extraits?|pasajes?|文献|来源|段落|资料)"
)
_PLACE = r"(?:\s*+(?:†|,?\s*+(?:pp?\.|S\.)|,\s*+pages?\b)[^\[\]［］【】\n]{0,40}+)?"  # such as ", p. 3"
# Runs of white space are tried from their beginning only and never given back: a text may be little else.
_SPACE = r"(?<!\s)\s*+"
_MARK = re.compile(
    rf"{_SPACE}(?P<double>\[(?=\[[^\[\]]*\]\]))?{_OPENING}\s*+\^?(?:{_NAMES}\s*+)?:?\s*+\#?"
    rf"(?P<numbers>\d{{1,3}}(?:\s*+(?:{_TO}|[,;、，&]|and|und|et|y)\s*+(?:{_NAMES}\s*+:?\s*+)?\d{{1,3}})*)"
    rf"{_PLACE}\s*+{_CLOSING}(?(double)\])",
    re.IGNORECASE,
)
_PART = re.compile(rf"(\d+)(?:\s*{_TO}\s*(\d+))?")
_HELD = re.compile(
    rf"{_SPACE}(?:\[\[[^\[\]\n]{{0,200}}\]|{_OPENING}[^\]］】\n]{{0,200}})?\Z"
)  # the end of a stream that may become a mark
_CUT_MARK = re.compile(rf"{_SPACE}{_OPENING}\s*+\^?\d[\d\s,;–-]*\Z")  # a mark that the limit of tokens cut off
_INTERVAL = re.compile(r"\b(?:CIs?|CrI|IQR|KI|IC|interval|range[sd]?|Intervall)\b[\s:,=]*\Z", re.IGNORECASE)
_AFTER_NUMBER = re.compile(r"\d\s*%?[\s:,]*\Z")
_BACK = 40  # characters before a mark that decide whether it is an interval


def passage_numbers(passages: Sequence[Passage]) -> dict[str, int]:
    """The number of each passage by its id: its position among an answer's passages, from 1.

    Prompts, marks, footnotes, the page and JSON use these numbers.
    """
    return {passage.id: number for number, passage in reversed(list(enumerate(passages, start=1)))}  # the first counts


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
    """Rewrites the marks of a streamed text as [1][2] and removes the numbers of passages that do not exist.

    ``unknown`` are the removed numbers.
    """

    def __init__(self, passages: int) -> None:
        self._passages = passages
        self.unknown: set[int] = set()

    def write(self, pieces: Iterable[str]) -> Iterator[str]:
        """The text in pieces, stripped; an unfinished bracket is held back until it is complete."""
        raw, done = "", 0
        for piece in pieces:
            raw += piece
            held = _HELD.search(raw)
            settled = self._settled(raw[: held.start() if held else len(raw)])
            if len(settled) > done:
                yield settled[done:]
                done = len(settled)
        settled = self._settled(_CUT_MARK.sub("", raw)).rstrip()
        if len(settled) > done:
            yield settled[done:]

    @property
    def notes(self) -> tuple[str, ...]:
        """A note on the removed numbers, if there are any."""
        if not self.unknown:
            return ()
        first = [str(number) for number in sorted(self.unknown)]
        named = ", ".join(first[:5]) + (f" and {len(first) - 5} more" if len(first) > 5 else "")
        what = "passage" if len(first) == 1 else "passages"
        there = "1 passage was" if self._passages == 1 else f"{self._passages} passages were"
        return (f"citations of {what} {named} were removed: only {there} read",)

    def _settled(self, raw: str) -> str:
        def rewritten(found: re.Match[str]) -> str:
            mark = _mark(found, self._passages)
            if mark is None:
                return found[0]
            known = [number for number in mark.numbers if 1 <= number <= self._passages]
            self.unknown.update(number for number in mark.numbers if number not in known)
            return _written(found, known) if known else ""

        return _MARK.sub(rewritten, raw).lstrip()


def renumbered(text: str, numbers: Sequence[int]) -> str:
    """The text with passage 1 cited as ``numbers[0]``, passage 2 as ``numbers[1]`` and so on."""

    def rewritten(found: re.Match[str]) -> str:
        mark = _mark(found, len(numbers))
        if mark is None:
            return found[0]
        return _written(
            found, [numbers[number - 1] if 1 <= number <= len(numbers) else number for number in mark.numbers]
        )

    return _MARK.sub(rewritten, text)


def cited_sentences(text: str, passages: int) -> tuple[Sentence, ...]:
    """The sentences of a text, each with the passages that its marks cite.

    A mark between two sentences belongs to the first, unless it begins the line of the second.
    """
    marks = find_marks(text, passages)
    blank = text
    for mark in marks:
        blank = blank[: mark.start] + " " * (mark.end - mark.start) + blank[mark.end :]
    spans = sentence_spans(blank)
    cited: list[list[int]] = [[] for _ in spans]
    for mark in marks:
        if not spans:
            break
        place = _sentence_of(mark, spans, text)
        start, end = spans[place]
        spans[place] = (min(start, _bracket(text, mark)), max(end, mark.end))
        cited[place] += mark.numbers
    return tuple(
        Sentence(text=text[start:end], start=start, end=end, citations=tuple(dict.fromkeys(numbers)))
        for (start, end), numbers in zip(spans, cited, strict=True)
    )


def _written(found: re.Match[str], numbers: Sequence[int]) -> str:
    """A mark's white space, and its numbers in the form [1][2]."""
    space = found[0][: len(found[0]) - len(found[0].lstrip())]
    return space + "".join(f"[{number}]" for number in numbers)


def _mark(found: re.Match[str], passages: int) -> Mark | None:
    numbers: list[int] = []
    parts = _PART.findall(found["numbers"])
    for first, last in parts:
        one, other = int(first), int(last or first)
        numbers += range(one, other + 1) if one <= other else (one, other)
    if len(parts) > 1 or parts[0][1]:
        before = found.string[max(0, found.start() - _BACK) : found.start()]
        exist = all(1 <= number <= passages for number in numbers)
        if _INTERVAL.search(before) or (not exist and _AFTER_NUMBER.search(before)):
            return None
    return Mark(found.start(), found.end(), tuple(dict.fromkeys(numbers)))


def _bracket(text: str, mark: Mark) -> int:
    """The position of the mark's opening bracket."""
    return mark.end - len(text[mark.start : mark.end].lstrip())


def _sentence_of(mark: Mark, spans: Sequence[Span], text: str) -> int:
    place = next((place for place, (_, end) in enumerate(spans) if mark.start < end), len(spans))
    if place == len(spans):
        return place - 1
    bracket = _bracket(text, mark)
    if place == 0 or spans[place][0] < bracket:
        return place
    begins_line = "\n" in text[spans[place - 1][1] : bracket]
    return place if begins_line and "\n" not in text[mark.end : spans[place][0]] else place - 1
