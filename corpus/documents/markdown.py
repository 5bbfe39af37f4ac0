"""Markdown: the text as it is written, with the heading that each part stands under."""

import re
from collections.abc import Iterator
from itertools import pairwise

from corpus.config import DocumentsConfig
from corpus.documents.extract import Extract, Part, one_line
from corpus.documents.source import Source, read_text

_LINE_END = re.compile(r"\r\n?|\n")


def read(source: Source, config: DocumentsConfig) -> Iterator[Extract]:
    """The file as it is; its title is the first heading of the first level."""
    from markdown_it import MarkdownIt

    text = read_text(source, config)
    lines = [0, *(match.end() for match in _LINE_END.finditer(text))]
    headings = [
        (lines[begin.map[0]], begin.tag, one_line(content.content))
        for begin, content in pairwise(MarkdownIt("commonmark").parse(text))
        if begin.type == "heading_open" and begin.level == 0 and begin.map is not None
    ]
    starts = [(0, None), *((start, name) for start, _, name in headings)]
    ends = [*(start for start, _, _ in headings), len(text)]
    parts = (Part(start, end, section=name) for (start, name), end in zip(starts, ends, strict=True) if start < end)
    title = next((name for _, tag, name in headings if tag == "h1" and name), None)
    yield Extract(source.name, text, tuple(parts), {"title": title} if title else {})
