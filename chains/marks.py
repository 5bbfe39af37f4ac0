"""Numbers of passages, and citation marks such as [1], [1, 2], [1-3] and (passage 1) in texts."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from chains.answer import Passage, Sentence
from corpus.evidence import is_reference_list
from corpus.sentences import Span, sentence_spans

_OPENING, _CLOSING = r"[\[［【]", r"[\]］】]"
_DASH = r"[-–—‑−~～]"
_SOURCE_NAMES = (
    r"(?:passages?|sources?|texts?|references?|refs?\.?|documents?|docs?\.?|abstracts?|ids?|nos?\.?|citations?|cite"
    r"|chunks?|contexts?|excerpts?|snippets?|evidence|articles?|papers?|quellen?|fuentes?|extraits?|pasajes?|文献|来源|段落|资料)"
)
_PAGES = r"(?:\s*+(?:†|,?\s*+(?:pp?\.|S\.)|,\s*+pages?\b)[^\[\]［］【】\n]{0,40}+)?"  # such as ", p. 3"
_SPACE = r"(?<!\s)\s*+"  # matches a whole run or nothing, so that long runs take linear time
_RANGE = rf"(?:\s*+{_DASH}\s*+|\s++(?:to|through|bis|à|a)\s++)"
_SEPARATOR = rf"(?:{_RANGE}|\s*+[,;、，&]\s*+|\s++(?:and|or|und|oder|et|ou|y|o)\s++)"
_NUMBERS = rf"\d{{1,3}}(?:{_SEPARATOR}(?:{_SOURCE_NAMES}\s*+:?\s*+)?\d{{1,3}})*"
# Parentheses need a name: of 272 numbers alone in parentheses in PubMedQA's 1,000 abstracts none is a citation.
_NAME_IN_PARENTHESES = r"(?:passages?|sources?|documents?|abstracts?|excerpts?)"
_SEARCH_MARK = r"\ue200[^\ue200\ue201\n]{0,200}"  # a mark of OpenAI's web search, which names no passage
_MARK = re.compile(
    rf"{_SPACE}(?:(?P<double>\[(?=\[[^\[\]]*\]\]))?(?:\\?{_OPENING}|(?P<parenthesis>\((?={_NAME_IN_PARENTHESES})))\s*+\^?"
    rf"(?:{_SOURCE_NAMES}\s*+[:_-]?)?:?\s*+\#?(?P<numbers>{_NUMBERS}){_PAGES}\s*+"
    rf"(?(parenthesis)\)|\\?{_CLOSING}(?(double)\]))"
    rf"|(?<=\S)<sup>\s*+(?P<bracket>\[)?(?P<superscript>{_NUMBERS})\s*+(?(bracket)\])\s*+</sup>"
    rf"|\#\#(?P<hashes>\d{{1,3}})\$\$"  # the form of RAGFlow
    rf"|{_SEARCH_MARK}\ue201)",
    re.IGNORECASE,
)
_NUMBER_OR_RANGE = re.compile(rf"(\d+)(?:{_RANGE}(\d+))?", re.IGNORECASE)
_MAX_BRACKET = 200  # characters of a bracket with numbers; it limits the delay of a streamed text
_UNFINISHED_MARK = re.compile(
    rf"{_SPACE}(?:\[\[[^\[\]]{{0,{_MAX_BRACKET}}}\]|\\?{_OPENING}[^\]］】]{{0,{_MAX_BRACKET}}}|\\"
    rf"|\((?:[a-z]{{0,9}}|{_NAME_IN_PARENTHESES}[^()]{{0,{_MAX_BRACKET}}})"
    rf"|<(?:s|su|sup|sup>[^<>]{{0,{_MAX_BRACKET}}}(?:</?s?u?p?)?)?|\#\#?\d{{0,3}}\$?|{_SEARCH_MARK})?\Z",
    re.IGNORECASE,
)  # the end of a partial stream that later pieces may complete to a mark
_CUT_MARK = re.compile(  # white space, or a mark cut off by the token limit, at the end of a text
    rf"{_SPACE}(?:\\?{_OPENING}\s*+\^?\d[\d\s,;–-]{{0,{_MAX_BRACKET - 10}}}\\?"
    rf"|\#\#\d{{1,3}}\$?|{_SEARCH_MARK})?\Z"
)
_BEFORE_SUPERSCRIPT_MARK = re.compile(  # a word or a sign; a superscript after a number or a short unit is an exponent
    r"(?:[^\W\d_]{3}|[\u3040-\u30ff\u4e00-\u9fff]|[.,;:!?。%)\]\"'”’»])\Z"
)
_LINE_START = re.compile(r"\s*(?:[-*•]\s+|\d{1,3}[.)]\s+)?")  # white space and the marker of a list item
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


def find_marks(text: str, passages: int, start: int = 0, end: int | None = None) -> list[Mark]:
    """The marks in ``text[start:end]`` in order; numbers may exceed ``passages``.

    A mark of OpenAI's web search has no numbers. A bracket with several numbers or a range may be an interval, which is
    not a mark. It is an interval after "CI" or "range". After a number, it is an interval if it names a passage that
    does not exist, as in "median 4 [12-30]". A bracket of more than 200 characters is not a mark.
    """
    matches = _MARK.finditer(text, start, len(text) if end is None else end)
    return [mark for match in matches if (mark := _mark(match, passages)) is not None]


def without_marks(text: str, passages: int = 0) -> str:
    """The text without its marks, for statements, passages with references, and earlier turns in a prompt."""
    return _with_numbers(text, passages, lambda _: ())


class MarkWriter:
    """Rewrites the marks of a streamed text as [1][2] and removes the numbers that no passage has.

    ``passages`` is the number of passages; ``unknown`` are the removed numbers.
    """

    def __init__(self, passages: int) -> None:
        self._passages = passages
        self.unknown: set[int] = set()

    def write(self, pieces: Iterable[str]) -> Iterator[str]:
        """The rewritten text in pieces, stripped; an unfinished bracket is delayed until it is complete."""
        raw, end, has_begun = "", 0, False
        for piece in chain(pieces, [None]):  # None ends the text
            raw += piece or ""
            unfinished = (_CUT_MARK if piece is None else _UNFINISHED_MARK).search(raw, end)
            start, end = end, unfinished.start() if unfinished else len(raw)
            text = _with_numbers(raw, self._passages, self._filter_numbers, start, end)
            text = text if has_begun else text.lstrip()
            if text:
                has_begun = True
                yield text

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

    def _filter_numbers(self, numbers: Sequence[int]) -> list[int]:
        """The numbers that a passage has; records the other numbers in ``unknown``."""
        known = [number for number in numbers if 1 <= number <= self._passages]
        self.unknown.update(set(numbers) - set(known))
        return known


def renumbered(text: str, numbers: Sequence[int]) -> str:
    """The text with passage 1 cited as ``numbers[0]``, passage 2 as ``numbers[1]`` and so on."""

    def new_numbers(cited: Sequence[int]) -> list[int]:
        return [numbers[number - 1] if 1 <= number <= len(numbers) else number for number in cited]

    return _with_numbers(text, len(numbers), new_numbers)


def _with_numbers(
    text: str,
    passages: int,
    new_numbers: Callable[[Sequence[int]], Sequence[int]],
    start: int = 0,
    end: int | None = None,
) -> str:
    """``text[start:end]`` with marks in the form [1][2]; ``new_numbers`` maps a mark's numbers to the written ones.

    A mark without new numbers is removed with the white space before it.
    """
    parts: list[str] = []
    for mark in find_marks(text, passages, start, end):
        parts.append(text[start : mark.start])
        if numbers := new_numbers(mark.numbers):
            parts += text[mark.start : _bracket(text, mark)], *(f"[{number}]" for number in numbers)
        start = mark.end
    return "".join([*parts, text[start:end]])


def cited_sentences(text: str, passages: int) -> tuple[Sentence, ...]:
    """The sentences of a text, each with the passages that its marks cite.

    A mark between two sentences belongs to the first one, with two exceptions. It belongs to the second one if it
    begins that sentence's line. It also does if the line of both begins with a mark and does not end with one. Rules
    such as --- and a list of references after the text are not sentences.
    """
    marks = find_marks(text, passages)
    characters = list(text)
    for mark in marks:
        characters[mark.start : mark.end] = " " * (mark.end - mark.start)
    unmarked = "".join(characters)
    spans = [span for span in sentence_spans(unmarked) if any(map(str.isalnum, unmarked[slice(*span)]))]
    references = next((start for start, _ in spans[1:] if is_reference_list(text[start:])), len(text))
    spans = [span for span in spans if span[0] < references]
    cited: list[list[int]] = [[] for _ in spans]
    for mark in marks:
        if not spans or mark.start >= references:
            break
        index = _sentence_of(mark, spans, text, unmarked)
        start, end = spans[index]
        spans[index] = (min(start, _bracket(text, mark)), max(end, mark.end))
        cited[index] += mark.numbers
    return tuple(
        Sentence(text=text[start:end], start=start, end=end, citations=tuple(dict.fromkeys(numbers)))
        for (start, end), numbers in zip(spans, cited, strict=True)
    )


def _mark(match: re.Match[str], passages: int) -> Mark | None:
    """The mark of a match; None for a bracket that is not a mark (see ``find_marks``)."""
    numbers: list[int] = []
    items = _NUMBER_OR_RANGE.findall(match["numbers"] or match["superscript"] or match["hashes"] or "")
    for first, last in items:
        low, high = int(first), int(last or first)
        numbers += range(low, high + 1) if low <= high else (low, high)
    mark = Mark(*match.span(), tuple(dict.fromkeys(numbers)))
    if mark.end - _bracket(match.string, mark) > _MAX_BRACKET:
        return None
    if match["superscript"] and not _BEFORE_SUPERSCRIPT_MARK.search(match.string, max(0, mark.start - 3), mark.start):
        return None
    if len(items) > 1 or any(last for _, last in items):
        before = match.string[max(0, mark.start - _LOOKBACK) : mark.start]
        exist = all(1 <= number <= passages for number in numbers)
        if _BEFORE_INTERVAL.search(before) or (not exist and _AFTER_NUMBER.search(before)):
            return None
    return mark


def _bracket(text: str, mark: Mark) -> int:
    """The position of the mark's opening bracket."""
    return mark.end - len(text[mark.start : mark.end].lstrip())


def _sentence_of(mark: Mark, spans: Sequence[Span], text: str, unmarked: str) -> int:
    """The index of the sentence to which a mark belongs (see ``cited_sentences``).

    ``unmarked`` is the text with spaces in place of the marks.
    """
    index = next((index for index, (_, end) in enumerate(spans) if mark.start < end), len(spans))
    if index == len(spans):
        return index - 1
    bracket = _bracket(text, mark)
    if index == 0 or spans[index][0] < bracket:
        return index
    if "\n" in text[mark.end : spans[index][0]]:
        return index - 1
    begins_line = "\n" in text[spans[index - 1][1] : bracket]
    line_start, line_end = text.rfind("\n", 0, bracket) + 1, text.find("\n", bracket)
    line = slice(line_start, line_end if line_end >= 0 else len(text))
    return index if begins_line or _marks_precede_sentences(text[line], unmarked[line]) else index - 1


def _marks_precede_sentences(line: str, unmarked: str) -> bool:
    """Whether a line begins with a mark and does not end with one; ``unmarked`` is the line without its marks."""
    marker = _LINE_START.match(line)
    start = marker.end() if marker else 0
    begins_with_mark = line[start : start + 1] != unmarked[start : start + 1]
    return begins_with_mark and len(unmarked.rstrip()) == len(line.rstrip())
