"""Text analyser: the terms that search, quotation, evidence and follow-ups compare.

A term is a word in Unicode's NFKC and in lower case, without accents and invisible characters, stemmed by Snowball's
English stemmer. English stop words are omitted.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from runpy import run_path
from typing import TYPE_CHECKING

import regex

if TYPE_CHECKING:
    from Stemmer import Stemmer

EDITION = 2
"""Increase it when the terms of a text change; indexes of another edition are rebuilt."""

_APOSTROPHES = "'’‘‛`´′ʹʻʼʽ＇ꞌ"
_HYPHENS = r"\-‐‑‒–−"
# Prefixes that are written with or without a hyphen.
_PREFIXES = "anti co hyper hypo inter intra micro multi non peri post pre sub x".split()  # noqa: SIM905
_UNITS = "\u3371-\u33df"  # unit signs such as ㎎
_LINE_END = r"[^\S\r\n]*\r?\n[^\S\r\n]*"


def _run(first: str, inside: str, letter: str, after_letter: str) -> str:
    """The pattern of a run: letters and digits, with the characters that join them within a word."""
    before = "|".join(rf"(?<=\b[{one[0]}{one[0].upper()}]{one[1:]})" for one in _PREFIXES)
    joints = (
        rf"{after_letter}[{_APOSTROPHES}](?={letter})",  # Crohn's
        r"(?<=\d)(?:\.(?=\d)|,(?=\d{3}(?!\d)))",  # 0.05 and 20,000
        rf"(?:[-‐][^\S\r\n]*|(?<=\u00ad))\r?\n[^\S\r\n]*(?={letter})",  # a broken line
        rf"{after_letter}[{_HYPHENS}](?:{_LINE_END})?(?=(?:[^\W_]{{1,5}}[{_HYPHENS}])?[^\W_]{{0,4}}\d)",  # IL-6
        rf"(?<=\d)[{_HYPHENS}](?=[A-Z]{{1,3}}(?![^\W_]))",  # 5-HT
        rf"(?:{before})[{_HYPHENS}](?={letter})",  # pre-eclampsia
        rf"{after_letter}[{_HYPHENS}](?=(?:up|off|out)\b)",  # follow-up
    )
    return rf"({first}{inside}*+(?:(?=[{_APOSTROPHES}{_HYPHENS}.,\r\n])(?:{'|'.join(joints)}){inside}++)*+)"


_RARE = regex.compile(rf"[\p{{M}}\p{{Cf}}{_UNITS}]")
_RARE_RUN = regex.compile(
    _run(
        rf"[\p{{L}}\p{{N}}{_UNITS}]", rf"[\p{{L}}\p{{N}}\p{{M}}\p{{Cf}}{_UNITS}]", r"\p{L}", r"(?<=\p{L}[\p{M}\p{Cf}]*)"
    )
)
# Faster patterns for texts without such characters, and for ASCII.
_RUN = re.compile(_run(r"[^\W_]", r"[^\W_]", r"[^\W\d_]", r"(?<=[^\W\d_])"))
_ASCII_RUN = re.compile(_run("[A-Za-z0-9]", "[A-Za-z0-9]", "[A-Za-z]", "(?<=[A-Za-z])"), re.ASCII)
_BROKEN = regex.compile(rf"[-‐]{_LINE_END}")
_HYPHEN = re.compile(rf"[{_HYPHENS}](?:{_LINE_END}(?=\d))?(?!\s)")
_LETTERS = re.compile("[A-Z]{1,5}|[A-Z][a-z][A-Z]{1,3}|[a-z]{1,2}")  # first half of an identifier: IL 6, CoV 2
_CAPITAL = re.compile("[A-Z][a-z]{1,3}")  # first half if the second begins with a letter: Hb A1c
_MOST_LETTERS = 5  # maximum length of either
_NUMBER = re.compile(r"[A-Za-z]?\d{1,3}(?:[A-Za-z]\d{0,2})?")
_LONGEST_IDENTIFIER = 12  # letters and digits
_UNSPACED = (
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}ー々ｰ\uff9e\uff9f]"
    r"[\p{M}\p{Cf}]*"
)
_PIECE = regex.compile(rf"(?P<unspaced>(?:{_UNSPACED})+)|(?:(?!{_UNSPACED}).)+", regex.DOTALL)
_CLUSTER = regex.compile(r"\X")
_INVISIBLE = regex.compile(r"[\p{Cf}\s]")
_RAISED = regex.compile(r"(?<=\d|\p{L}{3})[⁰¹²³⁴-⁹]+")  # a power of ten, or a reference after a word
_NUMBER_SIGN = regex.compile(rf"[\p{{No}}{_UNITS}--[⁰¹²³⁴-⁹₀-₉]]", regex.VERSION1)  # ½, ①, ㎎
_GREEK = regex.compile(r"(?<![α-ω])[α-λν-ω](?![α-ω])")  # without μ, which is mostly part of a unit
_APOSTROPHE = str.maketrans(dict.fromkeys(_APOSTROPHES, "'"))
_UNDECOMPOSED = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe"})  # letters that NFKD keeps
_ENDINGS = frozenset("s t re ve ll d m".split())  # noqa: SIM905
_ELISIONS = frozenset("l d j m n s t c qu".split())  # noqa: SIM905
_OPERATORS = frozenset(("and", "not"))
# Words before a letter that is a name: "vitamin a", "factor I".
_LETTERED = frozenset(
    """
    vitamin vitamins hepatitis influenza haemophilia hemophilia type types class grade stage phase factor group category
    level angiotensin troponin collagen complex topoisomerase bipolar schedule subtype
    """.split()  # noqa: SIM905
)
_CACHED = 1 << 17


def terms(text: str) -> list[str]:
    """The terms of a text in order, with repetitions.

    Single letters and digits are terms: vitamin D, grade 3. A stop word in capitals among words in lower case is a name
    (ALL, WHO), as is "A" within a sentence. An identifier of letters and digits with a hyphen or a space (IL-6, Hb A1c)
    gives a term without it (il6, hba1c) in addition to its parts, and so does a word with a prefix and a hyphen
    (pre-eclampsia). Chinese, Japanese, Korean, Thai, Lao, Khmer and Burmese text is split into overlapping pairs of
    characters.
    """
    pattern = _ASCII_RUN if text.isascii() else _RARE_RUN if _RARE.search(text) else _RUN
    pieces: list[str] = pattern.split(text)  # text between runs and runs, alternating
    found: list[str | tuple[str, ...]] = list(map(_KNOWN.__getitem__, pieces[1::2]))
    others = [number for number, known in enumerate(found) if type(known) is not str]
    for number in reversed(others):
        known = found[number]
        place = 2 * number + 1
        if type(known) is _Doubtful:
            found[number] = known[0] if _is_name(pieces, place) else ""
        elif type(known) is not _Number:
            found[number : number + 1] = known
        elif pieces[place - 1] == " " and number:
            found[number : number + 1] = *_with_letters(pieces, place), *known
        else:
            found[number] = known[0]
    return list(filter(None, found))  # type: ignore[arg-type]


def stem(word: str) -> str:
    """The stem of an English word in lower case."""
    stemmed: str = _stemmer().stemWord(word)
    return stemmed


class _Doubtful(tuple[str, ...]):
    """The term of a stop word in capitals, or of a letter; ``_is_name`` decides whether to keep it."""

    __slots__ = ()


class _Number(tuple[str, ...]):
    """The term of a run that may be the second half of an identifier with a space."""

    __slots__ = ()


class _Cache(dict[str, str | tuple[str, ...]]):
    """The terms of known runs, emptied when full.

    A run with at most one term, as most have, maps to a string, which is cheaper than a tuple; it may be empty.
    """

    def __missing__(self, run: str) -> str | tuple[str, ...]:
        if len(self) >= _CACHED:
            self.clear()
        if run.isascii() and run.isalpha() and (low := run.lower()) not in _stop_words():
            self[run] = word = stem(low)
            return word
        terms = _analysed(run)
        is_plain = type(terms) is tuple and len(terms) < 2
        self[run] = known = (terms[0] if terms else "") if is_plain else terms
        return known


_KNOWN = _Cache()


def _analysed(run: str) -> tuple[str, ...]:
    if not (run.isascii() and run.isalnum()):
        if run.isascii() and run.replace(".", "").replace(",", "").isalnum():  # 0.05
            return (stem(run.lower().replace(",", "")),)
        parts = _HYPHEN.split(run)
        return _taken_apart(run) if len(parts) == 1 else _hyphenated(parts)
    low = run.lower()
    if low not in _stop_words():
        return _Number((stem(low),)) if not run.isalpha() and _NUMBER.fullmatch(run) else (stem(low),)
    if len(low) > 1 and (not run.isupper() or low in _OPERATORS):
        return ()
    return _Doubtful((low,))


def _hyphenated(parts: Sequence[str]) -> tuple[str, ...]:
    """The terms of a hyphenated word or identifier, as one word and in parts."""
    known = [(part, _analysed(part)) for part in parts]
    found = [term for part, own in known if type(own) is not _Doubtful or part.isupper() for term in own]
    whole = "".join(parts)
    is_one = whole.isalpha() or (
        len(whole) <= _LONGEST_IDENTIFIER
        and any(map(str.isalpha, whole))
        and not any(part.islower() and part in _stop_words() for part in parts)
    )
    return (*(term for term in _analysed(whole) if term not in found), *found) if is_one else tuple(found)


def _with_letters(pieces: Sequence[str], place: int) -> tuple[str, ...]:
    """The term of an identifier with a space whose second half is at ``place``; empty if there is none."""
    letters, number = pieces[place - 2], pieces[place]
    if len(letters) > _MOST_LETTERS or letters.lower() in _stop_words() or pieces[place + 1].startswith("%"):
        return ()
    is_identifier = _LETTERS.fullmatch(letters) or (number[0].isalpha() and _CAPITAL.fullmatch(letters))
    known = _KNOWN[letters + number] if is_identifier else ()
    return (known,) if isinstance(known, str) else known


def _taken_apart(run: str) -> tuple[str, ...]:
    found: list[str] = []
    name = _shown(run).partition("'")[0]
    capitals = name.isupper() and len(name) > 1
    doubtful = False
    for piece in _PIECE.finditer(run):
        if piece["unspaced"]:
            found += _pairs(piece[0])
            continue
        for word in filter(None, _spaced(piece[0])):
            if word not in _stop_words():
                found.append(stem(word))
            elif capitals and word not in _OPERATORS:
                found.append(word)
                doubtful = True
    return _Doubtful(found) if doubtful and len(found) == 1 else tuple(found)


def _pairs(run: str) -> list[str]:
    """Overlapping pairs of characters; a single character is a term."""
    clusters = [folded for match in _CLUSTER.finditer(run) if (folded := _folded(_shown(match[0])))]
    return clusters if len(clusters) == 1 else [one + other for one, other in pairwise(clusters)]


def _spaced(run: str) -> list[str]:
    """The folded words of a run of letters and digits, including stop words."""
    broken = _BROKEN.split(run)
    if len(broken) > 1:  # the hyphen may belong to the word, so its parts are words too
        return [word for part in ("".join(broken), *broken) for word in _spaced(part)]
    run = _NUMBER_SIGN.sub(lambda sign: f" {sign[0]} ", _RAISED.sub(lambda raised: f" {raised[0]} ", _shown(run)))
    folded = _GREEK.sub(_greek_name, _folded(run)).replace("\u2044", " ").replace(",", "")
    return [_without_ending(word) for word in folded.split()]


def _without_ending(word: str) -> str:
    """The word without a possessive, contracted verb or elided article; ``not`` for contractions such as don't."""
    parts = word.split("'")
    if len(parts) > 1 and parts[-1] in _ENDINGS:
        if parts.pop() == "t":
            return "not"
    elif len(parts) > 1 and parts[0] in _ELISIONS:
        parts.pop(0)
    return "".join(parts)


def _shown(run: str) -> str:
    """The run without invisible characters, with ASCII apostrophes."""
    shown: str = _INVISIBLE.sub("", run)
    return shown.translate(_APOSTROPHE)


def _folded(text: str) -> str:
    """The text in NFKC and lower case, with ASCII digits and without accents, points and vowel signs."""
    letters = [one for one in unicodedata.normalize("NFKD", text).casefold() if not _is_accent(one)]
    plain = "".join(str(unicodedata.decimal(one, one)) for one in letters)
    return unicodedata.normalize("NFKC", plain).translate(_UNDECOMPOSED)


def _is_accent(character: str) -> bool:
    """Whether it is an optional mark of Latin, Greek, Cyrillic, Hebrew or Arabic."""
    place = unicodedata.combining(character)
    return 10 <= place <= 35 or 200 <= place <= 240


def _greek_name(letter: "regex.Match[str]") -> str:
    name = unicodedata.name(letter[0]).rpartition(" ")[2].lower()
    return f" {'lambda' if name == 'lamda' else name} "


def _is_name(pieces: Sequence[str], place: int) -> bool:
    """Whether a stop word, or the letter A or I, is a name: ALL, WHO, hepatitis A, type I."""
    word = pieces[place]
    if len(word) > 1:
        near = [one for step in (-2, 2) if (one := _neighbour(pieces, place, step))]
        if word.casefold() == "or" and len(near) == 2 and not any(one.casefold() in _stop_words() for one in near):
            return False  # aspirin OR warfarin
        return not near or any(not one.isupper() for one in near)
    if place == 1 or pieces[place - 1] not in (" ", "-") or pieces[place - 2][-1].isdigit():
        return False
    last, after = pieces[place - 2], pieces[place + 1]
    if last.casefold() in _LETTERED:
        return True
    if word == "a":
        line = after.partition("\n")[0].lstrip()
        return line[0] in "?.,;:)" if line else "\n" in after or place + 2 == len(pieces)
    return word == "A" and not last.isupper()


def _neighbour(pieces: Sequence[str], place: int, step: int) -> str | None:
    """The nearest run with a letter on the same line, before (-2) or after (2)."""
    between, other = place + step // 2, place + step
    while 0 < other < len(pieces) and "\n" not in pieces[between]:
        if any(map(str.isalpha, pieces[other])):
            return pieces[other]
        between, other = between + step, other + step
    return None


@cache
def _stop_words() -> frozenset[str]:
    # The module without its package, which imports SciPy for a quarter of a second.
    package = find_spec("bm25s")
    assert package is not None
    file = Path(str(package.origin)).with_name("stopwords.py")
    words = run_path(str(file))["STOPWORDS_EN_PLUS"]
    return frozenset(word for word in words if len(word) > 1 or word in "ai")


@cache
def _stemmer() -> "Stemmer":
    from Stemmer import Stemmer

    return Stemmer("english", 0)  # no cache: PyStemmer's is slow once full, and _KNOWN replaces it
