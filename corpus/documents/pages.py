"""The text of a paged document without running heads, with words and sentences joined across breaks."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from corpus.sentences import sentence_spans

_MAX_EDGE_LINES = 3  # lines at a page's top and bottom that may be running heads or feet
# Share of the text that must remain when running heads are removed: in forms, most lines of all pages are the same.
_MIN_SHARE = 0.2
_BROKEN_WORD = re.compile(r"(?<![^\W\d_])(?P<first>[^\W\d_]++)(?:[-‐]|\u00ad)\n[ \t]*(?P<second>[^\W\d_]+)")
_COMPOUND_STARTS = re.compile(  # first halves of words that keep their hyphen
    r"(?:low|high|long|short|well|self|non|double|single|half|all|cross|first|second|third|one|two|three|four|five|six|dose"
    r"|age|sex|risk|year|day|week|month|open|placebo|evidence|population|hospital|community|health|patient|drug|life|case"
    r"|large|small|full|part|right|left|early|late|old|new|head|face|end|beta|alpha|gamma|follow|check|meta)\Z",
    re.IGNORECASE,
)
_COMPOUND_ENDS = re.compile(  # second halves of words that keep their hyphen
    r"(?:induced|related|based|dependent|controlled|blind(?:ed)?|free|like|term|enhancing|lowering|reducing|sparing|resistant"
    r"|specific|associated|positive|negative|treated|adjusted|naive|matched|weighted|treatment|threatening)\Z",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_UNFINISHED = re.compile(  # ends of a line that never end a sentence
    r"(?:[,(–]|\b(?:an?|the|of|in|on|at|to|for|with|and|or|but|that|than|by|from|as|is|are|was|were|be|not|no|which|who|if"
    r"|per|vs|der|die|das|den|dem|des|und|oder|mit|von|bei|zu|im|am|ein|eine|nicht|de|la|le|les|du|et|ou|el|los|y|o))\Z",
    re.IGNORECASE,
)
_FOOTNOTE = re.compile(r"\s*(?:\d{1,2}|[*†‡§¶])[.)]?\s?[A-Z(]")
_MAX_FOOTNOTE_LINES = 6  # on a page
_MIN_LAST_LINE_WORDS = 4  # a page's last line with fewer words may be a heading
_MAX_HEADING_WORDS = 6
_MAX_SENTENCE = 2000  # characters on each side of a page break in which a sentence across it is searched


def join_pages(pages: Sequence[str]) -> list[str]:
    """The pages' texts; a sentence across a page break is moved to the page where it begins."""
    texts = without_running_heads(pages)
    words = {word.lower() for text in texts for word in _WORD.findall(text)}
    joined: list[str] = []
    last = -1  # index of the last page with text
    for number, text in enumerate(texts):
        text = text.strip("\n")
        if last >= 0 and text:
            body, notes = _without_footnotes(joined[last]) if text.lstrip()[:1].islower() else (joined[last], "")
            sentence_end, text = _rest_of_sentence(body, text)
            if sentence_end:
                joined[last] = "\n".join(filter(None, (body, sentence_end))) + (f"\n\n{notes}" if notes else "")
        joined.append(text)
        if text:
            last = number
    return [_BROKEN_WORD.sub(lambda match: _join_word(match, words), text) for text in joined]


def without_running_heads(pages: Sequence[str]) -> list[str]:
    """The pages without lines that recur at the same place near the edges; numbers in the lines may differ.

    If too little text would remain, only outermost lines are removed. If still too little would remain, none are.
    """
    lines = [text.split("\n") for text in pages]
    size = sum(len(line) for page in lines for line in page)
    for depth in (_MAX_EDGE_LINES, 1):
        edges = [_edges(page, depth) for page in lines]
        odd_and_even = _recurring(edges[::2], min_pages=3) | _recurring(edges[1::2], min_pages=3)
        running = _recurring([names for names in edges if names]) | odd_and_even
        remaining = [
            [line for at, line in enumerate(page) if not running & names.get(at, set())]
            for page, names in zip(lines, edges, strict=True)
        ]
        if sum(len(line) for page in remaining for line in page) >= _MIN_SHARE * size:
            return ["\n".join(page) for page in remaining]
    return list(pages)


def _recurring(edges: Sequence[Mapping[int, set[str]]], min_pages: int = 2) -> set[str]:
    """The names of lines (see ``_edges``) that occur on at least half of the pages and at least ``min_pages`` pages."""
    counted = Counter(name for names in edges for name in set().union(*names.values()))
    return {name for name, times in counted.items() if times >= max(min_pages, len(edges) / 2)}


def _edges(page: Sequence[str], depth: int) -> dict[int, set[str]]:
    """Names of the lines near a page's edges, by line number.

    A name consists of the edge, the distance from it, and the line without numbers. In a short page a line may have two
    names.
    """
    filled = [at for at, line in enumerate(page) if line.strip()]
    names: dict[int, set[str]] = {}
    for place in range(min(depth, len(filled))):
        for at, side in ((filled[place], "top"), (filled[-1 - place], "foot")):
            names.setdefault(at, set()).add(f"{side} {place} {_without_numbers(page[at])}")
    return names


def _without_numbers(line: str) -> str:
    """A line in lower case with Arabic and Roman numbers replaced by #, or removed at its start and end."""
    return re.sub(r"\d+|\b[ivxlc]+\b", "#", " ".join(line.split()).lower()).strip("# |–—-.")


def _rest_of_sentence(before: str, text: str) -> tuple[str, str]:
    """The start of ``text`` that ends the last sentence of the page ``before``, and the rest of ``text``."""
    before = before.rstrip()[-_MAX_SENTENCE:]
    rest = text[:_MAX_SENTENCE]
    spans = sentence_spans(f"{before}\n{rest}")
    across = next(((start, end) for start, end in spans if start < len(before) < end), None)
    if across is None:
        return "", text
    sentence_start, sentence_end = across
    last = before.rpartition("\n")[2]
    continues = (
        rest.lstrip()[:1].islower()
        or _UNFINISHED.search(last)
        or last.endswith(("-", "‐", "\u00ad", "."))
        or sentence_start > len(before) - len(last)  # the sentence begins within a line, as no heading does
    )
    if not continues and (len(last.split()) < _MIN_LAST_LINE_WORDS or _is_heading(rest)):
        return "", text
    end = sentence_end - len(before) - 1
    return text[:end].strip(), text[end:].lstrip()


def _without_footnotes(page: str) -> tuple[str, str]:
    """A page's text without its footnotes, and the footnotes; they begin below a line without a final stop.

    A page whose end does not end a sentence has no footnotes: its last lines are text, even if a number begins them.
    """
    if not page.rstrip().endswith((".", "!", "?", ")")):
        return page, ""
    lines = page.rstrip().split("\n")
    for at in range(len(lines) - 1, max(0, len(lines) - _MAX_FOOTNOTE_LINES - 1), -1):
        above = next(filter(None, reversed(lines[:at])), "")
        if _FOOTNOTE.match(lines[at]) and not re.search(r"[.:;!?]\s*\Z", above):
            return "\n".join(lines[:at]), "\n".join(lines[at:])
    return page, ""


def _is_heading(text: str) -> bool:
    """Whether a page begins with a heading: a short line without a stop, not followed by a lower-case letter."""
    first, _, after = text.lstrip().partition("\n")
    return (
        len(first.split()) <= _MAX_HEADING_WORDS
        and not re.search(r"[.,;:(]", first)
        and not after.lstrip()[:1].islower()
    )


def _join_word(match: re.Match[str], words: set[str]) -> str:
    """A word broken at a line end, joined. The hyphen stays if the word is a compound or is hyphenated elsewhere.

    ``words`` are all words of the document, in lower case.
    """
    first, second = match["first"], match["second"]
    if "\u00ad" in match[0] or f"{first}{second}".lower() in words:
        return first + second
    is_known = f"{first}-{second}".lower() in words
    is_compound = is_known or _COMPOUND_STARTS.match(first) or _COMPOUND_ENDS.match(second) or not second[0].islower()
    return f"{first}-{second}" if is_compound else first + second
