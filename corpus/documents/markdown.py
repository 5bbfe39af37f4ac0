"""Markdown: the text with the heading above each part."""

import re
from collections.abc import Iterator
from itertools import pairwise

from corpus.config import DocumentsConfig
from corpus.documents.extract import Extract, Part, one_line, without_data_uris
from corpus.documents.grid import HEADER_EVERY, HEADER_LENGTH
from corpus.documents.source import Source, read_text

_LINE_END = re.compile(r"\r\n?|\n")
_LINES = re.compile(r"([^\r\n]*)(\r\n?|\n|\Z)")
_FRONT = re.compile(
    r"(?P<mark>---|\+\+\+)[ \t]*\r?\n(?P<settings>(?:.*\n){1,300}?)(?:(?P=mark)|\.\.\.)[ \t]*(?:\r?\n|\Z)"
)
_SETTING = re.compile(r"[\w.-]+[ \t]*[:=]|\s|#|-\s|[\]}]|\Z")
_TITLE = re.compile(r"^title[ \t]*[:=](?P<title>[^\n]*)", re.MULTILINE)
_FENCE = re.compile(r"[ \t]{0,3}(`{3,}|~{3,})")
_LINK = re.compile(
    r" {0,3}\[[^\^\]\n][^\]\n]*\]:[ \t]*(?:<[^>\n]*>|[a-z][a-z+.-]*:\S*|[/#.]\S*|\S+\.\S+/\S*)[ \t]*(?:[\"'(].*)?\Z"
)
_CODE = re.compile(r"(`+)(?:[^`\n]|(?!\1)`)+?\1")
_PLAIN = (  # patterns of inline marks and their plain text
    (
        re.compile(
            r"!?\[((?:[^\[\]\n]|\[[^\[\]\n]{0,300}\]){0,500})\]"
            r"\((?:<[^>\n]{0,999}>|[^()\s]{0,999}(?:\([^()\s]{0,99}\)[^()\s]{0,99})?)"
            r"(?:\s+(?:\"[^\"\n]{0,300}\"|'[^'\n]{0,300}'))?\)"
        ),
        r"\1",
    ),
    (re.compile(r"!?\[([^\[\]\n]{1,500})\]\[[^\[\]\n]{0,300}\]"), r"\1"),
    (re.compile(r"(\*\*\*|\*\*|(?<!\w)__)(?=\S)([^\n]{1,500}?)(?<=[^\s\\])\1"), r"\2"),
    (re.compile(r"(?<![\w*\\])\*(?=[^\s*])([^*\n]{1,500}?)(?<=[^\s\\])\*(?![\w*])"), r"\1"),
    (re.compile(r"(?<![\w\\])_(?=[^\s_])([^_\n]{1,500}?)(?<=[^\s\\])_(?!\w)"), r"\1"),
)
_CONTENTS_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,3}[.)])[ \t]+\[[^\]\n]+\]\(#[^)\s]*\)[ \t]*\Z")
_TABLE_RULE = re.compile(r"[ \t]*\|?[ \t:]*-{1,}[-| \t:]*\Z")


def read(source: Source, config: DocumentsConfig) -> Iterator[Extract]:
    """The text as rendered, with the marks of headings, lists, tables and code.

    Front matter, comments, data URIs, link targets, marks of emphasis and lists of links within the page are left out.
    A long table repeats its header every few rows. The title is the front matter's, else the first heading of level 1.
    """
    from markdown_it import MarkdownIt

    settings, text = _front_matter(read_text(source, config))
    text = "".join(_readable(_LINES.findall(without_data_uris(text))))
    lines = [0, *(match.end() for match in _LINE_END.finditer(text))]
    headings = [
        (lines[begin.map[0]], begin.tag, one_line(content.content))
        for begin, content in pairwise(MarkdownIt("commonmark").parse(text))
        if begin.type == "heading_open" and begin.level == 0 and begin.map is not None
    ]
    starts = [(0, None), *((start, name) for start, _, name in headings)]
    ends = [*(start for start, _, _ in headings), len(text)]
    parts = (Part(start, end, section=name) for (start, name), end in zip(starts, ends, strict=True) if start < end)
    named = _TITLE.search(settings)
    title = one_line(_unquoted(named["title"].strip())) if named else None
    title = title or next((name for _, tag, name in headings if tag == "h1" and name), None)
    yield Extract(source.name, text, tuple(parts), {"title": title} if title else {})


def _front_matter(text: str) -> tuple[str, str]:
    """The front matter between two lines of --- at the start of the file, and the text after it."""
    found = _FRONT.match(text)
    if found is None or not all(map(_SETTING.match, found["settings"].splitlines())):
        return "", text
    return found["settings"], text[found.end() :]


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 2 and value[0] == value[-1] and value[0] in "\"'" else value


def _readable(lines: list[tuple[str, str]]) -> Iterator[str]:
    """The rendered lines with their ends; lines of code are unchanged."""
    fence = ""
    header: list[str] = []
    rows = 0
    comment = False
    closed = max((number for number, (line, _) in enumerate(lines) if "-->" in line), default=-1)
    for number, (line, end) in enumerate(lines):
        if mark := _FENCE.match(line) if not comment else None:
            fence = "" if fence and mark[1].startswith(fence) else fence or mark[1]
        if not fence:
            line, comment = _without_comments(line, comment) if number <= closed else (line, False)
            if _LINK.match(line) or _CONTENTS_ITEM.match(line):
                continue
            line = _plain(line)
        below = lines[number + 1][0] if number + 1 < len(lines) else ""
        if fence or "|" not in line:
            header = []
        elif not header and "|" in below and _TABLE_RULE.match(below):
            header, rows = [line, below], -2
        elif header and rows and rows % HEADER_EVERY == 0 and len(header[0]) + len(header[1]) <= HEADER_LENGTH:
            yield "\n" + "\n".join(header) + "\n"
        rows += 1
        yield line + end


def _plain(line: str) -> str:
    """A line without marks of emphasis, with links replaced by their texts; code is unchanged."""
    if not any(mark in line for mark in "[*_"):
        return line
    pieces: list[str] = []
    begin = 0
    for code in _CODE.finditer(line):
        pieces += [line[begin : code.start()], code[0]]
        begin = code.end()
    pieces.append(line[begin:])
    for number in range(0, len(pieces), 2):
        for marked, plain in _PLAIN:
            pieces[number] = marked.sub(plain, pieces[number])
    return "".join(pieces)


def _without_comments(line: str, inside: bool) -> tuple[str, bool]:
    """A line without its comments, and whether the last one continues in the next line."""
    seen = ""
    while line:
        before, mark, after = line.partition("-->" if inside else "<!--")
        seen += "" if inside else before
        if not mark:
            break
        inside, line = not inside, after
    return seen, inside
