"""Where sentences, paragraphs and words begin and end in plain text, as spans into it."""

import re

Span = tuple[int, int]

_PARAGRAPH = re.compile(r"\S(?:.*?\S)?(?=[^\S\n]*\n[^\S\n]*\n|\s*\Z)", re.DOTALL)
_SENTENCE_END = re.compile(r"(?:[.!?][\"')\]]*(?=\s)|[。！？]|\n)\s*")
_LIST_ITEM = re.compile(r"(?:[-*+#>]+|\d+[.)])[^\S\n]")
# What a full stop ends no sentence after: always, before a digit ("No. 3"), and before a small letter ("E. coli").
_ABBREVIATION = re.compile(
    r"\b(?:e\.g|i\.e|cf|vs|et al|approx|ca|resp|dr|prof|mr|mrs|ms|st|spp?|bzw|ggf|inkl|(?-i:[zd])|z\. ?b|d\. ?h)\.$",
    re.IGNORECASE,
)
_BEFORE_DIGIT = re.compile(r"\b(?:nos?|figs?|vol|refs?|eq|p|n|nr|geb|ext|tel|max|min)\.$", re.IGNORECASE)
_BEFORE_SMALL = re.compile(r"\b(?:[A-Z]|etc|inc|[a-z]\.[a-z])\.$")
_ITEM_NUMBER = re.compile(r"(?:\A|:\s)\d{1,2}\.$")  # of a list, "1. Measure lactate", also of one within a line
_ORDINAL = re.compile(  # what a number with a stop counts in German, "am 3. Tag"
    "(?:Tag|Woche|Monat|Jahr|Lebensjahr|Januar|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember)"
)
_LINE = 200  # characters that a line of capitals has at most, to be taken for a heading
_UNDERLINE = re.compile(r"\n[ \t]*(?:={2,}|-{2,})[ \t]*\Z")
_HEADING_MARKS = re.compile(r"\A#+\s|\s#+\s*\Z|\n\s*(?:=+|-+)\s*\Z")
# Scripts that write without spaces count by character; a run without any space is cut, so that every word is short.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]{{1,40}}")


def paragraph_spans(text: str) -> list[Span]:
    """The paragraphs: runs of text between blank lines, without the white space around them."""
    return [match.span() for match in _PARAGRAPH.finditer(text)]


def sentence_spans(text: str, start: int = 0, end: int | None = None) -> list[Span]:
    """The sentences of ``text[start:end]``, without the white space around them.

    A full stop after a common abbreviation, an initial, the number of a list's item or inside a number ends no
    sentence; nor does the end of a line, save before a blank line, before a list item or a heading, and after a heading
    (a line that begins with # or is underlined, or one in capitals alone with another kind of line below it).
    """
    end = len(text) if end is None else end
    spans: list[Span] = []
    begin = start
    for match in _SENTENCE_END.finditer(text, start, end):
        if match[0].count("\n") < 2 and not _ends_sentence(text, begin, match):
            continue
        spans.append((begin, match.end()))
        begin = match.end()
    spans.append((begin, end))
    return [span for span in (_trim(text, *span) for span in spans) if span[0] < span[1]]


def word_spans(text: str, start: int = 0, end: int | None = None) -> list[Span]:
    """The words of ``text[start:end]``, none longer than 40 characters; in unspaced scripts each character is one."""
    return [match.span() for match in _WORD.finditer(text, start, len(text) if end is None else end)]


def heading_name(text: str) -> str:
    """A heading's words in one line, without the signs by which Markdown knows it."""
    return " ".join(_HEADING_MARKS.sub("", text).split())


def _ends_sentence(text: str, begin: int, match: re.Match[str]) -> bool:
    """Whether a stop or a line's end, with the white space after it, ends the sentence that began at ``begin``."""
    sign, after = text[match.start()], match.end()
    if sign == "\n":
        return (
            text.startswith("#", begin)
            or _UNDERLINE.search(text[max(begin, match.start() - _LINE) : match.start()]) is not None
            or _LIST_ITEM.match(text, after) is not None
            or _in_capitals(text, match.start()) != _in_capitals(text, after)
        )
    head, follows = text[max(begin, match.start() - 8) : match.start() + 1], text[after : after + 1]
    return not (
        _ABBREVIATION.search(head)
        or _ITEM_NUMBER.search(head)
        or (head[-2:-1].isdigit() and _ORDINAL.match(text, after))
        or (follows.isdigit() and _BEFORE_DIGIT.search(head))
        or (follows.islower() and _BEFORE_SMALL.search(head))
    )


def _in_capitals(text: str, place: int) -> bool:
    """Whether the line that ``place`` lies in is of capitals, as headings in plain text are; no row of a table."""
    start = text.rfind("\n", max(0, place - _LINE), place) + 1
    end = text.find("\n", place, place + _LINE)
    line = text[start : end if end >= 0 else place + _LINE]
    if line.rstrip().endswith((".", ",")) or "|" in line or "\t" in line:
        return False
    return line.isupper() and sum(map(str.isalpha, line)) >= 4


def _trim(text: str, start: int, end: int) -> Span:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), start + len(part.rstrip())
