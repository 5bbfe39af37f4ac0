"""The analyser of words: what search, quotation, evidence and follow-ups compare.

A text's words are compared as terms: Unicode's NFKC, lower case, without accents and invisible characters, cut to
their stems by Snowball's English stemmer. English stop words are no terms. The text itself stays as it is: a term
comes with its place in the text.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import regex

if TYPE_CHECKING:
    from Stemmer import Stemmer

EDITION = 1
"""Counts up whenever other terms are made of the same text: an index of another edition is built anew."""

_APOSTROPHES = "'’‘‛`´′ʹʻʼʽ＇ꞌ"
_UNITS = "\u3371-\u33df"  # ㎎ and its like
_INSIDE = rf"[\p{{L}}\p{{N}}\p{{M}}\p{{Cf}}{_UNITS}]"
_WORD = regex.compile(
    rf"[\p{{L}}\p{{N}}{_UNITS}]{_INSIDE}*+"
    rf"(?:(?:(?<=\p{{L}}\p{{M}}*)[{_APOSTROPHES}](?=\p{{L}})"  # Crohn's
    r"|(?<=\d)(?:\.(?=\d)|,(?=\d{3}(?!\d)))"  # 0.05 and 20,000
    rf"|(?:[-‐][^\S\r\n]*|(?<=\u00ad))\r?\n[^\S\r\n]*(?=\p{{L}})){_INSIDE}++)*+"  # a broken line
)
_RARE = regex.compile(rf"[\p{{M}}\p{{Cf}}{_UNITS}]")
_COMMON = re.compile(  # the same words where a text has no such character, in a quarter of the time
    rf"[^\W_]++(?:(?:(?<=[^\W\d_])[{_APOSTROPHES}](?=[^\W\d_])|(?<=\d)(?:\.(?=\d)|,(?=\d{{3}}(?!\d)))"
    r"|[-‐][^\S\r\n]*\r?\n[^\S\r\n]*(?=[^\W\d_]))[^\W_]++)*+"
)
_BROKEN = regex.compile(r"[-‐][^\S\r\n]*\r?\n[^\S\r\n]*")
_UNSPACED = (
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}ー々ｰ\uff9e\uff9f]"
    r"[\p{M}\p{Cf}]*"
)
_PIECE = regex.compile(rf"(?P<unspaced>(?:{_UNSPACED})+)|(?:(?!{_UNSPACED}).)+", regex.DOTALL)
_CLUSTER = regex.compile(r"\X")
_INVISIBLE = regex.compile(r"[\p{Cf}\s]")
_RAISED = regex.compile(r"(?<=\d|\p{L}{3})[⁰¹²³⁴-⁹]+")  # a power of ten, or a reference behind a word
_NUMBER_SIGN = regex.compile(rf"[\p{{No}}{_UNITS}--[⁰¹²³⁴-⁹₀-₉]]", regex.VERSION1)  # ½, ①, ㎎
_GREEK = regex.compile(r"(?<![α-ω])[α-λν-ω](?![α-ω])")  # μ mostly is a unit's
_APOSTROPHE = str.maketrans(dict.fromkeys(_APOSTROPHES, "'"))
_UNDECOMPOSED = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe"})  # letters that NFKD leaves whole
_ENDINGS = frozenset("s t re ve ll d m".split())  # noqa: SIM905
_ELISIONS = frozenset("l d j m n s t c qu".split())  # noqa: SIM905
_OPERATORS = frozenset(("and", "not"))
# What a letter is the name of: "vitamin a", "factor I".
_LETTERED = frozenset(
    """
    vitamin vitamins hepatitis influenza haemophilia hemophilia type types class grade stage phase factor group category
    level angiotensin troponin collagen complex topoisomerase bipolar schedule subtype
    """.split()  # noqa: SIM905
)
_LAST_WORD = regex.compile(r"([\p{L}\p{M}]+)[ -]\Z")
_NEXT_WORD = regex.compile(r"\P{L}*(\p{L}+)")
_BEFORE = regex.compile(r"(\p{L}+)\P{L}*\Z")
_CACHED = 1 << 17
_NEAR = 40  # characters on either side of a word that say how it is used


class Word(NamedTuple):
    """A term and its place: ``text[start:end]`` are the document's own characters."""

    start: int
    end: int
    term: str


def terms(text: str) -> list[str]:
    """The terms of a text in its order, each as often as it stands there.

    Single letters and digits count: vitamin D, grade 3. A stop word in capitals among words in small letters is a name
    (ALL, WHO), and "A" within a sentence is one too. Chinese, Japanese, Korean, Thai, Lao, Khmer and Burmese text is
    cut into overlapping pairs of characters.
    """
    found: list[str] = []
    for match in _matches(text):
        known, _, doubtful = _KNOWN[match[0]]
        if not doubtful or _is_name(text, *match.span()):
            found += known
    return found


def spans(text: str) -> list[Word]:
    """The terms of a text with their places; see ``terms``."""
    found: list[Word] = []
    for match in _matches(text):
        known, places, doubtful = _KNOWN[match[0]]
        if not doubtful or _is_name(text, *match.span()):
            begin = match.start()
            for term, (start, end) in zip(known, places, strict=True):
                found.append(Word(begin + start, begin + end, term))
    return found


def stem(word: str) -> str:
    """The stem of an English word in small letters."""
    stemmed: str = _stemmer().stemWord(word)
    return stemmed


_Analysed = tuple[tuple[str, ...], tuple[tuple[int, int], ...], bool]
"""The terms of a run of characters, their places in it, and whether ``_is_name`` decides if they count."""


class _Cache(dict[str, _Analysed]):
    """Runs of characters that were met before; emptied when it is full."""

    def __missing__(self, raw: str) -> _Analysed:
        if len(self) >= _CACHED:
            self.clear()
        self[raw] = found = _analysed(raw)
        return found


_KNOWN = _Cache()


def _matches(text: str) -> "Iterable[re.Match[str] | regex.Match[str]]":
    return _COMMON.finditer(text) if text.isascii() or not _RARE.search(text) else _WORD.finditer(text)


def _analysed(raw: str) -> _Analysed:
    if not (raw.isascii() and raw.isalnum()):
        return _taken_apart(raw)
    low = raw.lower()
    if low not in _stop_words():
        return (stem(low),), ((0, len(raw)),), False
    if len(low) > 1 and (not raw.isupper() or low in _OPERATORS):
        return (), (), False
    return (low,), ((0, len(raw)),), True


def _taken_apart(raw: str) -> _Analysed:
    found: list[tuple[str, tuple[int, int]]] = []
    name = _shown(raw).partition("'")[0]
    capitals = name.isupper() and len(name) > 1
    doubtful = False
    for piece in _PIECE.finditer(raw):
        start, end = piece.span()
        if piece["unspaced"]:
            found += [(term, (start + first, start + last)) for term, (first, last) in _pairs(piece[0])]
            continue
        for word in filter(None, _spaced(piece[0])):
            if word not in _stop_words():
                found.append((stem(word), (start, end)))
            elif capitals and word not in _OPERATORS:
                found.append((word, (start, end)))
                doubtful = True
    return tuple(term for term, _ in found), tuple(place for _, place in found), doubtful and len(found) == 1


def _pairs(run: str) -> list[tuple[str, tuple[int, int]]]:
    """Overlapping pairs of characters; a single character is a term itself."""
    clusters = [(_folded(_shown(match[0])), match.span()) for match in _CLUSTER.finditer(run)]
    clusters = [one for one in clusters if one[0]]
    if len(clusters) == 1:
        return clusters
    return [(one + other, (start, end)) for (one, (start, _)), (other, (_, end)) in pairwise(clusters)]


def _spaced(run: str) -> list[str]:
    """The folded words of a run of letters and digits, stop words among them."""
    broken = _BROKEN.split(run)
    if len(broken) > 1:  # the hyphen may be the word's own: its parts are words beside the whole
        return [word for part in ("".join(broken), *broken) for word in _spaced(part)]
    run = _NUMBER_SIGN.sub(lambda sign: f" {sign[0]} ", _RAISED.sub(lambda raised: f" {raised[0]} ", _shown(run)))
    folded = _GREEK.sub(_greek_name, _folded(run)).replace("\u2044", " ").replace(",", "")
    return [_without_ending(word) for word in folded.split()]


def _without_ending(word: str) -> str:
    """The word without a possessive, a contracted verb or an elided article; ``not`` of don't and its like."""
    parts = word.split("'")
    if len(parts) > 1 and parts[-1] in _ENDINGS:
        if parts.pop() == "t":
            return "not"
    elif len(parts) > 1 and parts[0] in _ELISIONS:
        parts.pop(0)
    return "".join(parts)


def _shown(run: str) -> str:
    """The run without its invisible characters, each apostrophe in its plainest form."""
    shown: str = _INVISIBLE.sub("", run)
    return shown.translate(_APOSTROPHE)


def _folded(text: str) -> str:
    """NFKC in small letters, without accents, points and the signs of short vowels; digits are ASCII's."""
    letters = [one for one in unicodedata.normalize("NFKD", text).casefold() if not _is_accent(one)]
    plain = "".join(str(unicodedata.decimal(one, one)) for one in letters)
    return unicodedata.normalize("NFKC", plain).translate(_UNDECOMPOSED)


def _is_accent(character: str) -> bool:
    """Whether it is a mark of Latin, Greek, Cyrillic, Hebrew or Arabic, which readers may leave out."""
    place = unicodedata.combining(character)
    return 10 <= place <= 35 or 200 <= place <= 240


def _greek_name(letter: "regex.Match[str]") -> str:
    name = unicodedata.name(letter[0]).rpartition(" ")[2].lower()
    return f" {'lambda' if name == 'lamda' else name} "


def _is_name(text: str, start: int, end: int) -> bool:
    """Whether a stop word, or the letters A and I, stand for a name: ALL, WHO, hepatitis A, type I."""
    word = text[start:end]
    before = text[max(0, start - _NEAR) : start].rpartition("\n")[2]
    after = text[end : end + _NEAR].partition("\n")[0]
    if len(word) > 1:
        near = [match[1] for match in (_BEFORE.search(before), _NEXT_WORD.match(after)) if match]
        if word.casefold() == "or" and len(near) == 2 and not any(one.casefold() in _stop_words() for one in near):
            return False  # aspirin OR warfarin
        return not near or any(not one.isupper() for one in near)
    last = _LAST_WORD.search(before)
    if last is None:
        return False
    if last[1].casefold() in _LETTERED:
        return True
    if word == "a":
        return not after.strip() or after.lstrip()[0] in "?.,;:)"
    return word == "A" and not last[1].isupper()


@cache
def _stop_words() -> frozenset[str]:
    from bm25s.stopwords import STOPWORDS_EN_PLUS

    return frozenset(word for word in STOPWORDS_EN_PLUS if len(word) > 1 or word in "ai")


@cache
def _stemmer() -> "Stemmer":
    from Stemmer import Stemmer

    return Stemmer("english", 0)  # no cache: its own is slow once it is full, and ours holds what it would
