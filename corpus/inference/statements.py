"""Splitting of a letter, a report or a list of claims into statements and other segments."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from common.errors import DataError
from corpus.config import DocumentsConfig
from corpus.documents.extract import Problem
from corpus.evidence import Kind, Sentence, sentences, table_cells
from corpus.rows import TABLES, columns_of, file_rows, text_of
from corpus.sentences import sentence_spans, word_spans

SegmentKind = Literal["statement", "heading", "question", "greeting", "request", "reference", "navigation", "fragment"]
COLUMNS = ("statement", "claim")  # in tables and JSON lines
_SHORT_LINE = 5  # words; a longer line is a sentence even without final punctuation
_SEGMENT_KINDS: dict[Kind, SegmentKind] = {
    Kind.HEADING: "heading",
    Kind.QUESTION: "question",
    Kind.REFERENCE: "reference",
    Kind.NAVIGATION: "navigation",
}
_GREETING = re.compile(
    r"\W*(?:dear|hi|hello|to whom it may concern|good (?:morning|afternoon|day)|sehr geehrte[rsn]?|liebe[rs]?|guten tag"
    r"|hallo|ch(?:er|ère)s?|madame|monsieur|bonjour|estimad[oa]s?|querid[oa]s?|geachte|beste|gentile|egregio)\b"
    r"(?:\s+[^\s,:!]+){0,8}\s*[,:!.]?\s*\Z",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"\W*(?:yours(?: \w+)?|(?:kind(?:est)?|best|warm(?:est)?|with (?:kind|best|warm)) (?:regards|wishes|greetings)"
    r"|(?:kind |best )?regards|sincerely(?: yours)?|respectfully(?: yours)?|mit (?:freundlichen|besten|kollegialen) gr"
    r"(?:ü|ue)(?:ß|ss)en|hochachtungsvoll|cordialement|bien à vous|atentamente|saludos(?: cordiales)?"
    r"|met vriendelijke groet(?:en)?|cordiali saluti|distinti saluti)\s*[,.!]?\s*\Z",
    re.IGNORECASE,
)
_REQUEST = re.compile(
    r"\W*(?:please\b|(?:many )?thank(?:s| you)\b|i (?:would|should) be (?:very )?grateful\b|do not hesitate\b"
    r"|we look forward\b|i look forward\b|bitte\b|vielen dank\b|merci\b|veuillez\b|gracias\b)",
    re.IGNORECASE,
)
_SUBJECT = re.compile(r"(?:re|subject|betreff|betr|objet|asunto)\b\s*[.:]", re.IGNORECASE)
_RULE = re.compile(r"^[\s|:+=-]*-{2,}[\s|:+=-]*$", re.MULTILINE)  # below the header of a table
_FIELD = re.compile(r"[^\W\d_][^:\n.]{0,30}:\s+(?P<value>\S.*)\Z")  # "Date of birth: 3 May 1960"
_FINAL_PUNCTUATION = tuple(".!?。！？;；।؟…")
_QUOTES_AND_BRACKETS = "\"'”’»)]"  # after the final punctuation
_BULLET = re.compile(r"\A\s*(?:[-*+>•◦▪–—·]|\(?\d{1,3}[.)]|\(?[a-zA-Z]\)|[a-z]\.)\s+")


@dataclass(frozen=True, slots=True)
class Segment:
    """``text[start:end]`` of a document.

    Attributes:
        start: where it begins.
        end: where it ends.
        kind: ``statement``, or another kind of segment.
        statement: the text in one line; for a row of a table, with the names of its columns.
        query: the text to search for: ``statement``, after the previous sentence if it refers to that one.
    """

    start: int
    end: int
    kind: SegmentKind
    statement: str
    query: str

    @property
    def is_statement(self) -> bool:
        """Whether the segment can be checked."""
        return self.kind == "statement"


@dataclass(frozen=True, slots=True)
class Statements:
    """A text, its segments in order, and messages about parts of the file that could not be read."""

    text: str
    segments: tuple[Segment, ...]
    problems: tuple[str, ...] = ()


def read_statements(path: Path, config: DocumentsConfig) -> Statements:
    """The statements of a file.

    Each row of a table (.csv, .tsv) or of JSON lines (.jsonl) has one statement, in the column ``statement`` or
    ``claim``. Other documents are split, see ``split_statements``; a .txt file with a sentence on each line is a list
    of statements.
    """
    suffix = path.suffix.lower()
    if suffix in (*TABLES, ".jsonl"):
        return _of_rows(path)
    texts, problems = _texts(path, config)
    text = "\n\n".join(texts)
    if not text.strip():
        raise DataError(path, "has no text. Check the file, or write the statements into a text file.")
    if suffix == ".txt" and _is_list(text):
        return Statements(text, tuple(_lines(text)))
    return Statements(text, tuple(split_statements(text)), problems)


def split_statements(text: str) -> list[Segment]:
    """The segments of a letter or report, in order.

    Headings, questions, references, greetings, closings, requests ("Please ...") and fragments, such as addresses,
    dates and names, are not statements.
    """
    found: list[Segment] = []
    for sentence in sentences(text):
        for start, end in _without_greetings(text, sentence):
            part = text[start:end]
            statement = _row(part, sentence.header) if sentence.kind is Kind.ROW else _plain(part)
            whole = (start, end) == (sentence.start, sentence.end)
            refers_back = sentence.context_start < sentence.start
            query = " ".join(text[sentence.context_start : end].split()) if whole and refers_back else statement
            found.append(Segment(start, end, _kind(part, sentence.kind), statement, query))
    return found


def _without_greetings(text: str, sentence: Sentence) -> Iterator[tuple[int, int]]:
    """The spans of a sentence and of the greetings and closings on lines of their own directly before or after it."""
    start = line_start = sentence.start
    for line in text[sentence.start : sentence.end].splitlines(keepends=True):
        line_end = line_start + len(line)
        if _CLOSING.match(line.strip()) or (start == line_start and _GREETING.match(line.strip())):
            yield from _trimmed(text, start, line_start)
            yield from _trimmed(text, line_start, line_end)
            start = line_end
        line_start = line_end
    yield from _trimmed(text, start, sentence.end)


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The span without white space around it; none if nothing is left."""
    span = text[start:end]
    if span.strip():
        yield start + len(span) - len(span.lstrip()), start + len(span.rstrip())


def _plain(text: str) -> str:
    """A text in one line, without its bullet."""
    return " ".join(_BULLET.sub("", text, count=1).split())


def _kind(text: str, kind: Kind) -> SegmentKind:
    """The kind of a segment by its form and the kind of its sentence."""
    if _GREETING.match(text) or _CLOSING.match(text):
        return "greeting"
    if kind in _SEGMENT_KINDS:
        return _SEGMENT_KINDS[kind]
    if _REQUEST.match(text):
        return "request"
    if (
        _SUBJECT.match(text)
        or (text.isupper() and len(word_spans(text)) <= _SHORT_LINE)
        or (kind is Kind.ROW and _RULE.search(text))
    ):
        return "heading"
    if kind is Kind.STATEMENT and not _is_sentence(text):
        return "fragment"
    return "statement"


def _is_sentence(text: str) -> bool:
    """Whether a text may be a statement: it has final punctuation, or a line longer than a name or address."""
    if text.rstrip(_QUOTES_AND_BRACKETS).endswith(_FINAL_PUNCTUATION) and len(word_spans(text)) > 2:
        return True
    for line in text.splitlines():
        bare = _BULLET.sub("", line, count=1)
        field = _FIELD.match(bare)
        is_item = bare != line and field is None
        if len(word_spans(field["value"] if field else bare)) > (3 if is_item else _SHORT_LINE):
            return True
    return False


def _row(row: str, header: str) -> str:
    """A row of a table in one line, with the names of its columns."""
    cells, names = table_cells(row), table_cells(header) if header else ()
    pairs = [(names[place] if place < len(names) else "", cell) for place, cell in enumerate(cells) if cell]
    return "; ".join(f"{name}: {cell}" if name else cell for name, cell in pairs)


def _is_list(text: str) -> bool:
    """Whether each line is one sentence: no line has two, and lines are not wrapped."""
    lines = [line.strip() for line in text.splitlines()]
    written = [line for line in lines if line]
    if any(_GREETING.match(line) or _CLOSING.match(line) or len(sentence_spans(line)) > 1 for line in written):
        return False
    widest = max(map(len, written))
    pairs = [(above, below) for above, below in pairwise(lines) if above and below]
    # A line that has no room for the next line's first word may have been wrapped before it.
    wrapped = sum(len(above) + 1 + len(below.split()[0]) > widest for above, below in pairs)
    return 2 * wrapped < len(pairs) or not pairs


def _lines(text: str) -> Iterator[Segment]:
    """The lines of a list."""
    line_start = 0
    for line in text.splitlines(keepends=True):
        stripped = line.strip()
        start = line_start + len(line) - len(line.lstrip())
        line_start += len(line)
        if not any(map(str.isalnum, stripped)):
            continue
        kind: SegmentKind = "statement"
        if stripped.startswith("#"):
            kind = "heading"
        elif stripped.endswith(("?", "？", "؟")):
            kind = "question"
        statement = _plain(stripped)
        yield Segment(start, start + len(stripped), kind, statement, statement)


def _of_rows(path: Path) -> Statements:
    """The statements of a table or of JSON lines; each is a line of the text."""
    written: list[str] = []
    for line, row in file_rows(path):
        column = next((name for name in row if str(name).strip().lower() in COLUMNS), None)
        if column is None:
            problem = f"has no column {' or '.join(COLUMNS)} (columns here: {columns_of(row)}). Rename the column."
            raise DataError(path, problem, record=f"line {line}")
        value = row[column]
        if not isinstance(value, str) or any(map(str.isalnum, value)):  # text_of raises if it is not a string
            written.append(" ".join(text_of(path, f"line {line}", row, column).split()))
    if not written:
        raise DataError(path, "has no statement.")
    segments, at = [], 0
    for one in written:
        segments.append(Segment(at, at + len(one), "statement", one, one))
        at += len(one) + 1
    return Statements("\n".join(written), tuple(segments))


def _texts(path: Path, config: DocumentsConfig) -> tuple[list[str], tuple[str, ...]]:
    """The documents in a file, read within the limits of the settings, and what could not be read."""
    from corpus.documents import archives
    from corpus.documents.passages import words_window
    from corpus.documents.readers import Readers
    from corpus.documents.source import check_size, shown_name
    from corpus.documents.worker import Worker

    name, readers = shown_name(str(path)), Readers(config)
    if not path.exists():
        raise DataError(name, "there is no such file. Check the path.")
    if not path.is_file():
        raise DataError(name, "is not a file. Name a file with statements.")
    if archives.is_archive(path.name) or not readers.can_read(path.name):
        kinds = ", ".join(suffix for suffix in readers.suffixes if not archives.is_archive(f"file{suffix}"))
        raise DataError(name, f"has an unsupported type. Supported are: {kinds}.")
    check_size(path, name, config)
    with Worker(words_window(), config) as worker:
        found = [one for _, documents in worker.members(path, name) for one in documents]
    texts = [one[0].text for one in found if isinstance(one, tuple)]
    return texts, tuple(one.why for one in found if isinstance(one, Problem))
