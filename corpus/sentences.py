"""Where sentences, paragraphs and words begin and end in plain text, as spans into it."""

import re

Span = tuple[int, int]

_PARAGRAPH = re.compile(r"\S(?:.*?\S)?(?=[^\S\n]*\n[^\S\n]*\n|\s*\Z)", re.DOTALL)
_SENTENCE_END = re.compile(r"(?:[.!?][\"')\]]*(?=\s)|[。！？]|\n(?=[^\S\n]*(?:[-*+#>]|\d+[.)])\s))\s*")
# What a full stop ends no sentence after: always, before a digit ("No. 3"), and before a small letter ("E. coli").
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|cf|vs|et al|approx|ca|resp|dr|prof|mr|mrs|ms|st|spp?)\.$", re.IGNORECASE)
_BEFORE_DIGIT = re.compile(r"\b(?:nos?|figs?|vol|refs?|eq|p|n)\.$", re.IGNORECASE)
_BEFORE_SMALL = re.compile(r"\b(?:[A-Z]|etc|inc)\.$")
# Scripts that write without spaces count by character; a run without any space is cut, so that every word is short.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]{{1,40}}")


def paragraph_spans(text: str) -> list[Span]:
    """The paragraphs: runs of text between blank lines, without the white space around them."""
    return [match.span() for match in _PARAGRAPH.finditer(text)]


def sentence_spans(text: str, start: int = 0, end: int | None = None) -> list[Span]:
    """The sentences of ``text[start:end]``, without the white space around them.

    A full stop after a common abbreviation, an initial or inside a number ends no sentence; a list item begins one.
    """
    end = len(text) if end is None else end
    spans: list[Span] = []
    begin = start
    for match in _SENTENCE_END.finditer(text, start, end):
        if text[match.start()] == "." and _is_abbreviation(text, begin, match.start() + 1, match.end()):
            continue
        spans.append((begin, match.end()))
        begin = match.end()
    spans.append((begin, end))
    return [span for span in (_trim(text, *span) for span in spans) if span[0] < span[1]]


def word_spans(text: str, start: int = 0, end: int | None = None) -> list[Span]:
    """The words of ``text[start:end]``, none longer than 40 characters; in unspaced scripts each character is one."""
    return [match.span() for match in _WORD.finditer(text, start, len(text) if end is None else end)]


def _is_abbreviation(text: str, begin: int, stop: int, after: int) -> bool:
    """Whether the full stop that ends at ``stop`` belongs to an abbreviation; ``after`` is where the text goes on."""
    head, follows = text[max(begin, stop - 9) : stop], text[after : after + 1]
    return bool(
        _ABBREVIATION.search(head)
        or (follows.isdigit() and _BEFORE_DIGIT.search(head))
        or (follows.islower() and _BEFORE_SMALL.search(head))
    )


def _trim(text: str, start: int, end: int) -> Span:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), start + len(part.rstrip())
