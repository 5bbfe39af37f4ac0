"""Reader of Markdown: the text without inline marks, and the heading above each part."""

import re
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from html import unescape
from itertools import pairwise

from corpus.config import DocumentsConfig
from corpus.documents.extract import Extract, Part, one_line, without_data_uris
from corpus.documents.grid import HEADER_EVERY, HEADER_LENGTH
from corpus.documents.source import Source, read_text

_LINE_END = re.compile(r"\r\n?|\n")
_LINES = re.compile(r"([^\r\n]*)(\r\n?|\n|\Z)")
_FRONT_MATTER = re.compile(
    r"(?P<mark>---|\+\+\+)[ \t]*\r?\n(?P<settings>(?:.*\n){1,300}?)(?:(?P=mark)|\.\.\.)[ \t]*(?:\r?\n|\Z)"
)
_FRONT_MATTER_LINE = re.compile(r"[\w.-]+[ \t]*[:=]|\s|#|-\s|[\]}]|\Z")
_TITLE = re.compile(r"^title[ \t]*(?P<mark>[:=])(?P<title>[^\n]*)(?:\n[ \t]+[^\n]*)*", re.MULTILINE)
_FENCE = re.compile(r"[ \t]{0,3}(`{3,}|~{3,})")
_LINK_DEFINITION = re.compile(
    r" {0,3}\[[^\^\]\n][^\]\n]*\]:[ \t]*(?:<[^>\n]*>|[a-z][a-z+.-]*:\S*|[/#.]\S*|\S+\.\S+/\S*)[ \t]*(?:[\"'(].*)?\Z"
)
_CODE_SPAN = re.compile(r"(`+)(?:[^`\n]|(?!\1)`)+?\1")
_INLINE_MARKS = (  # patterns of deleted text, links, images and emphasis, each with what replaces the match
    (re.compile(r"(?<![~\\])~~(?=[^\s~])[^\n]{1,500}?(?<=[^\s~\\])~~(?!~)[ \t]?"), ""),
    (re.compile(r"<(del|s|strike)\b[^<>\n]{0,99}>[^\n]{0,500}?</\1>[ \t]?", re.IGNORECASE), ""),
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
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][\da-fA-F]{1,6}|[a-zA-Z][a-zA-Z\d]{1,31});")
# Group 1 has the escapes that stay: of backslashes, and at the start of a line, where the bare character would begin a
# heading or list. Group 2 is the character of other escapes.
_ESCAPE = re.compile(r"(\A\s*\d*\\.|\\\\)|\\([<>~^$'\"@*_\[\]()#&%.+-])")
_PAGE_LINK_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,3}[.)])[ \t]+\[[^\]\n]+\]\(#[^)\s]*\)[ \t]*\Z")
_TABLE_RULE = re.compile(r"[ \t]*\|?[ \t:]*-{1,}[-| \t:]*\Z")


def read(source: Source, config: DocumentsConfig) -> Iterator[Extract]:
    """The text with the marks of headings, lists, tables and code.

    Front matter, comments, deleted text, data URIs, link targets, marks of emphasis and lists of links within the page
    are removed. Escapes and entities are replaced by their characters. The header of a long table is repeated every few
    rows. The title is the front matter's, else the first heading of level 1.
    """
    from markdown_it import MarkdownIt

    settings, text = _front_matter(read_text(source, config))
    text = "".join(_rendered(_LINES.findall(without_data_uris(text))))
    line_starts = [0, *(match.end() for match in _LINE_END.finditer(text))]
    headings = [
        (line_starts[begin.map[0]], begin.tag, one_line(content.content))
        for begin, content in pairwise(MarkdownIt("commonmark").parse(text))
        if begin.type == "heading_open" and begin.level == 0 and begin.map is not None
    ]
    starts = [(0, None), *((start, name) for start, _, name in headings)]
    ends = [*(start for start, _, _ in headings), len(text)]
    parts = (Part(start, end, section=name) for (start, name), end in zip(starts, ends, strict=True) if start < end)
    title = _front_matter_title(settings) or next((name for _, tag, name in headings if tag == "h1" and name), None)
    yield Extract(source.name, text, tuple(parts), {"title": title} if title else {})


def _front_matter(text: str) -> tuple[str, str]:
    """The front matter between two lines of --- or +++ at the start of the file, and the text after it."""
    match = _FRONT_MATTER.match(text)
    if match is None or not all(map(_FRONT_MATTER_LINE.match, match["settings"].splitlines())):
        return "", text
    return match["settings"], text[match.end() :]


def _front_matter_title(settings: str) -> str | None:
    """The title in front matter, which is YAML or TOML.

    If the value is not valid, as in ``title: Asthma: a plan``, the title is the rest of the line.
    """
    import yaml

    match = _TITLE.search(settings)
    if match is None:
        return None
    title: object = None
    with suppress(yaml.YAMLError, ValueError, RecursionError):  # a TOMLDecodeError is a ValueError
        parsed = yaml.safe_load(match[0]) if match["mark"] == ":" else tomllib.loads(match[0])
        title = parsed["title"] if isinstance(parsed, dict) else None
    return one_line(title if isinstance(title, str) else match["title"])


def _rendered(lines: list[tuple[str, str]]) -> Iterator[str]:
    """The lines, with their line ends, without what ``read`` removes; code blocks stay unchanged."""
    fence = ""
    header: list[str] = []
    rows = 0
    in_comment = False
    last_comment_end = max((number for number, (line, _) in enumerate(lines) if "-->" in line), default=-1)
    for number, (line, end) in enumerate(lines):
        if mark := _FENCE.match(line) if not in_comment else None:
            fence = "" if fence and mark[1].startswith(fence) else fence or mark[1]
        if not fence:
            line, in_comment = _without_comments(line, in_comment) if number <= last_comment_end else (line, False)
            if _LINK_DEFINITION.match(line) or _PAGE_LINK_ITEM.match(line):
                continue
            line = _without_inline_marks(line)
        below = lines[number + 1][0] if number + 1 < len(lines) else ""
        if fence or "|" not in line:
            header = []
        elif not header and "|" in below and _TABLE_RULE.match(below):
            header, rows = [line, below], -2  # so that the first row below header and rule is row 0
        elif header and rows and rows % HEADER_EVERY == 0 and len(header[0]) + len(header[1]) <= HEADER_LENGTH:
            yield "\n" + "\n".join(header) + "\n"
        rows += 1
        yield line + end


def _without_inline_marks(line: str) -> str:
    """A line without inline marks and deleted text, with escapes and entities decoded; code spans stay unchanged."""
    if not any(mark in line for mark in "[*_\\&~<"):
        return line
    pieces: list[str] = []
    begin = 0
    for code in _CODE_SPAN.finditer(line):
        pieces += [line[begin : code.start()], code[0]]
        begin = code.end()
    pieces.append(line[begin:])
    for number in range(0, len(pieces), 2):  # every other piece is code
        for pattern, replacement in _INLINE_MARKS:
            pieces[number] = pattern.sub(replacement, pieces[number])
        pieces[number] = _ENTITY.sub(_decoded, _ESCAPE.sub(r"\1\2", pieces[number]))
    return "".join(pieces)


def _decoded(entity: re.Match[str]) -> str:
    """The character of an entity; the entity itself if the character would divide a cell or line."""
    character = unescape(entity[0])
    return entity[0] if character in "|\r\n" else character


def _without_comments(line: str, inside: bool) -> tuple[str, bool]:
    """A line without its comments, and whether the last comment continues in the next line."""
    visible = ""
    while line:
        before, mark, after = line.partition("-->" if inside else "<!--")
        visible += "" if inside else before
        if not mark:
            break
        inside, line = not inside, after
    return visible, inside
