"""Sentence, paragraph and word boundaries in plain text, as spans.

Common sentence splitters make more errors on ``tests/corpus/data/sentences.txt``: they do not handle lists, headings,
tables and references after the full stop, and some change offsets.
"""

import re
from collections.abc import Iterable

Span = tuple[int, int]

_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*|\Z")

# A reference after a stop: superscript, in brackets, or a plain number.
_NUMBERS = r"\d{1,3}[a-z]?(?:\s?[,–-]\s?\d{1,3}[a-z]?)*"
_REFERENCE = (
    rf"(?P<reference>\^{_NUMBERS}|[¹²³⁰⁴-⁹][¹²³⁰⁴-⁹⁻–,-]*|{_NUMBERS}|\s?\[{_NUMBERS}\]|\[[^\]\n]{{1,40}}\]|\({_NUMBERS}\)"
    r"|[*_†‡§¶]+)(?=\s)"
)
_CLOSING = "\"'”’»›«‹“‘)\\]}」』）】〉》"
# Stops of scripts that write no space after them.
_UNSPACED_STOPS = "。！？．｡।॥؟۔։።፧။។\u037e‼⁇⁈⁉"
_SENTENCE_END = re.compile(
    rf"(?<![.!?…‽])(?P<stop>[.!?…‽]++)(?:\s?[»›]|[{_CLOSING}])*+(?:{_REFERENCE})?(?=\s)\s*"
    rf"|[{_UNSPACED_STOPS}]+(?:\s?[»›]|[{_CLOSING}])*\s*"
    r"|\n\s*"
)
_OPENING = "\"'“”„‚«»‹›‘(¿¡[*_"

_BULLETS = "-*+#>•◦▪▫●○■□◆◇‣⁃∙·–—―►▶▸➢➤➔→✓✔✗✘❖☐☑☒\uf0a7\uf0a8\uf0b7\uf0d8\uf0fc\uf06e\uf076"
_BULLET_ITEM = re.compile(rf"[{_BULLETS}]+[^\S\n]|o\t|[①-⓿❶-➓]\s?")
_NUMBERED_ITEM = re.compile(
    r"(?P<open>\()?(?P<name>\d{1,3}|[a-zA-Z]|[ivx]{2,5}|[IVX]{2,5})(?P<close>[.)])[^\S\n]"
    r"|\d{1,2}(?:\.\d{1,2}){1,3}\.?[^\S\n]+(?=[^\W\d_a-z])|\d{1,2}、"
)
_LIST_NUMBER = re.compile(  # "1. Measure lactate", at the beginning or within a line
    r"(?:\A|:\s)(?:\d{1,2}(?:\.\d{1,2}){0,3}|[a-zA-Z]|[ivx]{2,5}|[IVX]{2,5})\.$"
)

# Abbreviations by what follows their full stop. Case matters: "Ms." is a title, "MS." a disease, "ms." a unit.
_NEVER_ENDS = re.compile(
    r"\b(?:PD|Profs?|Mrs?|Ms|Mx|Messrs|Rev|Hon|Capt|Sgt|Lt|Gen|St|Ste|Mt|[Ss]r(?:a|es|as|ta)?|[Dd]r(?:s|a|es|as)?"
    r"|Dña|D[ªa]|Profas?|Exm[oa]|Ilm[oa]|[Ss]igg?|Dott|dott|Mme|Pr|[Dd]hr|[Mm]w|[Mm]evr|[Pp]rof|lek|hab|[Пп]роф|[Аа]кад|[Дд]оц"
    r"|Mlle|Hr|Frl|Fr|[Cc]f|vs|viz|[Vv]gl|[Bb]zw|[Gg]gf|[Ii]nkl|[Ee]xkl|[Ii]ncl|[Ee]xcl|[Ee]vtl|[Ss]og|[Ii]nsb|zzgl|[Mm]ind"
    r"|ca|[Aa]pprox|[Rr]esp|[Ee]sp|bes|tgl|Tbl|Tabl|gem|[Ss]ubsp|ssp|[Ss]pp?|var|dept|[Aa]vg|[Tt]emp|[Pp]oss|[Pp]rob"
    r"|[Pp]t|[Vv]it|рис|табл|стр|см|напр|Dr\. (?:med|rer|phil)|e\. ?g|E\.g|i\. ?e|I\.e|z\. ?B|d\. ?h|u\. ?a|o\. ?g"
    r"|p\. ?ex|p\. ?ej)\.$"
)
_BEFORE_NUMBER = re.compile(
    r"\b(?:[Nn]os?|[Nn]rs?|[Ff]igs?|FIGS?|[Vv]ols?|[Rr]efs?|[Ee]qs?|[Ss]ecs?|[Ss]ect|[Cc]h|[Cc]hap|[Kk]ap|Art|[Aa]bb|[Tt]abs?"
    r"|[Ss]uppl?|[Aa]pp|[Bb]d|pp?|S|nn?|[Gg]eb|[Ee]xt|[Tt]el|[Mm]ax|[Mm]in|Jan|Feb|Apr|Aug|Sept?|Oct|Okt|Nov|Dec|Dez"
    r"|[Vv]er|[Gg]r)\.$"
)
_NUMBER = re.compile(r"[A-Z]?-?\d|[IVXLC]+\b|(?:Figs?|Tabs?|Tables?|Abb|Nos?|Nr)\b")
_QUANTITY = re.compile(r"\d\s?(?:min|max|sec|h|s|d|n|p)\.$")  # "after 5 min. 30 samples"
_BEFORE_NAME = re.compile(r"\b(?:[A-Za-z]\. ?){1,4}[A-Za-z]\.$|\b(?:et al|Inc|Ltd|Corp|Co|Bros|Jr|Ph\.D)\.$")
_DOSING = re.compile(r"\b(?:[ap]\.m|[btq]\.i\.d|[qo]\.d|p\.o|p\.r\.n|i\.v|i\.m|s\.c)\.$")  # names seldom follow doses
_INITIAL = re.compile(r"(\S*)(?:\s|\A|(?<=[(-]))[^\W\d_a-zªº]\.$")
_BEFORE_INITIAL = re.compile(
    r"(?:by|and|of|from|to|with|for|or|&|und|von|et|y|de|a|al|con|por|que|sr|don|thank|der|die|.*[,;:(.]|[^\W\d_a-z].*|)\Z"
)
_BEFORE_LETTER_NAME = re.compile(  # words before a letter that is a name: "vitamin D", "Group A"
    r"(?:vitamins?|hepatitis|groups?|types?|arms?|class|grade|stage|panel|figure|table|appendix|factor|protein|influenza"
    r"|h(?:a?e|ä)mophili[ae]|plan|cohort|category|phase|part|step|section|score|level|strain|serotype|subtype|virus"
    r"|option|model|child-pugh|streptococcus|lead|site|ward|block|set|antigen|ig[aegm]|gruppe|typ)\Z",
    re.IGNORECASE,
)
_SENTENCE_STARTER = re.compile(  # words that begin sentences but not names
    r"(?:The|Th(?:is|ese|ose|at|ere|en|ey|eir|us|erefore)|In|Its?|If|An?|As|At|After|All|Although|Also|And|Another|Among|Any"
    r"|Are|Because|Before|Both|But|By|Can|Did|Do|Does|During|Each|Every|Few|Five|For|Four|From|Further(?:more)?|Half|He"
    r"|Hence|Here?|His|How|However|Is|Many|May|Men|Moreover|Most|My|Neither|Nevertheless|No|Nobody|None|Not|Of|On|One"
    r"|Only|Others?|Our|Overall|Participants|Patients|People|Rates|Results|Several|She|Since|Six|Some|Subjects|Such|Ten"
    r"|Three|To|Treatment|Two|Under|Until|Use|Was|We|Were|What|When|Where(?:as)?|Which|While|Who|Why|With|Women|Yet|You"
    r"|Adults|Children|Doses|Data|Der|Die|Das|Diese?|Es|Er|Sie|Wir|Ich|Eine?|Im|Am|Bei|Danach|Dann|Auch|Nach|Vor|Zu[rm]"
    r"|Nur|Alle|Beide|Sicher|Andere)\b(?!\.)"
)
AFTER_GERMAN_ORDINAL = re.compile(  # words after an ordinal number in German: "am 3. Tag"
    r"(?:Tag(?:e[sn]?)?|Wochen?|Monat(?:s|en?)?|Quartal|(?:Lebens)?[Jj]ahr(?:e[sn]?)?|Lebens(?:monat|woche)s?|Jahrhunderts?"
    r"|Schwangerschaftswochen?|SSW|Zyklus|Stunden?|Minuten?|Auflage|Grad(?:es)?|Mal|Gabe|Dosis|Kapitel"
    r"|Januar|Jänner|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember)\b"
)
_GERMAN_ORDINAL = re.compile(
    r"\b(?:[Ii]m|[Zz]u[mr]|[Vv]om|[Bb]eim|[Dd](?:er|ie|em|en|es|as)|[Aa]b|[Bb]is|[Jj]ede[rnsm]?)\s\d{1,2}\.$"
)
_LOWER_CASE_STARTER = re.compile(r"[a-z]{1,3}[A-Z]|[a-z]\d|[α-ω]-")  # words in lower case that begin sentences: "mRNA"

_MAX_LOOKBEHIND = 40  # characters before a stop that are examined
_MAX_LINE = 200  # characters of a line that are examined
_MAX_ITEM = 1000  # characters before a list item in which the previous number is searched
_UNDERLINE = re.compile(r"\n[ \t]*(?:={2,}|-{2,})[ \t]*\Z")
_HEADING_MARKS = re.compile(r"\A#+\s|\s#+\s*\Z|\n\s*(?:=+|-+)\s*\Z")
_DOT_LEADER = re.compile(r"(?:(?:\.\s?){4}|…{2}|_{4})\s*\w{0,6}\s*\Z")  # dots before a page number
_RULE_CHARACTERS = re.compile(r"[\s|:+=-]*")
# In scripts without spaces each character is a word; other words are split after 40 characters.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]{{1,40}}")


def paragraph_spans(text: str) -> list[Span]:
    """The paragraphs, which blank lines separate, without surrounding white space."""
    breaks = [match.span() for match in _BLANK_LINES.finditer(text)]
    return trimmed_spans(text, zip([0, *(end for _, end in breaks)], (start for start, _ in breaks), strict=False))


def sentence_spans(text: str, start: int = 0, end: int | None = None) -> list[Span]:
    """The sentences of ``text[start:end]``, without surrounding white space.

    A full stop, with the closing quotation marks, brackets and references after it, ends a sentence, except

    - after an abbreviation, an initial, or the number of a list item or a German ordinal;
    - before a lower-case letter, unless the sentence itself begins with one, as in notes;
    - in a row of dots;
    - in a row of a table, except in its last cell if tabs separate the cells.

    A line end ends a sentence before a blank line, a list item, a heading or a row of a table, and after a heading or a
    row. Headings are lines that begin with # or are underlined, and lines in capitals next to other lines.
    """
    end = len(text) if end is None else end
    spans: list[Span] = []
    begin = start
    row_end = _row_end(text, start, end)
    for match in _SENTENCE_END.finditer(text, start, end):
        if match.end() <= row_end or (match[0].count("\n") < 2 and not _ends_sentence(text, begin, match)):
            continue
        spans.append((begin, match.end()))
        begin = match.end()
        if "\n" in match[0]:
            row_end = _row_end(text, begin, end)
    spans.append((begin, end))
    return trimmed_spans(text, spans)


def word_spans(text: str, start: int = 0, end: int | None = None) -> list[Span]:
    """The words of ``text[start:end]``, of at most 40 characters; in unspaced scripts each character is a word."""
    return [match.span() for match in _WORD.finditer(text, start, len(text) if end is None else end)]


def heading_name(text: str) -> str:
    """A heading in one line, without Markdown's # and underline."""
    return " ".join(_HEADING_MARKS.sub("", text).split())


def _ends_sentence(text: str, begin: int, match: re.Match[str]) -> bool:
    """Whether a stop or line end ends the sentence that begins at ``begin``."""
    after = match.end()
    if (newline := text.find("\n", match.start(), after)) >= 0 and _line_ends_sentence(text, begin, newline, after):
        return True
    if match["stop"] is None:
        return text[match.start()] != "\n" and not _continues_after_unspaced_stop(text, match)
    stop = match.start() + len(match["stop"])
    if _is_dot_leader(text, match.start(), match["stop"], after):
        return False
    next_word = after
    while next_word < min(after + 3, len(text)) and text[next_word] in _OPENING:
        next_word += 1
    before = text[max(begin, stop - _MAX_LOOKBEHIND) : stop]
    reference = match["reference"]
    if reference and reference[0].isdigit() and not _is_reference(before):
        return False
    is_abbreviated = _is_abbreviated(before, text, next_word)
    if _begins_in_lower_case(text, next_word) and (is_abbreviated or not _begins_in_lower_case(text, begin)):
        return False
    return match["stop"] != "." or reference is not None or not is_abbreviated


def _is_dot_leader(text: str, start: int, stop: str, after: int) -> bool:
    """Whether the stop is part of a row of dots, as in tables of contents."""
    return (
        stop.count(".") > 3
        or stop.count("…") > 1
        or (stop == "." and (text[after : after + 2] in (". ", ".\n") or text[max(0, start - 4) : start] == ". . "))
    )


def _is_reference(before: str) -> bool:
    """Whether a plain number after the stop at the end of ``before`` is a reference, not a decimal or "No.3"."""
    if before[-2:-1].isdigit():
        return re.search(r"\b(?:19|20)\d\d\.$", before) is not None
    return not _BEFORE_NUMBER.search(before) and not re.search(r"\b\w\.$", before)


def _begins_in_lower_case(text: str, at: int) -> bool:
    """Whether the word at ``at`` begins in lower case; False for words that may begin sentences, such as mRNA."""
    return text[at : at + 1].islower() and not _LOWER_CASE_STARTER.match(text, at)


def _is_abbreviated(before: str, text: str, next_word: int) -> bool:
    """Whether the full stop at the end of ``before`` belongs to an abbreviation, a number or an initial."""
    if _NEVER_ENDS.search(before) or _LIST_NUMBER.search(before):
        return True
    if before[-2:-1].isdigit():
        may_be_noun = text[next_word : next_word + 1].isalpha() and not _SENTENCE_STARTER.match(text, next_word)
        is_ordinal = may_be_noun and _GERMAN_ORDINAL.search(before) is not None
        return is_ordinal or AFTER_GERMAN_ORDINAL.match(text, next_word) is not None
    if _NUMBER.match(text, next_word) and _BEFORE_NUMBER.search(before):
        return not _QUANTITY.search(before)
    if re.search(r"\b[a-z]\.$", before) and re.match(r"[A-Za-z]\.", text[next_word : next_word + 2]):  # "i. d. R."
        return True
    begins_sentence = _SENTENCE_STARTER.match(text, next_word) is not None
    if _BEFORE_NAME.search(before):
        return not begins_sentence and not _DOSING.search(before)
    initial = _INITIAL.search(before)
    if initial is None or begins_sentence or _BEFORE_LETTER_NAME.search(initial[1]):
        return False
    return _BEFORE_INITIAL.match(initial[1]) is not None


def _continues_after_unspaced_stop(text: str, match: re.Match[str]) -> bool:
    """Whether a stop of another script ends no sentence: inside a number, or in a Japanese quotation before a verb."""
    start, after = match.span()
    if text[start] == "．" and text[max(0, start - 1) : start].isdigit() and text[after : after + 1].isdigit():
        return True
    return text[after - 1] in "」』" and "\u3040" <= text[after : after + 1] <= "\u309f"


def _line_ends_sentence(text: str, begin: int, newline: int, after: int) -> bool:
    """Whether the line end at ``newline`` ends the sentence; the next line begins at ``after``."""
    if text.startswith("#", begin) or _UNDERLINE.search(text[max(begin, newline - _MAX_LINE) : newline]):
        return True
    if _is_item(text, begin, newline, after) or _is_in_capitals(text, newline) != _is_in_capitals(text, after):
        return True
    above, below = _line(text, newline), _line(text, after)
    if _DOT_LEADER.search(above):
        return True
    if is_row(above) or is_row(below):
        return not is_table_rule(below)
    return False


def _is_item(text: str, begin: int, newline: int, after: int) -> bool:
    """Whether the line at ``after`` begins a list item; a wrapped line of a sentence may begin with a number too."""
    before = text[max(begin, newline - _MAX_LOOKBEHIND) : newline].rstrip()[-1:]
    if _BULLET_ITEM.match(text, after):
        return not (before.isdigit() and re.match(r"[–—-]\s\d", text[after : after + 3]))
    item = _NUMBERED_ITEM.match(text, after)
    if item is None:
        return False
    if before in (".", ":", ";", "!", "?") or item["name"] is None or _NUMBERED_ITEM.match(text, begin):
        return True
    if item["name"] == "1" or (item["name"] in "aiAI" and item["close"] == ")"):
        return True
    if not item["name"].isdigit():
        return False
    previous = int(item["name"]) - 1
    return re.search(rf"^\s*\(?{previous}[.)]\s", text[max(0, after - _MAX_ITEM) : after], re.M) is not None


def _row_end(text: str, start: int, end: int) -> int:
    """The end of the table row that begins at ``start``; ``start`` if no row begins there.

    If tabs separate the cells, the start of the last cell is returned, since the later sentences of that cell can be
    quoted alone.
    """
    newline = text.find("\n", start, end)
    line_end = newline if newline >= 0 else end
    if text.startswith("|", start):
        return line_end
    last_tab = text.rfind("\t", start, line_end)
    return last_tab + 1 if last_tab >= 0 and is_row(text[start:line_end]) else start


def _line(text: str, place: int) -> str:
    """The line at ``place``, at most ``_MAX_LINE`` characters to each side."""
    start = text.rfind("\n", max(0, place - _MAX_LINE), place) + 1 or max(0, place - _MAX_LINE)
    end = text.find("\n", place, place + _MAX_LINE)
    return text[start : end if end >= 0 else place + _MAX_LINE]


def is_table_rule(line: str) -> bool:
    """Whether a line is the rule below a table's header."""
    return "--" in line and _RULE_CHARACTERS.fullmatch(line) is not None


def is_row(line: str) -> bool:
    """Whether a line is a row of a table: with bars, or with a tab between two cells."""
    cells = line.strip()
    return cells.startswith("|") or (
        "\t" in cells and not _BULLET_ITEM.match(cells) and not _NUMBERED_ITEM.match(cells)
    )


def _is_in_capitals(text: str, place: int) -> bool:
    """Whether the line at ``place`` is in capitals, as headings in plain text are, and not a row of a table."""
    line = _line(text, place)
    if line.rstrip().endswith((".", ",")) or "|" in line or "\t" in line:
        return False
    return line.isupper() and sum(map(str.isalpha, line)) >= 4


def trimmed_spans(text: str, spans: Iterable[Span]) -> list[Span]:
    """The spans without surrounding white space, and without those of white space alone."""
    return [span for span in (trimmed(text, *span) for span in spans) if span[0] < span[1]]


def trimmed(text: str, start: int, end: int) -> Span:
    """The span without surrounding white space; its end is before its start if it has only white space."""
    span = text[start:end]
    return start + len(span) - len(span.lstrip()), start + len(span.rstrip())
