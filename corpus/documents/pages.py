"""The running text of a paged document: no running heads, and words and sentences joined across page breaks."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from corpus.sentences import sentence_spans

_EDGE = 3  # lines at a page's top and bottom that may be running heads or feet
_KEPT = 0.2  # minimum share of the text without them; otherwise the pages are similar forms
_BROKEN = re.compile(r"(?<![^\W\d_])(?P<first>[^\W\d_]++)(?:[-‐]|\u00ad)\n[ \t]*(?P<second>[^\W\d_]+)")
_COMPOUNDS = re.compile(  # first parts that keep their hyphen
    r"(?:low|high|long|short|well|self|non|double|single|half|all|cross|first|second|third|one|two|three|four|five|six|dose"
    r"|age|sex|risk|year|day|week|month|open|placebo|evidence|population|hospital|community|health|patient|drug|life|case"
    r"|large|small|full|part|right|left|early|late|old|new|head|face|end|beta|alpha|gamma|follow|check|meta)\Z",
    re.IGNORECASE,
)
_SECONDS = re.compile(  # second parts that keep their hyphen
    r"(?:induced|related|based|dependent|controlled|blind(?:ed)?|free|like|term|enhancing|lowering|reducing|sparing|resistant"
    r"|specific|associated|positive|negative|treated|adjusted|naive|matched|weighted|treatment|threatening)\Z",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_GOES_ON = re.compile(  # words that never end a sentence
    r"(?:[,(–]|\b(?:an?|the|of|in|on|at|to|for|with|and|or|but|that|than|by|from|as|is|are|was|were|be|not|no|which|who|if"
    r"|per|vs|der|die|das|den|dem|des|und|oder|mit|von|bei|zu|im|am|ein|eine|nicht|de|la|le|les|du|et|ou|el|los|y|o))\Z",
    re.IGNORECASE,
)
_FOOTNOTE = re.compile(r"\s*(?:\d{1,2}|[*†‡§¶])[.)]?\s?[A-Z(]")
_FOOTNOTES = 6  # maximum number of lines of footnotes on a page
_WORDS = 4  # minimum number of words in a page's last line that is no heading
_HEADING = 6  # maximum number of words in a heading
_LONGEST = 2000  # maximum number of characters of a sentence moved from the next page


def read_on(pages: Sequence[str]) -> list[str]:
    """The pages' texts; a sentence across a page break is moved to the page where it begins."""
    texts = without_running_heads(pages)
    hyphenated = {word.lower() for text in texts for word in _WORD.findall(text) if "-" in word}
    whole = {word.lower() for text in texts for word in _WORD.findall(text)}
    found: list[str] = []
    last = -1  # the last page with text
    for number, text in enumerate(texts):
        text = text.strip("\n")
        if last >= 0 and text:
            body, notes = _without_footnotes(found[last]) if text.lstrip()[:1].islower() else (found[last], "")
            head, text = _rest_of_sentence(body, text)
            if head:
                found[last] = "\n".join(filter(None, (body, head))) + (f"\n\n{notes}" if notes else "")
        found.append(text)
        if text:
            last = number
    return [_BROKEN.sub(lambda match: _joined(match, whole, hyphenated), text) for text in found]


def without_running_heads(pages: Sequence[str]) -> list[str]:
    """The pages without lines that recur at the same place near their edges; numbers in them may differ.

    If too little text remains, only the outermost lines are removed; if still too little remains, none.
    """
    lines = [text.split("\n") for text in pages]
    size = sum(len(line) for page in lines for line in page)
    for depth in (_EDGE, 1):
        edges = [_edges(page, depth) for page in lines]
        running = _running([names for names in edges if names]) | _running(edges[::2], 3) | _running(edges[1::2], 3)
        kept = [
            [line for at, line in enumerate(page) if not running & names.get(at, set())]
            for page, names in zip(lines, edges, strict=True)
        ]
        if sum(len(line) for page in kept for line in page) >= _KEPT * size:
            return ["\n".join(page) for page in kept]
    return list(pages)


def _running(edges: Sequence[Mapping[int, set[str]]], least: int = 2) -> set[str]:
    """The lines that occur on at least half of the pages."""
    counted = Counter(name for names in edges for name in set().union(*names.values()))
    return {name for name, times in counted.items() if times >= max(least, len(edges) / 2)}


def _edges(page: Sequence[str], depth: int) -> dict[int, set[str]]:
    """The lines at a page's edges by their number, each with its place from the top or bottom."""
    filled = [at for at, line in enumerate(page) if line.strip()]
    names: dict[int, set[str]] = {}
    for place in range(min(depth, len(filled))):
        for at, side in ((filled[place], "top"), (filled[-1 - place], "foot")):
            names.setdefault(at, set()).add(f"{side} {place} {_bare(page[at])}")
    return names


def _bare(line: str) -> str:
    """A line in lower case with its numbers, Arabic or Roman, as #; a page's number at either side is removed."""
    return re.sub(r"\d+|\b[ivxlc]+\b", "#", " ".join(line.split()).lower()).strip("# |–—-.")


def _rest_of_sentence(before: str, text: str) -> tuple[str, str]:
    """The end of the sentence that the previous page breaks off in, and the rest of the text."""
    before = before.rstrip()[-_LONGEST:]
    rest = text[:_LONGEST]
    spans = sentence_spans(f"{before}\n{rest}")
    begin, over = next(((start, end) for start, end in spans if start < len(before) < end), (0, 0))
    if not over:
        return "", text
    last = before.rpartition("\n")[2]
    goes_on = (
        rest.lstrip()[:1].islower()
        or _GOES_ON.search(last)
        or last.endswith(("-", "‐", "\u00ad", "."))
        or begin > len(before) - len(last)  # after another sentence in its line, as no heading does
    )
    if not goes_on and (len(last.split()) < _WORDS or _is_heading(rest)):
        return "", text
    end = over - len(before) - 1
    return text[:end].strip(), text[end:].lstrip()


def _without_footnotes(page: str) -> tuple[str, str]:
    """A page's text without the footnotes below a line that breaks off, and the footnotes.

    A footnote ends a sentence, since a line of text that breaks off may also begin with a number.
    """
    if not page.rstrip().endswith((".", "!", "?", ")")):
        return page, ""
    lines = page.rstrip().split("\n")
    for at in range(len(lines) - 1, max(0, len(lines) - _FOOTNOTES - 1), -1):
        above = next(filter(None, reversed(lines[:at])), "")
        if _FOOTNOTE.match(lines[at]) and not re.search(r"[.:;!?]\s*\Z", above):
            return "\n".join(lines[:at]), "\n".join(lines[at:])
    return page, ""


def _is_heading(text: str) -> bool:
    """Whether a page begins with a short line without a stop, and the next line does not begin in lower case."""
    first, _, after = text.lstrip().partition("\n")
    return len(first.split()) <= _HEADING and not re.search(r"[.,;:(]", first) and not after.lstrip()[:1].islower()


def _joined(match: re.Match[str], whole: set[str], hyphenated: set[str]) -> str:
    """A word broken at a line end; it keeps a hyphen that the document or the language requires."""
    first, second = match["first"], match["second"]
    if "\u00ad" in match[0] or f"{first}{second}".lower() in whole:
        return first + second
    known = f"{first}-{second}".lower() in hyphenated
    compound = known or _COMPOUNDS.match(first) or _SECONDS.match(second) or not second[0].islower()
    return f"{first}-{second}" if compound else first + second
