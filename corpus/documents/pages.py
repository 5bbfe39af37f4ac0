"""The running text of a paged document: no running heads, words and sentences joined over breaks."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from corpus.sentences import sentence_spans

_EDGE = 3  # lines at a page's top and foot among which running heads and feet are looked for
_KEPT = 0.2  # of a text that must be left when they are taken out; else the pages are forms that are all alike
_BROKEN = re.compile(r"(?<![^\W\d_])(?P<first>[^\W\d_]++)(?:[-‐]|\u00ad)\n[ \t]*(?P<second>[^\W\d_]+)")
_COMPOUNDS = re.compile(  # first parts that keep their hyphen
    r"(?:low|high|long|short|well|self|non|double|single|half|all|cross|first|second|third|one|two|three|four|five|six|dose"
    r"|age|sex|risk|year|day|week|month|open|placebo|evidence|population|hospital|community|health|patient|drug|life|case"
    r"|large|small|full|part|right|left|early|late|old|new|head|face|end|beta|alpha|gamma|follow|check|meta)\Z",
    re.IGNORECASE,
)
_SECONDS = re.compile(  # second parts that do
    r"(?:induced|related|based|dependent|controlled|blind(?:ed)?|free|like|term|enhancing|lowering|reducing|sparing|resistant"
    r"|specific|associated|positive|negative|treated|adjusted|naive|matched|weighted|treatment|threatening)\Z",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_GOES_ON = re.compile(  # words that no sentence ends with
    r"(?:[,(–]|\b(?:an?|the|of|in|on|at|to|for|with|and|or|but|that|than|by|from|as|is|are|was|were|be|not|no|which|who|if"
    r"|per|vs|der|die|das|den|dem|des|und|oder|mit|von|bei|zu|im|am|ein|eine|nicht|de|la|le|les|du|et|ou|el|los|y|o))\Z",
    re.IGNORECASE,
)
_FOOTNOTE = re.compile(r"\s*(?:\d{1,2}|[*†‡§¶])[.)]?\s?[A-Z(]")
_FOOTNOTES = 6  # lines of footnotes at a page's foot at the most
_WORDS = 4  # of a page's last line, at the least, for it to be no heading
_HEADING = 6  # words of a heading at the most
_LONGEST = 2000  # characters of a sentence that are taken over from the next page


def read_on(pages: Sequence[str]) -> list[str]:
    """The pages' texts; a sentence that goes on over a break stands whole on the page that it begins on."""
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
    """The pages without lines that recur at the same place of their edges; numbers in them may differ.

    Where too little is left, only the outermost lines are looked at, and the pages stay as they are if that leaves too
    little too.
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
    """The lines that more than half of the pages have."""
    counted = Counter(name for names in edges for name in set().union(*names.values()))
    return {name for name, times in counted.items() if times >= max(least, len(edges) / 2)}


def _edges(page: Sequence[str], depth: int) -> dict[int, set[str]]:
    """The lines at a page's edges by their number: each with its place from the top or the foot."""
    filled = [at for at, line in enumerate(page) if line.strip()]
    names: dict[int, set[str]] = {}
    for place in range(min(depth, len(filled))):
        for at, side in ((filled[place], "top"), (filled[-1 - place], "foot")):
            names.setdefault(at, set()).add(f"{side} {place} {_bare(page[at])}")
    return names


def _bare(line: str) -> str:
    """A line without its spaces and its numbers, roman ones too; a page's number may stand on either side."""
    return re.sub(r"\d+|\b[ivxlc]+\b", "#", " ".join(line.split()).lower()).strip("# |–—-.")


def _rest_of_sentence(before: str, text: str) -> tuple[str, str]:
    """The end of the sentence that the page before breaks off in, and what follows it."""
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
        or begin > len(before) - len(last)  # within a line, behind another sentence: no heading does
    )
    if not goes_on and (len(last.split()) < _WORDS or _is_heading(rest)):
        return "", text
    end = over - len(before) - 1
    return text[:end].strip(), text[end:].lstrip()


def _without_footnotes(page: str) -> tuple[str, str]:
    """A page's text without the footnotes that follow a line that breaks off, and the footnotes.

    Only whole sentences are footnotes: a line that itself breaks off may begin with a number too.
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
    """Whether a page begins with a line of a few words without a stop, and the next one with a capital."""
    first, _, after = text.lstrip().partition("\n")
    return len(first.split()) <= _HEADING and not re.search(r"[.,;:(]", first) and not after.lstrip()[:1].islower()


def _joined(match: re.Match[str], whole: set[str], hyphenated: set[str]) -> str:
    """A word broken at a line's end; it keeps its hyphen where the document or the language writes it with one."""
    first, second = match["first"], match["second"]
    if "\u00ad" in match[0] or f"{first}{second}".lower() in whole:
        return first + second
    known = f"{first}-{second}".lower() in hyphenated
    compound = known or _COMPOUNDS.match(first) or _SECONDS.match(second) or not second[0].islower()
    return f"{first}-{second}" if compound else first + second
