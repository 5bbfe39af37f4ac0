"""Sentence, paragraph and word boundaries in plain text, as spans.

Common sentence splitters are right less often on ``tests/corpus/data/sentences.txt``: they handle neither lists,
headings and tables nor references after the full stop, and change offsets.
"""

import re

Span = tuple[int, int]

_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*|\Z")

# A reference after a stop: superscript, in brackets, or a plain number.
_NUMBERS = r"\d{1,3}[a-z]?(?:\s?[,–-]\s?\d{1,3}[a-z]?)*"
_MARK = (
    rf"(?P<mark>\^{_NUMBERS}|[¹²³⁰⁴-⁹][¹²³⁰⁴-⁹⁻–,-]*|{_NUMBERS}|\s?\[{_NUMBERS}\]|\[[^\]\n]{{1,40}}\]|\({_NUMBERS}\)"
    r"|[*_†‡§¶]+)(?=\s)"
)
_CLOSERS = "\"'”’»›«‹“‘)\\]}」』）】〉》"
# Stops of other scripts, which need no space after them.
_WIDE = "。！？．｡।॥؟۔։።፧။។\u037e‼⁇⁈⁉"
_SENTENCE_END = re.compile(
    rf"(?<![.!?…‽])(?P<stop>[.!?…‽]++)(?:\s?[»›]|[{_CLOSERS}])*+(?:{_MARK})?(?=\s)\s*"
    rf"|[{_WIDE}]+(?:\s?[»›]|[{_CLOSERS}])*\s*"
    r"|\n\s*"
)
_OPENERS = "\"'“”„‚«»‹›‘(¿¡[*_"

_BULLETS = "-*+#>•◦▪▫●○■□◆◇‣⁃∙·–—―►▶▸➢➤➔→✓✔✗✘❖☐☑☒\uf0a7\uf0a8\uf0b7\uf0d8\uf0fc\uf06e\uf076"
_BULLET = re.compile(rf"[{_BULLETS}]+[^\S\n]|o\t|[①-⓿❶-➓]\s?")
_NUMBERED = re.compile(
    r"(?P<open>\()?(?P<name>\d{1,3}|[a-zA-Z]|[ivx]{2,5}|[IVX]{2,5})(?P<close>[.)])[^\S\n]"
    r"|\d{1,2}(?:\.\d{1,2}){1,3}\.?[^\S\n]+(?=[^\W\d_a-z])|\d{1,2}、"
)
_ITEM_NUMBER = re.compile(  # "1. Measure lactate", at the beginning or within a line
    r"(?:\A|:\s)(?:\d{1,2}(?:\.\d{1,2}){0,3}|[a-zA-Z]|[ivx]{2,5}|[IVX]{2,5})\.$"
)

# Abbreviations by what follows their full stop. Case matters: "Ms." is a title, "MS." a disease, "ms." a unit.
_NEVER_ENDS = re.compile(
    r"\b(?:Drs?|PD|Profs?|Mrs?|Ms|Mx|Messrs|Rev|Hon|Capt|Sgt|Lt|Gen|St|Ste|Mt|Sra?|Srta|Dra|Dott|dott|Mme"
    r"|Mlle|Hr|Frl|Fr|[Cc]f|vs|viz|[Vv]gl|[Bb]zw|[Gg]gf|[Ii]nkl|[Ee]xkl|[Ii]ncl|[Ee]xcl|[Ee]vtl|[Ss]og|[Ii]nsb|zzgl|[Mm]ind"
    r"|ca|[Aa]pprox|[Rr]esp|[Ee]sp|bes|tgl|Tbl|Tabl|gem|[Ss]ubsp|ssp|[Ss]pp?|var|dept|[Aa]vg|[Tt]emp|[Pp]oss|[Pp]rob"
    r"|[Pp]t|рис|табл|стр|см|напр|Dr\. (?:med|rer|phil)|e\. ?g|E\.g|i\. ?e|I\.e|z\. ?B|d\. ?h|u\. ?a|o\. ?g"
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
_DOSE = re.compile(r"\b(?:[ap]\.m|[btq]\.i\.d|[qo]\.d|p\.o|p\.r\.n|i\.v|i\.m|s\.c)\.$")  # a name seldom follows
_INITIAL = re.compile(r"(\S*)(?:\s|\A|(?<=[(-]))[^\W\d_a-zªº]\.$")
_BEFORE_INITIAL = re.compile(
    r"(?:by|and|of|from|to|with|for|or|&|und|von|et|y|de|thank|der|die|.*[,;:(.]|[^\W\d_a-z].*|)\Z"
)
_LETTERED = re.compile(  # words before a letter that is a name: "vitamin D", "Group A"
    r"(?:vitamins?|hepatitis|groups?|types?|arms?|class|grade|stage|panel|figure|table|appendix|factor|protein|influenza"
    r"|h(?:a?e|ä)mophili[ae]|plan|cohort|category|phase|part|step|section|score|level|strain|serotype|subtype|virus"
    r"|option|model|child-pugh|streptococcus|lead|site|ward|block|set|antigen|ig[aegm]|gruppe|typ)\Z",
    re.IGNORECASE,
)
_STARTER = re.compile(  # words that begin sentences but not names
    r"(?:The|Th(?:is|ese|ose|at|ere|en|ey|eir|us|erefore)|In|Its?|If|An?|As|At|After|All|Although|Also|And|Another|Among|Any"
    r"|Are|Because|Before|Both|But|By|Can|Did|Do|Does|During|Each|Every|Few|Five|For|Four|From|Further(?:more)?|Half|He"
    r"|Hence|Here?|His|How|However|Is|Many|May|Men|Moreover|Most|My|Neither|Nevertheless|No|Nobody|None|Not|Of|On|One"
    r"|Only|Others?|Our|Overall|Participants|Patients|People|Rates|Results|Several|She|Since|Six|Some|Subjects|Such|Ten"
    r"|Three|To|Treatment|Two|Under|Until|Use|Was|We|Were|What|When|Where(?:as)?|Which|While|Who|Why|With|Women|Yet|You"
    r"|Adults|Children|Doses|Data|Der|Die|Das|Diese?|Es|Er|Sie|Wir|Ich|Eine?|Im|Am|Bei|Danach|Dann|Auch|Nach|Vor|Zu[rm]"
    r"|Nur|Alle|Beide|Sicher|Andere)\b(?!\.)"
)
_COUNTED = re.compile(  # words after an ordinal number in German: "am 3. Tag"
    r"(?:Tag(?:e[sn]?)?|Wochen?|Monat(?:s|en?)?|Quartal|(?:Lebens)?[Jj]ahr(?:e[sn]?)?|Lebens(?:monat|woche)s?|Jahrhunderts?"
    r"|Schwangerschaftswochen?|SSW|Zyklus|Stunden?|Minuten?|Auflage|Grad(?:es)?|Mal|Gabe|Dosis|Kapitel"
    r"|Januar|Jänner|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember)\b"
)
_GERMAN = re.compile(
    r"\b(?:[Ii]m|[Zz]u[mr]|[Vv]om|[Bb]eim|[Dd](?:er|ie|em|en|es|as)|[Aa]b|[Bb]is|[Jj]ede[rnsm]?)\s\d{1,2}\.$"
)
_SMALL_FIRST = re.compile(r"[a-z]{1,3}[A-Z]|[a-z]\d|[α-ω]-")  # words in lower case that begin sentences: "mRNA"

_BACK = 40  # number of characters before a stop that are examined
_LINE = 200  # maximum number of characters of a line that are examined
_UNDERLINE = re.compile(r"\n[ \t]*(?:={2,}|-{2,})[ \t]*\Z")
_HEADING_MARKS = re.compile(r"\A#+\s|\s#+\s*\Z|\n\s*(?:=+|-+)\s*\Z")
_LEADER = re.compile(r"(?:(?:\.\s?){4}|…{2}|_{4})\s*\w{0,6}\s*\Z")  # dots before a page number
_TABLE_RULE = re.compile(r"[\s|:+=-]*--[\s|:+=-]*\Z")
# In scripts without spaces each character is a word; long runs without spaces are split.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]{{1,40}}")


def paragraph_spans(text: str) -> list[Span]:
    """The paragraphs, which blank lines separate, without surrounding white space."""
    spans: list[Span] = []
    begin = 0
    for match in _BLANK_LINES.finditer(text):
        spans.append(_trim(text, begin, match.start()))
        begin = match.end()
    return [span for span in spans if span[0] < span[1]]


def sentence_spans(text: str, start: int = 0, end: int | None = None) -> list[Span]:
    """The sentences of ``text[start:end]``, without surrounding white space.

    A full stop ends a sentence, together with closing quotation marks, brackets and references after it, except

    - after an abbreviation, an initial, or the number of a list item or a German ordinal;
    - before a lower-case letter, unless the sentence itself begins with one, as notes do;
    - in a row of dots.

    A line end ends a sentence only before a blank line, a list item, a heading or a row of a table, and after a heading
    (a line that begins with # or is underlined, or one in capitals before another kind of line) or such a row.
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
    """A heading in one line, without Markdown's marks."""
    return " ".join(_HEADING_MARKS.sub("", text).split())


def _ends_sentence(text: str, begin: int, match: re.Match[str]) -> bool:
    """Whether a stop or line end ends the sentence that begins at ``begin``."""
    after = match.end()
    if (newline := text.find("\n", match.start(), after)) >= 0 and _line_ends_sentence(text, begin, newline, after):
        return True
    if match["stop"] is None:
        return text[match.start()] != "\n" and not _goes_on_after_wide(text, match)
    stop = match.start() + len(match["stop"])
    if _is_leader(text, match.start(), match["stop"], after):
        return False
    follows = after
    while follows < after + 3 and text[follows : follows + 1] in _OPENERS and text[follows : follows + 1]:
        follows += 1
    head = text[max(begin, stop - _BACK) : stop]
    mark = match["mark"]
    if mark and mark[0].isdigit() and not _is_reference(head):
        return False
    if _begins_small(text, follows) and not (_begins_small(text, begin) and not _is_abbreviated(head, text, follows)):
        return False
    return match["stop"] != "." or mark is not None or not _is_abbreviated(head, text, follows)


def _is_leader(text: str, start: int, stop: str, after: int) -> bool:
    """Whether the stop is part of a row of dots, as in tables of contents."""
    return (
        stop.count(".") > 3
        or stop.count("…") > 1
        or (stop == "." and (text[after : after + 2] in (". ", ".\n") or text[max(0, start - 4) : start] == ". . "))
    )


def _is_reference(head: str) -> bool:
    """Whether a plain number after the stop at the end of ``head`` is a reference, not a decimal or "No.3"."""
    before = head[-2:-1]
    if before.isdigit():
        return re.search(r"\b(?:19|20)\d\d\.$", head) is not None
    return not _BEFORE_NUMBER.search(head) and not re.search(r"\b\w\.$", head)


def _begins_small(text: str, at: int) -> bool:
    """Whether there is a lower-case letter, not of a word that begins sentences in lower case."""
    return text[at : at + 1].islower() and not _SMALL_FIRST.match(text, at)


def _is_abbreviated(head: str, text: str, follows: int) -> bool:
    """Whether the full stop at the end of ``head`` ends no sentence, by the text before and after it."""
    if _NEVER_ENDS.search(head) or _ITEM_NUMBER.search(head):
        return True
    if head[-2:-1].isdigit():
        named = text[follows : follows + 1].isalpha() and not _STARTER.match(text, follows)
        return _COUNTED.match(text, follows) is not None or (named and _GERMAN.search(head) is not None)
    if _NUMBER.match(text, follows) and _BEFORE_NUMBER.search(head):
        return not _QUANTITY.search(head)
    if re.search(r"\b[a-z]\.$", head) and re.match(r"[A-Za-z]\.", text[follows : follows + 2]):  # "i. d. R."
        return True
    starter = _STARTER.match(text, follows) is not None
    if _BEFORE_NAME.search(head):
        return not starter and not _DOSE.search(head)
    initial = _INITIAL.search(head)
    if initial is None or starter or _LETTERED.search(initial[1]):
        return False
    return _BEFORE_INITIAL.match(initial[1]) is not None


def _goes_on_after_wide(text: str, match: re.Match[str]) -> bool:
    """Whether a stop of another script ends no sentence: in a number, or in a quotation before a verb."""
    start, after = match.span()
    if text[start] == "．" and text[max(0, start - 1) : start].isdigit() and text[after : after + 1].isdigit():
        return True
    return text[after - 1] in "」』" and "\u3040" <= text[after : after + 1] <= "\u309f"


def _line_ends_sentence(text: str, begin: int, newline: int, after: int) -> bool:
    if text.startswith("#", begin) or _UNDERLINE.search(text[max(begin, newline - _LINE) : newline]):
        return True
    if _is_item(text, begin, newline, after) or _in_capitals(text, newline) != _in_capitals(text, after):
        return True
    above, below = _line(text, newline), _line(text, after)
    if _LEADER.search(above):
        return True
    if _is_row(above) or _is_row(below):
        return not _TABLE_RULE.match(below)
    return False


def _is_item(text: str, begin: int, newline: int, after: int) -> bool:
    """Whether a list item begins at ``after``, on a new line; a number may also begin a wrapped line."""
    before = text[max(begin, newline - 40) : newline].rstrip()[-1:]
    if _BULLET.match(text, after):
        return not (before.isdigit() and re.match(r"[–—-]\s\d", text[after : after + 3]))
    item = _NUMBERED.match(text, after)
    if item is None:
        return False
    if before in (".", ":", ";", "!", "?") or item["name"] is None or _NUMBERED.match(text, begin):
        return True
    if item["name"] == "1" or (item["name"] in "aiAI" and item["close"] == ")"):
        return True
    earlier = str(int(item["name"]) - 1) if item["name"].isdigit() else ""
    return bool(earlier) and re.search(rf"^\s*\(?{earlier}[.)]\s", text[max(0, after - 1000) : after], re.M) is not None


def _line(text: str, place: int) -> str:
    """The line at ``place``, at most ``_LINE`` characters to each side."""
    start = text.rfind("\n", max(0, place - _LINE), place) + 1 or max(0, place - _LINE)
    end = text.find("\n", place, place + _LINE)
    return text[start : end if end >= 0 else place + _LINE]


def _is_row(line: str) -> bool:
    """Whether a line is a row of a table: with bars, or with a tab between two cells."""
    cells = line.strip()
    return cells.startswith("|") or ("\t" in cells and not _BULLET.match(cells) and not _NUMBERED.match(cells))


def _in_capitals(text: str, place: int) -> bool:
    """Whether the line at ``place`` is in capitals, as headings in plain text are, and not a row of a table."""
    line = _line(text, place)
    if line.rstrip().endswith((".", ",")) or "|" in line or "\t" in line:
        return False
    return line.isupper() and sum(map(str.isalpha, line)) >= 4


def _trim(text: str, start: int, end: int) -> Span:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), start + len(part.rstrip())
