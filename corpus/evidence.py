"""Kinds of sentences in a text: statements, and what is no evidence, such as references, contents and headings."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache

from corpus.sentences import Span, heading_name, paragraph_spans, sentence_spans


class Kind(Enum):
    """What a sentence is in its document."""

    STATEMENT = auto()
    ROW = auto()
    HEADING = auto()
    QUESTION = auto()
    REFERENCE = auto()
    NAVIGATION = auto()


@dataclass(frozen=True, slots=True)
class Sentence:
    """``text[start:end]`` with its kind, the heading above it, and the header of the table it is a row of.

    ``context_start`` is where the text that must be read with it begins: at its own start, or, for a sentence such as
    "This was true of women.", at that of the sentence before, which it refers to.
    """

    start: int
    end: int
    kind: Kind
    heading: str = ""
    header: str = ""
    context_start: int = -1

    @property
    def is_evidence(self) -> bool:
        """Whether it says something by itself."""
        return self.kind in (Kind.STATEMENT, Kind.ROW)


_MARKS = re.compile(r"[\s#*_=|:.\d()\[\]§-]+")


def _name(text: str) -> str:
    """A heading's words in small letters, without accents, marks and numbers before them."""
    plain = "".join(one for one in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(one))
    plain = unicodedata.normalize("NFKC", plain)
    return re.sub(r"\A(?:[a-z]|[ivxlc]{1,5}) (?=\w)", "", " ".join(_MARKS.sub(" ", plain).split()))


def _names(text: str) -> frozenset[str]:
    return frozenset(_name(name) for name in re.split(r"\n|\s{2,}", text) if name)


# Names of lists, in small letters and without accents, separated by two spaces or a line's end.
_REFERENCES = _names(
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
_CONTENTS = _names(
    """
    contents  table of contents  list of contents  in this guide  in this guideline  in this article  in this document
    on this page  list of tables  list of figures  inhalt  inhaltsverzeichnis  inhaltsubersicht  sommaire
    table des matieres  indice  indice general  tabla de contenido  tabla de contenidos  contenido  contenidos  sumario
    inhoud  inhoudsopgave  innehall  innehallsforteckning  indhold  indholdsfortegnelse  innhold  sisallys
    sisallysluettelo  spis tresci  obsah  tartalom  tartalomjegyzek  icindekiler  содержание  оглавление  зміст
    περιεχομενα  目次  目录  目錄  차례  목차  المحتويات
    """
)
_NAVIGATION = re.compile(
    r"(?:(?:skip|jump) to (?:main |the )?(?:content|navigation)|(?:back|go) to (?:the )?(?:top|contents|start)"
    r"|(?:next|previous)(?: page| section| chapter)?|home|menu|search|(?:print|share|e-?mail)(?: this)?(?: page)?"
    r"|download(?: as)?(?: the)?(?: pdf| citation)?|(?:read|learn|show) (?:more|less|all)|see also|click here.{0,40}"
    r"|log ?in|sign in|register|subscribe|contact us|cookie.{0,40}|page \d+(?: of \d+)?|copyright.{0,80}|©.{0,80}"
    r"|all rights reserved)\W*\Z",
    re.IGNORECASE,
)
_CRUMBS = re.compile(r"[^>›»→|/\n]{1,40}(?:\s[>›»→|/]\s[^>›»→|/\n]{1,60}){2,}\Z")
_LEADER = re.compile(r"(?:(?:[.·]\s?){4,}|…{2,}|_{4,})\s*(?:\d{1,4}|[ivxlc]{1,7})?\s*\Z")
_PAGED = re.compile(r"\S.*(?:\t|\s{2,})(?:\d{1,4}|[ivxlc]{1,7})\s*\Z")
_ITEM = re.compile(r"\s*(?:[-*•·▪◦‣+]\s+|\[\d{1,3}\]\s*|\(?\d{1,3}[.)\]]\s+|\d{1,3}\s+(?=\D))")
_ENTRY_MARK = re.compile(r"\s*(?:\[\d{1,3}\]|\(\d{1,3}\)|\d{1,3}[.)]?|[-*•])\s+(?=\S)|\s*\[\d{1,3}\]")

_INITIALS = r"(?:[A-ZÀ-ÞŁŠŽΑ-ΩА-ЯЁ]\.?[ \u00a0-]?){1,4}"
_NAME = r"(?:(?:van|von|de|der|den|di|da|del|la|le|el|al|ten|ter|O|Mc|Mac)[ '’-]?){0,3}[A-ZÀ-ÞŁŠŽΑ-ΩА-ЯЁ][\w'’`-]+"
_AUTHORS = re.compile(
    rf"\W{{0,3}}(?:{_NAME},?\s{_INITIALS}(?=[,.;:&(]|\s(?:and|und|et|y|e|&)\s|\s*\Z)"
    rf"|{_INITIALS}\s?{_NAME},(?=\s{_INITIALS}))"
)
_YEAR = re.compile(r"\b(?:19|20)\d\d[a-z]?\b")
_LOCATED = re.compile(  # a volume and pages beside a year
    r"\b(?:19|20)\d\d(?:\s[A-Z][a-z]{2,8}\.?)?(?:\s\d{1,2}(?:[-–]\d{1,2})?)?\s?[;:,]\s?(?:vol\.?\s?)?[A-Z]?\d{1,4}\s?"
    r"(?:\([^)]{1,12}\))?\s?[:,]\s?(?:pp?\.?\s?)?[A-Za-z]{0,4}\d+"
    r"|\b\d{1,4}\s?\([^)]{1,10}\)\s?[:,]\s?(?:pp?\.?\s?)?[A-Za-z]?\d+\s?[-–]\s?[A-Za-z]?\d+"
    r"|\b\d{1,4}\s?[:,]\s?(?:pp?\.?\s?)?\d+\s?[-–]\s?\d+[.,]?\s?\(?(?:19|20)\d\d"
    r"|\bvol(?:ume)?\.?\s\d+,.{0,30}\bpp?\.\s?\d+"
)
_PUBLISHED = re.compile(
    r"\bdoi\b|10\.\d{4,9}/\S+|\bPMI?D\b|\bPMC\d+|\bISBN\b|\bhttps?://|\bwww\.\w|\barXiv\b|\bet al\b"
    r"|\b(?:Available (?:at|from)|Accessed|Retrieved|Cited \d{4}|Epub)\b"
    r"|\b(?:pp?|S|С|с)\. ?\d|\b\d(?:st|nd|rd|th) ed(?:ition|\.)"
    r"|\b(?:Press|Verlag|Publish(?:ers?|ing)|Elsevier|Springer|Wiley|University Press|Suppl\.?|In:|Eds?\.)",
)
_CACHED = 20_000  # characters of a text whose sentences are cached, at the most
_ENTRY = 700  # characters of a reference at the most
_HEADING_WORDS = 12
_GOES_ON = re.compile(  # words that no heading ends with
    r"\b(?:an?|the|of|in|on|at|to|for|with|and|or|but|that|than|by|from|as|is|are|was|were|be|not|no|which|who|if|per|vs"
    r"|der|die|das|den|dem|des|und|oder|mit|von|bei|zu|im|am|eine?|de|la|les?|du|et|el|los)\Z",
    re.IGNORECASE,
)
_HEADER_RULE = re.compile(r"[\s|:+=-]*-{2,}[\s|:+=-]*\Z")
_ENDS = tuple(".!?。！？;；:：।؟…")
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

    A list of references is known by its heading, in any of the usual languages, or by the form of its entries; a table
    of contents by its heading, dots or page numbers; a heading by its marks, its name, or as a short line without a
    stop that stands alone before other text.

    Args:
        text: the passage.
        section: the headings that it stands under, joined by "; ", the first one above its beginning.
        title: its document's.
    """
    # A passage is read when it is found and when it is quoted, for many questions; long texts would fill the memory.
    return (_cached if len(text) <= _CACHED else _sentences)(text, section, title)


def _sentences(text: str, section: str, title: str) -> Sequence[Sentence]:
    names = [name for name in section.split("; ") if name]
    known = {*names, title} - {""}
    spoiled = _spoiled(text, names[0] if names else "")
    widest = max(map(len, text.split("\n")))
    above = names[0] if names else ""
    found: list[Sentence] = []
    paragraphs = paragraph_spans(text)
    for number, (begin, end) in enumerate(paragraphs):
        header = ""
        previous: Sentence | None = None
        spans = list(_parted(text, sentence_spans(text, begin, end), widest))
        for place, (start, stop, heads) in enumerate(spans):
            own = text[start:stop]
            below = text[slice(*spans[place + 1][:2])] if place + 1 < len(spans) else ""
            kind = next((kind for kind, (a, b) in spoiled if start < b and a < stop), None)
            if kind is None:
                heads |= heading_name(own) in known or (len(spans) == 1 < len(paragraphs) - number and _is_heading(own))
                kind = Kind.HEADING if heads else _kind(own)
            row_header = ""
            if kind is Kind.ROW:
                heads_table = not header and _heads_table(own, below)
                if heads_table:
                    header = own.partition("\n")[0]
                    kind = Kind.HEADING if len(table_cells(header)) > 2 else Kind.ROW
                else:
                    row_header = header
            elif kind is Kind.HEADING or (kind is Kind.QUESTION and len(spans) == 1):
                above = heading_name(own)
            context_start = start
            if kind is Kind.STATEMENT and previous is not None and _REFERS_BACK.match(own):
                context_start = previous.context_start
            if any(map(str.isalnum, own)):
                found.append(Sentence(start, stop, kind, above, row_header, context_start))
                previous = found[-1] if kind is Kind.STATEMENT else None
    return tuple(found)


_cached = lru_cache(maxsize=1024)(_sentences)


def is_evidence(text: str, section: str = "", title: str = "") -> bool:
    """Whether a passage has anything but references, contents and their headings; the arguments are ``sentences``'."""
    found = sentences(text, section, title)
    listed = (Kind.REFERENCE, Kind.NAVIGATION)
    return any(one.is_evidence for one in found) or not any(one.kind in listed for one in found)


def _parted(text: str, spans: Sequence[Span], widest: int) -> Iterator[tuple[int, int, bool]]:
    """The sentences, and whether each is a heading on the line above a sentence, without a blank line between.

    A line that was wrapped is followed by a word that would not have fitted on it.
    """
    for start, end in spans:
        line, newline, rest = text[start:end].partition("\n")
        word = rest.split(maxsplit=1)[0] if rest.strip() else ""
        if (
            newline
            and not text[text.rfind("\n", 0, start) + 1 : start].strip()  # it begins its line, as headings do
            and rest.endswith(_ENDS)
            and not word[:1].islower()
            and word[:1].isalpha()
            and len(line) + 1 + len(word) <= widest
            and not _is_row(line)
            and _is_heading(line)
            and not _GOES_ON.search(line.rstrip())
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
    return Kind.ROW if _is_row(sentence) else Kind.STATEMENT


def _heads_table(row: str, below: str) -> bool:
    """Whether a row is a table's header: a rule follows it, or another row while its cells have no numbers."""
    if _HEADER_RULE.match(row.rpartition("\n")[2]):
        return True
    return _is_row(below) and not any(re.search(r"\d", cell) for cell in table_cells(row)[1:])


def _spoiled(text: str, section: str) -> list[tuple[Kind, Span]]:
    """The blocks of the text that are references or contents."""
    blocks = list(_blocks(text))
    kinds = [_block_kind(text[start:end]) for start, end in blocks]
    inside: Kind | None = _list_heading(section)
    for number, (start, end) in enumerate(blocks):
        block = text[start:end]
        if (begun := _list_heading(block)) is not None:
            inside, kinds[number] = begun, Kind.HEADING
        elif inside is not None and kinds[number] is None and any(map(str.isalnum, block)):
            if _goes_on(block, inside):
                kinds[number] = inside
            else:
                inside = None
    for number in range(1, len(blocks)):  # an entry without the usual form, or the cut end of one, among others
        if kinds[number] is None and kinds[number - 1] is Kind.REFERENCE:
            block = text[slice(*blocks[number])]
            ahead = kinds[number + 1] if number + 1 < len(kinds) else None
            if (
                len(block) <= _ENTRY
                and _ENTRY_MARK.match(block)
                and (ahead is Kind.REFERENCE or _AUTHORS.match(_bare(block)))
            ):
                kinds[number] = Kind.REFERENCE
    return [(kind, span) for kind, span in zip(kinds, blocks, strict=True) if kind is not None]


def _blocks(text: str) -> Iterator[Span]:
    """The entries of lists and the other paragraphs; an entry of several lines is one block."""
    for begin, end in paragraph_spans(text):
        start = begin
        for match in re.finditer(r"\n|(?<=[.\d])[ \t]+(?=(?:\[\d{1,3}\]|\d{1,3}\.)[ \t])", text[begin:end]):
            at = begin + match.end()
            stop = text.find("\n", at, end)
            line = text[at : min(at + _ENTRY, end if stop < 0 else stop)]
            before = text[max(start, at - _ENTRY) : at - 1].rstrip().rpartition("\n")[2]  # the line above
            ended = before.endswith((".", "-")) or before[-1:].isdigit()
            if match[0] != "\n":
                new = _AUTHORS.match(_bare(line)) is not None
            else:
                new = (
                    _ITEM.match(line) is not None
                    or _LEADER.search(before) is not None
                    or _LEADER.search(line) is not None
                    or _PAGED.match(line) is not None
                    or (ended and _AUTHORS.match(line) is not None)
                    or _list_heading(before) is not None
                    or before.startswith("#")
                    or line.startswith("#")
                )
            if new and start < at:
                yield start, at
                start = at
        yield start, end


def _block_kind(block: str) -> Kind | None:
    if _LEADER.search(block) and len(block) < _ENTRY:
        return Kind.NAVIGATION
    return Kind.REFERENCE if _is_entry(block) else None


def _is_entry(block: str) -> bool:
    """Whether a block has the form of a reference, whatever stands above it."""
    bare = _bare(block)
    if len(bare) > _ENTRY:
        return False
    marked = _ENTRY_MARK.match(block) is not None
    authors, located = _AUTHORS.match(bare) is not None, _LOCATED.search(bare) is not None
    year, published = _YEAR.search(bare) is not None, _PUBLISHED.search(bare) is not None
    if authors:
        return located or (year and (published or marked or re.search(r"\(\d{4}[a-z]?\)\.?", bare) is not None))
    tail = re.search(r"(?:\d|\))\W*\Z", bare) is not None  # it ends with pages, a year or an identifier
    return located and (marked or tail) and len(bare) < 400


def _goes_on(block: str, inside: Kind) -> bool:
    """Whether a block under such a heading may be an entry of its list."""
    line = " ".join(block.split())
    if block.startswith("#"):
        return False
    if inside is Kind.NAVIGATION:
        return (_ITEM.match(block) is not None and not line.endswith(_ENDS)) or (
            not line.endswith(_ENDS) and len(line.split()) <= _HEADING_WORDS and line[-1:].isdigit()
        )
    signs = (_ENTRY_MARK, _AUTHORS)
    return len(line) <= _ENTRY and (
        any(sign.match(block) for sign in signs) or any(sign.search(line) for sign in (_YEAR, _PUBLISHED, _LOCATED))
    )


def _list_heading(text: str) -> Kind | None:
    """The kind of list that a heading announces."""
    if len(text) > 80 or "\n" in text.strip().rstrip("=-\n "):
        return None
    name = _name(text)
    return Kind.REFERENCE if name in _REFERENCES else Kind.NAVIGATION if name in _CONTENTS else None


def _bare(block: str) -> str:
    """A block in one line without its mark."""
    mark = _ENTRY_MARK.match(block)
    return " ".join(block[mark.end() if mark else 0 :].split())


def _is_heading(line: str) -> bool:
    """Whether a line that stands alone is a heading of plain text: a few words with a capital first and no stop."""
    if (
        "\n" in line
        or line.endswith((*_ENDS, ","))
        or (_ITEM.match(line) and not re.match(r"\d+(?:\.\d+)*\.?\s+\D", line))
    ):
        return False
    words = line.split()
    number = re.sub(r"\A(?:chapter |section |appendix )?[\dA-Z]{1,3}(?:\.\d+)*\.?\s+", "", line, flags=re.IGNORECASE)
    return len(words) <= _HEADING_WORDS and not line[:1].islower() and not re.search(r"\d|\t|\|", number)


def _is_navigation(line: str) -> bool:
    bare = line.strip(" *_-•[]()<>«»←→↑")
    return len(line) < 160 and (_NAVIGATION.match(bare) is not None or _CRUMBS.match(line.strip()) is not None)


def _is_row(line: str) -> bool:
    cells = line.strip()
    return cells.startswith("|") or ("\t" in cells and not re.match(r"(?:[-*•·▪◦‣+]|\(?\w{1,3}[.)])\s", cells))


def table_cells(row: str) -> Sequence[str]:
    """The cells of a table's row, whose marks are tabs or bars."""
    row = row.strip()
    if row.startswith("|"):
        return [cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip("|"))]
    return [cell.strip() for cell in row.split("\t")]
