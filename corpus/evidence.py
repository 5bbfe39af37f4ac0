"""Kinds of sentences: statements and table rows, which can be evidence; headings, questions, references, navigation."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from typing import NamedTuple

from corpus.sentences import Span, heading_name, is_row, is_table_rule, paragraph_spans, sentence_spans


class Kind(Enum):
    """The kind of a sentence in its document."""

    STATEMENT = auto()
    ROW = auto()
    HEADING = auto()
    QUESTION = auto()
    REFERENCE = auto()
    NAVIGATION = auto()


@dataclass(frozen=True, slots=True)
class Sentence:
    """``text[start:end]`` of a passage.

    Attributes:
        heading: the heading above the sentence.
        header: for a row, the header of its table.
        context_start: start of the previous sentence if this one refers to it ("This was true of women."), else
            ``start``.
    """

    start: int
    end: int
    kind: Kind
    heading: str = ""
    header: str = ""
    context_start: int = -1

    @property
    def is_evidence(self) -> bool:
        """Whether the sentence is a statement or a row, which can support an answer."""
        return self.kind in (Kind.STATEMENT, Kind.ROW)


class _ListBlock(NamedTuple):
    """The heading or an entry of a list of references or a table of contents: ``text[start:end]``."""

    start: int
    end: int
    kind: Kind


_HEADING_MARKS = re.compile(r"[\s#*_=|:.\d()\[\]§-]+")


def _normalized(text: str) -> str:
    """A heading's words in lower case, without accents, Markdown's marks and the number before them."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(character for character in decomposed if not unicodedata.combining(character))
    plain = unicodedata.normalize("NFKC", plain)
    return re.sub(r"\A(?:[a-z]|[ivxlc]{1,5}) (?=\w)", "", " ".join(_HEADING_MARKS.sub(" ", plain).split()))


def _normalized_names(text: str) -> frozenset[str]:
    return frozenset(_normalized(name) for name in re.split(r"\n|\s{2,}", text) if name)


# Headings of reference lists and of tables of contents, without accents. Two spaces or a line end separate headings.
_REFERENCES = _normalized_names(
    """
    references  reference list  list of references  references cited  cited references  references and notes
    key references  selected references  main references  additional references  references and further reading
    bibliography  bibliographies  selected bibliography  literature  literature cited  cited literature  works cited
    citations  sources  sources cited  further reading  recommended reading  suggested reading  additional reading
    notes and references  endnotes  footnotes  supporting literature  scientific literature
    literatur  literaturverzeichnis  literaturangaben  literaturnachweise  literaturliste  literaturhinweise  quellen
    quellenverzeichnis  quellenangaben  quellennachweise  weiterfuhrende literatur  referenzen
    references bibliographiques  bibliographie  liste des references  sources bibliographiques
    bibliografia  referencias  referencias bibliograficas  lista de referencias  obras citadas  fuentes
    riferimenti  riferimenti bibliografici  literatuur  literatuurlijst  bronnen  referenties
    referenser  litteraturlista  kallor  kallforteckning  referanser  litteraturliste  kilder  referencer  litteratur
    lahteet  lahdeluettelo  kirjallisuus  pismiennictwo  literatura  pouzita literatura  irodalom  irodalomjegyzek
    kaynaklar  kaynakca  βιβλιογραφια  список литературы  литература  список использованной литературы  джерела
    参考文献  參考文獻  引用文献  文献  참고문헌  참고 문헌  المراجع  ביבליוגרפיה  מקורות
    """
)
# The reference headings that may also be above a list of statements, such as sources of iron or of infection.
_SOURCES = _normalized_names("sources  quellen  fuentes  bronnen  kallor  kilder  lahteet  джерела  מקורות")
_CONTENTS = _normalized_names(
    """
    contents  table of contents  list of contents  in this guide  in this guideline  in this article  in this document
    on this page  list of tables  list of figures  inhalt  inhaltsverzeichnis  inhaltsubersicht  sommaire
    table des matieres  indice  indice general  tabla de contenido  tabla de contenidos  contenido  contenidos  sumario
    inhoud  inhoudsopgave  innehall  innehallsforteckning  indhold  indholdsfortegnelse  innhold  sisallys
    sisallysluettelo  spis tresci  obsah  tartalom  tartalomjegyzek  icindekiler  содержание  оглавление  зміст
    περιεχομενα  目次  目录  目錄  차례  목차  المحتويات
    """
)
_DATE = r"(?:\d{1,2}[ ./])?(?:[a-zä]{3,9}\.? |\d{1,2}[./])?(?:\d{1,2}, )?(?:19|20)\d\d(?:-\d\d-\d\d)?"
_NAVIGATION = re.compile(
    r"(?:(?:skip|jump) to (?:main |the )?(?:content|navigation)|(?:back|go) to (?:the )?(?:top|contents|start)"
    r"|(?:next|previous)(?: page| section| chapter)?|home|menu|search|(?:print|share|e-?mail)(?: this)?(?: page)?"
    r"|download(?: as)?(?: the)?(?: pdf| citation)?|(?:read|learn|show) (?:more|less|all)|see also|click here.{0,40}"
    r"|log ?in|sign in|register|subscribe|contact us|cookie.{0,40}|page \d+(?: of \d+)?|copyright.{0,80}|©.{0,80}"
    rf"|all rights reserved|status: (?:reviewed|approved|draft|published)(?: (?:on |in )?{_DATE})?|version:? \d[\d.]*"
    rf"|(?:(?:last|next|date) )?(?:reviewed|updated|revised|review)(?: date)?(?: on| in)?:? {_DATE}"
    rf"|(?:valid until|gültig bis|stand):? {_DATE})\W*\Z",
    re.IGNORECASE,
)
_BREADCRUMBS = re.compile(r"[^>›»→|/\n]{1,40}(?:\s[>›»→|/]\s[^>›»→|/\n]{1,60}){2,}\Z")
_DOT_LEADER = re.compile(
    r"(?:(?<![.·])(?<![.·]\s)(?:[.·]\s?){4,}+|(?<!…)…{2,}+|(?<!_)_{4,}+)\s*+(?:\d{1,4}|[ivxlc]{1,7})?+\s*+\Z"
)
_PAGE_NUMBER = re.compile(r"\S.*(?:\t|\s{2,})(?:\d{1,4}|[ivxlc]{1,7})\s*\Z")
_LIST_ITEM = re.compile(r"\s*(?:[-*•·▪◦‣+]\s+|\[\d{1,3}\]\s*|\(?\d{1,3}[.)\]]\s+|\d{1,3}\s+(?=\D))")
_ENTRY_MARKER = re.compile(r"\s*(?:\[\d{1,3}\]|\(\d{1,3}\)|\d{1,3}[.)]?|[-*•])\s+(?=\S)|\s*\[\d{1,3}\]")

_INITIALS = r"(?:[A-ZÀ-ÞŁŠŽΑ-ΩА-ЯЁ]\.?[ \u00a0-]?){1,4}"
_SURNAME = r"(?:(?:van|von|de|der|den|di|da|del|la|le|el|al|ten|ter|O|Mc|Mac)[ '’-]?){0,3}[A-ZÀ-ÞŁŠŽΑ-ΩА-ЯЁ][\w'’`-]+"
_AUTHORS = re.compile(
    rf"\W{{0,3}}(?:{_SURNAME},?\s{_INITIALS}(?=[,.;:&(]|\s(?:and|und|et|y|e|&)\s|\s*\Z)"
    rf"|{_INITIALS}\s?{_SURNAME},(?=\s{_INITIALS}))"
)
_YEAR = re.compile(r"\b(?:19|20)\d\d[a-z]?\b")
_VOLUME_AND_PAGES = re.compile(  # of a journal, mostly with a year: 2009;12:34-41
    r"\b(?:19|20)\d\d(?:\s[A-Z][a-z]{2,8}\.?)?(?:\s\d{1,2}(?:[-–]\d{1,2})?)?\s?[;:,]\s?(?:vol\.?\s?)?[A-Z]?\d{1,4}\s?"
    r"(?:\([^)]{1,12}\))?\s?[:,]\s?(?:pp?\.?\s?)?[A-Za-z]{0,4}\d+"
    r"|\b\d{1,4}\s?\([^)]{1,10}\)\s?[:,]\s?(?:pp?\.?\s?)?[A-Za-z]?\d+\s?[-–]\s?[A-Za-z]?\d+"
    r"|\b\d{1,4}\s?[:,]\s?(?:pp?\.?\s?)?\d+\s?[-–]\s?\d+[.,]?\s?\(?(?:19|20)\d\d"
    r"|\bvol(?:ume)?\.?\s\d+,.{0,30}\bpp?\.\s?\d+"
)
_PUBLICATION = re.compile(
    r"\bdoi\b|10\.\d{4,9}/\S+|\bPMI?D\b|\bPMC\d+|\bISBN\b|\bhttps?://|\bwww\.\w|\barXiv\b|\bet al\b"
    r"|\b(?:Available (?:at|from)|Accessed|Retrieved|Cited \d{4}|Epub)\b"
    r"|\b(?:pp?|S|С|с)\. ?\d|\b\d(?:st|nd|rd|th) ed(?:ition|\.)"
    r"|\b(?:Press|Verlag|Publish(?:ers?|ing)|Elsevier|Springer|Wiley|University Press|Suppl\.?|In:|Eds?\.)"
)
_REFERENCE_HEADING = re.compile(r"[\s#*_]*(?P<name>[^\n:]{1,80}?)[\s#*_]*(?::[\s*_]*|\n\s*(?:[-=]{3,}\s+)?|\Z)")
_ENDS_WITH_MARK = re.compile(r"[^\W\d_][^\n]*\[\d{1,3}\]\W*\Z")  # a citation mark after words
_BEGINS_WITH_MARK = re.compile(r"[\s\d.)*•-]*\[\d{1,3}\]")  # a citation mark, also after a list item's marker
_MAX_CACHED = 20_000  # characters of a text whose sentences are cached
_MAX_ENTRY = 700  # characters of a reference
_MAX_ANONYMOUS_ENTRY = 400  # characters of a reference without authors
_MAX_LIST_HEADING = 80  # characters
_MAX_NAVIGATION = 160  # characters of a line
_MAX_HEADING_WORDS = 12
_UNFINISHED = re.compile(  # words that do not end a heading
    r"\b(?:an?|the|of|in|on|at|to|for|with|and|or|but|that|than|by|from|as|is|are|was|were|be|not|no|which|who|if|per|vs"
    r"|der|die|das|den|dem|des|und|oder|mit|von|bei|zu|im|am|eine?|de|la|les?|du|et|el|los)\Z",
    re.IGNORECASE,
)
_NO_COLUMN_NAME = re.compile(r"\d|\S\s\S+\s\S+[.!?;]\Z")  # a number, or three words with a stop
_STOPS = tuple(".!?。！？;；:：।؟…")
_REFERS_BACK = re.compile(
    r"(?!This (?:is|was) (?:an?|the|our)\b|It (?:\w+ ){1,6}(?:that|whether|if|to|how|why|who|our|the)\b)"
    r"(?:This|That|These|Those|It|They|Both|Neither|Such|The (?:same|former|latter|opposite|reverse)|(?:The )?others?) "
    r"(?:(?:also|too|however|only|mainly|largely|(?:effect|difference|finding|result|association|pattern)s?),?\s)?"
    r"(?:was|were|is|are|had|has|have|did|does|do|can|could|may|might|must|should|will|would|held|holds|applied|applies"
    r"|occurred|occurs|persisted|remained|disappeared|depended|depends|showed|seemed|seems|appeared|appears|happened"
    r"|happens|goes|went)\b"
    r"|So (?:did|does|do|was|were|is|are)\b"
    r"|(?:Dies|Das|Diese[srn]?|Beides?|Letztere[srn]?) (?:war|ist|sind|waren|galt|gilt|trat|traf|hat|hatte|kann)\b"
)


def sentences(text: str, section: str = "", title: str = "") -> Sequence[Sentence]:
    """The sentences of a passage with their kinds.

    A list of references is recognized by its heading, in many languages, or by the form of its entries. A table of
    contents is recognized by its heading, by rows of dots or by page numbers. A heading has Markdown's marks, is named
    in ``section`` or ``title``, or is a short line without a stop in a paragraph of its own.

    Args:
        text: the passage.
        section: the headings of the passage's sections, joined by "; "; the first one is above the start of the text.
        title: the title of the document.
    """
    # Short texts are cached, since search and quotation need the same passages for many questions. Long texts are not,
    # since they would fill the memory.
    return (_cached if len(text) <= _MAX_CACHED else _sentences)(text, section, title)


def _sentences(text: str, section: str, title: str) -> Sequence[Sentence]:
    section_headings = [name for name in section.split("; ") if name]
    known_headings = {*section_headings, title} - {""}
    heading = section_headings[0] if section_headings else ""
    list_blocks = _list_blocks(text, heading)[::-1]  # reversed, so that pop() takes the first block
    widest = max(map(len, text.split("\n")))
    found: list[Sentence] = []
    paragraphs = paragraph_spans(text)
    for number, (paragraph_start, paragraph_end) in enumerate(paragraphs):
        header = ""  # of the paragraph's table
        previous: Sentence | None = None
        spans = list(_split_headings(text, sentence_spans(text, paragraph_start, paragraph_end), widest))
        is_alone_above_text = len(spans) == 1 and number + 1 < len(paragraphs)
        for index, (start, end, is_heading) in enumerate(spans):
            sentence = text[start:end]
            next_sentence = text[slice(*spans[index + 1][:2])] if index + 1 < len(spans) else ""
            while list_blocks and list_blocks[-1].end <= start:
                list_blocks.pop()
            kind = list_blocks[-1].kind if list_blocks and list_blocks[-1].start < end else None
            if kind is None:
                is_heading |= heading_name(sentence) in known_headings
                is_heading |= is_alone_above_text and _is_heading(sentence)
                kind = Kind.HEADING if is_heading else _kind(sentence)
            row_header = ""
            if kind is Kind.ROW:
                start = _row_start(text, start)
                if not header and _is_header(sentence, next_sentence):
                    header = text[start:paragraph_end].partition("\n")[0]
                    columns = max(len(table_cells(header)), len(table_cells(next_sentence)))
                    kind = Kind.HEADING if columns > 2 else Kind.ROW
                else:
                    row_header = header
            elif kind is Kind.HEADING or (kind is Kind.QUESTION and len(spans) == 1):
                heading = heading_name(sentence)
            context_start = start
            if kind is Kind.STATEMENT and previous is not None and _REFERS_BACK.match(sentence):
                context_start = previous.context_start
            if any(map(str.isalnum, sentence)):
                found.append(Sentence(start, end, kind, heading, row_header, context_start))
                previous = found[-1] if kind is Kind.STATEMENT else None
    return tuple(found)


_cached = lru_cache(maxsize=1024)(_sentences)


def is_evidence(text: str, section: str = "", title: str = "") -> bool:
    """Whether a passage has a statement or a row, or at least no references and no navigation.

    For the arguments see ``sentences``.
    """
    found = sentences(text, section, title)
    kinds = {sentence.kind for sentence in found}
    return any(sentence.is_evidence for sentence in found) or not kinds & {Kind.REFERENCE, Kind.NAVIGATION}


def is_reference_list(text: str) -> bool:
    """Whether a text is a list of references below or after its heading: "Sources: [1] Lee. Zinc for colds. 2019.".

    An entry that ends with a citation mark, such as "Meat is rich in zinc [1].", is a cited statement instead. An
    item such as "- Red meat" below "Sources" is a statement too, unless it begins with a mark or names a publication.
    """
    heading = _REFERENCE_HEADING.match(text)
    if heading is None:
        return False
    names = {_normalized(heading["name"]), f"{_normalized(heading['name'])}s"}
    if not names & _REFERENCES:
        return False
    entries = [text[heading.end() :][start:end] for start, end in _blocks(text[heading.end() :])]
    if names & _SOURCES and not all(map(_cites, entries)):
        return False
    return all(_continues_list(entry, Kind.REFERENCE) and not _ENDS_WITH_MARK.search(entry) for entry in entries)


def _cites(entry: str) -> bool:
    """Whether an entry of a list begins with a citation mark or authors, or names a publication."""
    text = _without_marker(entry)
    return bool(_BEGINS_WITH_MARK.match(entry) or _AUTHORS.match(text) or _names_publication(text))


def _split_headings(text: str, spans: Sequence[Span], widest: int) -> Iterator[tuple[int, int, bool]]:
    """The spans, each with whether it is a heading; a heading on the line above a sentence is split from the sentence.

    A line is wrapped, and so no heading, if the next line's first word would make it longer than ``widest`` characters.
    """
    for start, end in spans:
        line, newline, rest = text[start:end].partition("\n")
        word = rest.split(maxsplit=1)[0] if rest.strip() else ""
        if (
            newline
            and not text[text.rfind("\n", 0, start) + 1 : start].strip()  # the sentence begins its line, as headings do
            and rest.endswith(_STOPS)
            and not word[:1].islower()
            and word[:1].isalpha()
            and len(line) + 1 + len(word) <= widest
            and not is_row(line)
            and _is_heading(line)
            and not _UNFINISHED.search(line.rstrip())
        ):
            yield start, start + len(line.rstrip()), True
            start = end - len(rest.lstrip())
        yield start, end, False


def _kind(sentence: str) -> Kind:
    """The kind of a sentence by its form alone."""
    if sentence.startswith("#"):
        return Kind.HEADING
    if _is_navigation(sentence):
        return Kind.NAVIGATION
    if sentence.endswith(("?", "？", "؟")):
        return Kind.QUESTION
    return Kind.ROW if is_row(sentence) else Kind.STATEMENT


def _is_header(row: str, below: str) -> bool:
    """Whether a row is a table's header: a rule follows it, or it has only names in its cells and another row follows.

    A row with numbers or sentences is no header, since a passage may begin within a table. If two rows begin with
    labels such as "Drugs:", the first is no header either.
    """
    if is_table_rule(row.rpartition("\n")[2]):
        return True
    cells = table_cells(row)
    are_labels = all(line and line[0].endswith(":") for line in (cells, table_cells(below)))
    return is_row(below) and not are_labels and not any(map(_NO_COLUMN_NAME.search, cells[1:]))


def _list_blocks(text: str, heading: str) -> list[_ListBlock]:
    """The entries and headings of reference lists and tables of contents; ``heading`` is the one above the text."""
    blocks = list(_blocks(text))
    kinds = [_kind_of_block(text[start:end]) for start, end in blocks]
    list_kind = _list_heading(heading)  # of the current list
    for number, (start, end) in enumerate(blocks):
        block = text[start:end]
        if (kind_below := _list_heading(block)) is not None:
            list_kind, kinds[number] = kind_below, Kind.HEADING
        elif list_kind is not None and kinds[number] is None and any(map(str.isalnum, block)):
            if _continues_list(block, list_kind):
                kinds[number] = list_kind
            else:
                list_kind = None
    for number in range(1, len(blocks)):  # a block after a reference may be an entry in another form, or cut off
        block = text[slice(*blocks[number])]
        if (
            (kinds[number - 1], kinds[number]) == (Kind.REFERENCE, None)
            and len(block) <= _MAX_ENTRY
            and _ENTRY_MARKER.match(block)
            and (Kind.REFERENCE in kinds[number + 1 : number + 2] or _AUTHORS.match(_without_marker(block)))
        ):
            kinds[number] = Kind.REFERENCE
    return [_ListBlock(*span, kind) for kind, span in zip(kinds, blocks, strict=True) if kind is not None]


def _blocks(text: str) -> Iterator[Span]:
    """The spans of list entries, which may have several lines, and of paragraphs without list entries."""
    for paragraph_start, end in paragraph_spans(text):
        start = paragraph_start
        # An entry begins after a line end, or at a number such as [2] or 2. within a line.
        entry_starts = r"\n|(?<=[.\d])[ \t]+(?=(?:\[\d{1,3}\]|\d{1,3}\.)[ \t])"
        for match in re.finditer(entry_starts, text[paragraph_start:end]):
            at = paragraph_start + match.end()
            line_end = text.find("\n", at, end)
            line = text[at : min(at + _MAX_ENTRY, end if line_end < 0 else line_end)]
            before = text[max(start, at - _MAX_ENTRY) : at - 1].rstrip().rpartition("\n")[2]  # the line above
            is_complete = before.endswith((".", "-")) or before[-1:].isdigit()
            begins_block: object
            if match[0] != "\n":
                begins_block = _AUTHORS.match(_without_marker(line))
            else:
                begins_block = (
                    _LIST_ITEM.match(line)
                    or any(map(_DOT_LEADER.search, (before, line)))
                    or _PAGE_NUMBER.match(line)
                    or (is_complete and _AUTHORS.match(line))
                    or _list_heading(before)
                    or "#" in (before[:1], line[:1])
                )
            if begins_block and start < at:
                yield start, at
                start = at
        yield start, end


def _kind_of_block(block: str) -> Kind | None:
    if _DOT_LEADER.search(block) and len(block) < _MAX_ENTRY:
        return Kind.NAVIGATION
    return Kind.REFERENCE if _is_entry(block) else None


def _is_entry(block: str) -> bool:
    """Whether a block is a reference by its form alone, without a heading above it."""
    entry = _without_marker(block)
    if len(entry) > _MAX_ENTRY:
        return False
    has_marker, has_pages = _ENTRY_MARKER.match(block) is not None, _VOLUME_AND_PAGES.search(entry) is not None
    if _AUTHORS.match(entry):
        is_published = has_marker or _PUBLICATION.search(entry) or re.search(r"\(\d{4}[a-z]?\)", entry)
        return has_pages or bool(is_published and _YEAR.search(entry))
    ends_with_number = re.search(r"(?:\d|\))\W*\Z", entry) is not None  # pages, a year or an identifier
    return has_pages and (has_marker or ends_with_number) and len(entry) < _MAX_ANONYMOUS_ENTRY


def _continues_list(block: str, list_kind: Kind) -> bool:
    """Whether a block below an entry of a list may be the next entry."""
    line = " ".join(block.split())
    if block.startswith("#"):
        return False
    if list_kind is Kind.NAVIGATION:
        ends_with_page = len(line.split()) <= _MAX_HEADING_WORDS and line[-1:].isdigit()
        return not line.endswith(_STOPS) and (ends_with_page or _LIST_ITEM.match(block) is not None)
    begins = any(pattern.match(block) for pattern in (_ENTRY_MARKER, _AUTHORS))
    return len(line) <= _MAX_ENTRY and (begins or _names_publication(line))


def _names_publication(text: str) -> bool:
    return any(pattern.search(text) for pattern in (_YEAR, _PUBLICATION, _VOLUME_AND_PAGES))


def _list_heading(text: str) -> Kind | None:
    """The kind of list that a heading announces, references or contents; None for other texts."""
    if len(text) > _MAX_LIST_HEADING or "\n" in text.strip().rstrip("=-\n "):
        return None
    name = _normalized(text)
    return Kind.REFERENCE if name in _REFERENCES else Kind.NAVIGATION if name in _CONTENTS else None


def _without_marker(block: str) -> str:
    """A block in one line without its bullet or number."""
    marker = _ENTRY_MARKER.match(block)
    return " ".join(block[marker.end() if marker else 0 :].split())


def _is_heading(line: str) -> bool:
    """Whether a line of plain text may be a heading: a few words without digits, stop and lower-case first letter."""
    if (
        "\n" in line
        or line.endswith((*_STOPS, ","))
        or (_LIST_ITEM.match(line) and not re.match(r"\d+(?:\.\d+)*\.?\s+\D", line))
    ):
        return False
    words = line.split()
    unnumbered = re.sub(
        r"\A(?:chapter |section |appendix )?[\dA-Z]{1,3}(?:\.\d+)*\.?\s+", "", line, flags=re.IGNORECASE
    )
    return len(words) <= _MAX_HEADING_WORDS and not line[:1].islower() and not re.search(r"\d|\t|\|", unnumbered)


def _is_navigation(line: str) -> bool:
    if len(line) >= _MAX_NAVIGATION:
        return False
    words = line.strip(" *_-•[]()<>«»←→↑")
    return bool(_NAVIGATION.match(words) or _BREADCRUMBS.match(line.strip()))


def _row_start(text: str, start: int) -> int:
    """The start of a row, before the tabs after its empty first cells."""
    before = start
    while before and text[before - 1] == "\t":
        before -= 1
    return before if not before or text[before - 1] == "\n" else start


def table_cells(row: str) -> list[str]:
    """The cells of a table's row, separated by tabs or bars."""
    if row.lstrip().startswith("|"):
        _, *cells = (cell.strip() for cell in re.split(r"(?<!\\)\|", row))
        return cells[:-1] if cells[-1:] == [""] else cells
    return [cell.strip() for cell in row.split("\t")]


def labelled_cells(row: str, headings: Sequence[str]) -> str:
    """A table's row in one line, with the heading of its column before each cell.

    If there are fewer headings than cells, the first cells have no heading: tabs before the first heading were removed
    as white space at the start of a text.
    """
    cells = table_cells(row)
    aligned = [*[""] * (len(cells) - len(headings)), *headings]
    return "; ".join(
        f"{name.removesuffix(':')}: {cell}" if name else cell
        for name, cell in zip(aligned, cells, strict=False)
        if cell
    )
