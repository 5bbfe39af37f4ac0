"""Splitting of letters, reports and lists into statements, which can be checked, and other segments."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Literal

from common.errors import DataError
from corpus.config import DocumentsConfig
from corpus.documents.extract import Problem
from corpus.evidence import Kind, Sentence, labelled_cells, sentences, table_cells
from corpus.rows import TABLES, columns_of, file_rows, record_name, text_of
from corpus.sentences import AFTER_GERMAN_ORDINAL, Span, is_table_rule, sentence_spans, trimmed_spans, word_spans

SegmentKind = Literal["statement", "heading", "question", "greeting", "request", "reference", "navigation", "fragment"]
STATEMENT_COLUMNS = ("statement", "claim")  # of tables and JSON lines
_MAX_FRAGMENT_WORDS = 5  # a longer line is a sentence even without final punctuation
_SEGMENT_KINDS: dict[Kind, SegmentKind] = {
    Kind.HEADING: "heading",
    Kind.QUESTION: "question",
    Kind.REFERENCE: "reference",
    Kind.NAVIGATION: "navigation",
}
_GREETING = re.compile(
    r"\W*(?:(?:dear|hello|to whom it may concern|sehr geehrte[rsn]?|guten tag|hallo|bonjour|estimad[oa]s?|querid[oa]s?"
    r"|geachte|egregio|prezad[oa]s?|уважаем(?:ый|ая|ые)|szanown[aiy]\w*)\b(?:\s+[^\s,:!]+){0,8}\s*[,:!.]?"
    # Words that also begin sentences: "Madame Dupont prend du bisoprolol.", "Beste Ergebnisse wurden erzielt."
    r"|(?:hi|good (?:morning|afternoon|day)|liebe[rs]?|ch(?:er|ère)s?|madame|monsieur|beste|gentile)\b"
    r"(?:\.|(?:\s+[^\s,:!]+){0,2}|(?:\s+[^\s,:!]+){0,5}\s*[,:!])"
    r"|(?:尊敬的|亲爱的)[^，。：:！!]{1,20}[，：:！!]?|[您你]好[，。！!]?)\s*\Z",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"\W*(?:yours(?: \w+)?|(?:kind(?:est)?|best|warm(?:est)?|with (?:kind|best|warm)) (?:regards|wishes|greetings)"
    r"|(?:kind |best )?regards|sincerely(?: yours)?|respectfully(?: yours)?|mit (?:freundlichen|besten|kollegialen) gr"
    r"(?:ü|ue)(?:ß|ss)en|hochachtungsvoll|cordialement|bien à vous|atentamente|saludos(?: cordiales)?"
    r"|met vriendelijke groet(?:en)?|cordiali saluti|distinti saluti|此致|敬礼)\s*[,.!！。]?\s*\Z",
    re.IGNORECASE,
)
_REQUEST = re.compile(
    r"\W*(?:please\b|(?:many )?thank(?:s(?! to\b)| you)\b|i (?:would|should) be (?:very )?grateful\b|do not hesitate\b"
    r"|we look forward\b|i look forward\b|bitte\b|vielen dank\b|merci\b|veuillez\b|gracias(?! al?\b)\b|谢谢|感谢|请"
    r"|감사합니다)",
    re.IGNORECASE,
)
_AUTHORS_AND_YEAR = (
    r"(?:(?:van|von|der|den|de|di|la|le) )*[^\W\d_a-z][\w'’-]+"
    r"(?:(?:,? (?:and|und|et|y|e|&))? (?:[^\W\d_a-z][\w'’-]+|al\.?))*,? (?:19|20)\d\d[a-z]?(?:, pp?\. ?[\d–-]+)?"
)
_CITATION = re.compile(  # "(Smith et al., 2019; Lee 2020)." or "(see Table 2)." without a statement
    rf"(?:\((?:(?:see|e\.g\.,?|cf\.|vgl\.|siehe) )?(?:{_AUTHORS_AND_YEAR}(?:; {_AUTHORS_AND_YEAR})*"
    r"|(?:[Tt]able|[Ff]ig(?:ure|\.)|[Tt]ab(?:elle|\.)|[Aa]bb(?:ildung|\.)) ?\d+[a-z]?)\)[\s.;,]*)+\Z"
)
_LABEL_LINE = re.compile(r"[^\W\d_][^:：.\n]{0,40}[:：]\s*\Z")  # "Medication:"
_SUBJECT = re.compile(r"(?:re|subject|betreff|betr|objet|asunto)\b\s*[.:]", re.IGNORECASE)
_LABELLED_FIELD = re.compile(r"[^\W\d_][^:\n.]{0,30}:\s+(?P<value>\S.*)\Z")  # "Date of birth: 3 May 1960"
_FINAL_PUNCTUATION = tuple(".!?。！？;；।؟…")
_DEGREE = re.compile(r"\b(?:M\.D|Ph\.D|D\.O|[BM]\.Sc|M\.P\.H|R\.N|Pharm\.D)\.\Z")  # ends a signature, not a sentence
_CLOSING_MARKS = "\"'”’»)]"  # after the final punctuation
_BULLET = re.compile(r"\A\s*(?:[-*+>•◦▪–—·]|\(?\d{1,3}[.)]|\(?[a-zA-Z]\)|[a-z]\.(?!\s[a-z]\.))\s+")


@dataclass(frozen=True, slots=True)
class Segment:
    """``text[start:end]`` of a document.

    Attributes:
        start: offset of the first character.
        end: offset after the last character.
        kind: ``statement``, or the kind of a segment that is not checked.
        statement: the text in one line, without a bullet; for a row of a table, with the names of its columns.
        query: the search query: ``statement``, with the previous sentence before it if ``statement`` refers back to it.
    """

    start: int
    end: int
    kind: SegmentKind
    statement: str
    query: str

    @property
    def is_statement(self) -> bool:
        """Whether the segment is a statement, which can be checked."""
        return self.kind == "statement"


@dataclass(frozen=True, slots=True)
class Statements:
    """A text, its segments in order, and messages about parts of its file that could not be read."""

    text: str
    segments: tuple[Segment, ...]
    problems: tuple[str, ...] = ()


def read_statements(path: Path, config: DocumentsConfig) -> Statements:
    """The statements of a file.

    Each row of a table (.csv, .tsv) or of JSON lines (.jsonl) has one statement, in the column ``statement`` or
    ``claim``. In a .txt file with one sentence per line each line is a segment. Other documents are split by
    ``split_statements``.

    Raises:
        DataError: the file cannot be read, or has no text or statement.
    """
    suffix = path.suffix.lower()
    if suffix in (*TABLES, ".jsonl"):
        return _row_statements(path)
    texts, problems = _document_texts(path, config)
    text = "\n\n".join(texts)
    if not text.strip():
        raise DataError(path, "has no text. Check the file, or write the statements into a text file.")
    if suffix == ".txt" and _is_list_of_sentences(text):
        return Statements(text, tuple(_line_segments(text)))
    return Statements(text, tuple(split_statements(text)), problems)


def split_statements(text: str) -> list[Segment]:
    """The segments of a letter or report, in order.

    Headings, questions, references, greetings, closings, requests ("Please ...") and fragments, such as addresses,
    dates and names, are not statements.
    """
    segments: list[Segment] = []
    widest = max(map(len, text.split("\n")))
    for sentence in sentences(text):
        whole = (sentence.start, sentence.end)
        is_row = sentence.kind is Kind.ROW
        headings = table_cells(sentence.header) if sentence.header else ()
        for start, end in [whole] if is_row else _split_lines(text, sentence, widest):
            content = text[start:end]
            statement = labelled_cells(content, headings) if is_row else _without_bullet(content)
            is_whole = (start, end) == whole
            refers_back = sentence.context_start < sentence.start
            query = " ".join(text[sentence.context_start : end].split()) if is_whole and refers_back else statement
            segments.append(Segment(start, end, _segment_kind(content, sentence.kind), statement, query))
    return segments


def _split_lines(text: str, sentence: Sentence, widest: int) -> list[Span]:
    """The spans of a sentence, split at lines that are segments of their own.

    Greetings and closings are such lines. If the sentence begins with a bullet or a label such as "Medication:", the
    items of the list are too. ``widest`` is the length of the text's longest line, which shows if a line was wrapped.
    """
    spans: list[Span] = []
    start = line_start = sentence.start
    lines = text[sentence.start : sentence.end].splitlines(keepends=True)
    is_list = _LABEL_LINE.match(lines[0]) or _BULLET.match(lines[0])
    for line, below in zip_longest(lines, lines[1:], fillvalue=""):
        line_end = line_start + len(line)
        if _CLOSING.match(line.strip()) or (start == line_start and _GREETING.match(line.strip())):
            spans += [(start, line_start), (line_start, line_end)]
            start = line_end
        elif is_list and below.strip() and _is_list_item(text[start:line_end], below, widest):
            spans.append((start, line_end))
            start = line_end
        line_start = line_end
    spans.append((start, sentence.end))
    return trimmed_spans(text, spans)


def _is_list_item(lines: str, below: str, widest: int) -> bool:
    """Whether lines are a list item: they are no sentence, and the line below does not continue them.

    The line below continues them if it is indented or begins in lower case. It also does if its first word would make
    the line above longer than ``widest``.
    """
    word = below.split(maxsplit=1)[0]
    length = len(lines.rstrip().rpartition("\n")[2])
    continues = below[0].isspace() or word[0].islower() or length + 1 + len(word) > widest
    return not continues and not _is_sentence(lines)


def _without_bullet(text: str) -> str:
    """A text in one line, without its bullet; the ordinal number in "3. Tag nach OP" is no bullet."""
    bullet = _BULLET.match(text)
    is_ordinal = bullet and bullet[0].strip()[:-1].isdigit() and AFTER_GERMAN_ORDINAL.match(text, bullet.end())
    return " ".join((text[bullet.end() :] if bullet and not is_ordinal else text).split())


def _segment_kind(text: str, kind: Kind) -> SegmentKind:
    """The kind of a segment by its text and the kind of its sentence."""
    if _GREETING.match(text) or _CLOSING.match(text):
        return "greeting"
    if kind in _SEGMENT_KINDS:
        return _SEGMENT_KINDS[kind]
    if _CITATION.match(text):
        return "reference"
    if _REQUEST.match(text):
        return "request"
    if (
        _SUBJECT.match(text)
        or (text.isupper() and len(word_spans(text)) <= _MAX_FRAGMENT_WORDS)
        or (kind is Kind.ROW and any(map(is_table_rule, text.split("\n"))))
    ):
        return "heading"
    if kind is Kind.STATEMENT and not _is_sentence(text):
        return "fragment"
    return "statement"


def _is_sentence(text: str) -> bool:
    """Whether a text is a sentence: it has final punctuation, or a line with more words than a name or address."""
    has_stop = text.rstrip(_CLOSING_MARKS).endswith(_FINAL_PUNCTUATION) and not _DEGREE.search(text)
    if has_stop and len(word_spans(text)) > 2:
        return True
    for line in text.splitlines():
        content = _BULLET.sub("", line, count=1)
        field = _LABELLED_FIELD.match(content)
        is_item = content != line and field is None
        if len(word_spans(field["value"] if field else content)) > (3 if is_item else _MAX_FRAGMENT_WORDS):
            return True
    return False


def _is_list_of_sentences(text: str) -> bool:
    """Whether each line is one sentence: no line has two sentences, and lines are not wrapped."""
    lines = [line.strip() for line in text.splitlines()]
    nonblank = [line for line in lines if line]
    if any(_GREETING.match(line) or _CLOSING.match(line) or len(sentence_spans(line)) > 1 for line in nonblank):
        return False
    widest = max(map(len, nonblank))
    pairs = [(above, below) for above, below in pairwise(lines) if above and below]
    # A line without room for the next line's first word may have been wrapped.
    wrapped = sum(len(above) + 1 + len(below.split()[0]) > widest for above, below in pairs)
    return 2 * wrapped < len(pairs) or not pairs


def _line_segments(text: str) -> Iterator[Segment]:
    """A segment for each line that has letters or digits, in a list of sentences."""
    line_start = 0
    for line in text.splitlines(keepends=True):
        stripped = line.strip()
        start = line_start + len(line) - len(line.lstrip())
        line_start += len(line)
        if not any(map(str.isalnum, stripped)):
            continue
        is_question = stripped.endswith(("?", "？", "؟"))
        kind: SegmentKind = "heading" if stripped.startswith("#") else "question" if is_question else "statement"
        statement = _without_bullet(stripped)
        yield Segment(start, start + len(stripped), kind, statement, statement)


def _row_statements(path: Path) -> Statements:
    """The statements in the rows of a table or of JSON lines; each statement is a line of the text."""
    segments: list[Segment] = []
    start = 0
    for line, row in file_rows(path):
        column = next((name for name in row if str(name).strip().lower() in STATEMENT_COLUMNS), None)
        if column is None:
            problem = (
                f"has no column {' or '.join(STATEMENT_COLUMNS)} (columns here: {columns_of(row)}). Rename the column."
            )
            raise DataError(path, problem, record=record_name(line))
        value = row[column]
        if not isinstance(value, str) or any(map(str.isalnum, value)):  # text_of raises if the value is not a string
            statement = " ".join(text_of(path, record_name(line), row, column).split())
            segments.append(Segment(start, start + len(statement), "statement", statement, statement))
            start += len(statement) + 1
    if not segments:
        raise DataError(path, "has no statement.")
    return Statements("\n".join(segment.statement for segment in segments), tuple(segments))


def _document_texts(path: Path, config: DocumentsConfig) -> tuple[list[str], tuple[str, ...]]:
    """The texts of the documents in a file, read within the limits of the settings, and messages about unread parts."""
    from corpus.documents import archives
    from corpus.documents.passages import words_window
    from corpus.documents.readers import Readers
    from corpus.documents.source import check_size, escaped_name
    from corpus.documents.worker import Worker

    name, readers = escaped_name(str(path)), Readers(config)
    if not path.exists():
        raise DataError(name, "there is no such file. Check the path.")
    if not path.is_file():
        raise DataError(name, "is not a file. Name a file with statements.")
    if archives.is_archive(path.name) or not readers.can_read(path.name):
        kinds = ", ".join(suffix for suffix in readers.suffixes if not archives.is_archive(f"file{suffix}"))
        raise DataError(name, f"has an unsupported type. Supported are: {kinds}.")
    check_size(path, name, config)
    with Worker(words_window(), config) as worker:
        results = [result for _, documents in worker.members(path, name) for result in documents]
    texts = [result[0].text for result in results if isinstance(result, tuple)]
    return texts, tuple(result.why for result in results if isinstance(result, Problem))
