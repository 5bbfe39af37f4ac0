"""Text analyser: splits a text into tokens, and tokens into the terms that search, quotation and follow-ups compare.

A token is a string of letters and digits, with hyphens, apostrophes and points inside words and numbers. A term is a
word of a token in Unicode's NFKC and in lower case, without accents and invisible characters, stemmed by Snowball's
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

# Version of the terms: increase it when the terms of a text change; indexes with another version are rebuilt.
TERMS_VERSION = 2

_APOSTROPHES = "'’‘‛`´′ʹʻʼʽ＇ꞌ"
_HYPHENS = r"\-‐‑‒–−"
# Prefixes that are written with or without a hyphen.
_PREFIXES = "anti co hyper hypo inter intra micro multi non peri post pre sub x".split()  # noqa: SIM905
_UNIT_SIGNS = "\u3371-\u33df"  # unit signs such as ㎎
_LINE_END = r"[^\S\r\n]*\r?\n[^\S\r\n]*"


def _token_pattern(first: str, inside: str, letter: str, after_letter: str) -> str:
    """The pattern of a token: letters and digits, with the characters that join them within a word.

    The arguments are patterns: of a token's first character, of its other characters, of a letter, and of a lookbehind
    for a letter.
    """
    prefix = "|".join(rf"(?<=\b[{text[0]}{text[0].upper()}]{text[1:]})" for text in _PREFIXES)
    joints = (
        rf"{after_letter}[{_APOSTROPHES}](?={letter})",  # Crohn's
        r"(?<=\d)(?:\.(?=\d)|,(?=\d{3}(?!\d)))",  # 0.05 and 20,000
        rf"(?:[-‐][^\S\r\n]*|(?<=\u00ad))\r?\n[^\S\r\n]*(?={letter})",  # a word broken at a line end
        rf"{after_letter}[{_HYPHENS}](?:{_LINE_END})?(?=(?:[^\W_]{{1,5}}[{_HYPHENS}])?[^\W_]{{0,4}}\d)",  # IL-6
        rf"(?<=\d)[{_HYPHENS}](?=[A-Z]{{1,3}}(?![^\W_]))",  # 5-HT
        rf"(?:{prefix})[{_HYPHENS}](?={letter})",  # pre-eclampsia
        rf"{after_letter}[{_HYPHENS}](?=(?:up|off|out)\b)",  # follow-up
    )
    return rf"({first}{inside}*+(?:(?=[{_APOSTROPHES}{_HYPHENS}.,\r\n])(?:{'|'.join(joints)}){inside}++)*+)"


_MARKS_AND_UNITS = regex.compile(rf"[\p{{M}}\p{{Cf}}{_UNIT_SIGNS}]")
_UNICODE_TOKEN = regex.compile(
    _token_pattern(
        rf"[\p{{L}}\p{{N}}{_UNIT_SIGNS}]",
        rf"[\p{{L}}\p{{N}}\p{{M}}\p{{Cf}}{_UNIT_SIGNS}]",
        r"\p{L}",
        r"(?<=\p{L}[\p{M}\p{Cf}]*)",
    )
)
# Faster patterns for texts without marks, invisible characters and unit signs, and for ASCII.
_TOKEN = re.compile(_token_pattern(r"[^\W_]", r"[^\W_]", r"[^\W\d_]", r"(?<=[^\W\d_])"))
_ASCII_TOKEN = re.compile(_token_pattern("[A-Za-z0-9]", "[A-Za-z0-9]", "[A-Za-z]", "(?<=[A-Za-z])"), re.ASCII)
_BROKEN_LINE = regex.compile(rf"[-‐]{_LINE_END}")
_HYPHEN = re.compile(rf"[{_HYPHENS}](?:{_LINE_END}(?=\d))?(?!\s)")
_IDENTIFIER_START = re.compile("[A-Z]{1,5}|[A-Z][a-z][A-Z]{1,3}|[a-z]{1,2}")  # first half of an identifier: IL 6, CoV 2
_CAPITALIZED_START = re.compile("[A-Z][a-z]{1,3}")  # first half if the second begins with a letter: Hb A1c
_MAX_START = 5  # letters of the first half of an identifier
_IDENTIFIER_END = re.compile(r"[A-Za-z]?\d{1,3}(?:[A-Za-z]\d{0,2})?")
_MAX_IDENTIFIER = 12  # letters and digits of a hyphenated identifier
_UNSPACED = (
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}ー々ｰ\uff9e\uff9f]"
    r"[\p{M}\p{Cf}]*"
)
_SCRIPT_PIECE = regex.compile(rf"(?P<unspaced>(?:{_UNSPACED})+)|(?:(?!{_UNSPACED}).)+", regex.DOTALL)
_CLUSTER = regex.compile(r"\X")
_INVISIBLE = regex.compile(r"[\p{Cf}\s]")
_SUPERSCRIPT = regex.compile(r"(?<=\d|\p{L}{3})[⁰¹²³⁴-⁹]+")  # an exponent, or a reference after a word
_NUMBER_SIGN = regex.compile(rf"[\p{{No}}{_UNIT_SIGNS}--[⁰¹²³⁴-⁹₀-₉]]", regex.VERSION1)  # ½, ①, ㎎
_GREEK = regex.compile(r"(?<![α-ω])[α-λν-ω](?![α-ω])")  # without μ, which is mostly part of a unit
_TO_ASCII_APOSTROPHE = str.maketrans(dict.fromkeys(_APOSTROPHES, "'"))
_UNDECOMPOSED = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe"})  # letters that NFKD keeps
_CONTRACTIONS = frozenset("s t re ve ll d m".split())  # noqa: SIM905
_ELISIONS = frozenset("l d j m n s t c qu".split())  # noqa: SIM905
_SEARCH_OPERATORS = frozenset(("and", "not"))
# Words after which a single letter is a name, not a stop word: "vitamin a", "factor I".
_BEFORE_LETTER_NAME = frozenset(
    """
    vitamin vitamins hepatitis influenza haemophilia hemophilia type types class grade stage phase factor group category
    level angiotensin troponin collagen complex topoisomerase bipolar schedule subtype
    """.split()  # noqa: SIM905
)
_CACHE_SIZE = 1 << 17  # tokens


def terms(text: str) -> list[str]:
    """The terms of a text in order, with repetitions.

    Single letters and digits are terms: vitamin D, grade 3. A stop word in capitals among words in lower case is a name
    (ALL, WHO), as is "A" within a sentence. An identifier of letters and digits with a hyphen or a space (IL-6, Hb A1c)
    gives its parts and a joined term (il6, hba1c), and so does a word with a prefix and a hyphen (pre-eclampsia).
    Chinese, Japanese, Korean, Thai, Lao, Khmer and Burmese text is split into overlapping pairs of characters.
    """
    pattern = _ASCII_TOKEN if text.isascii() else _UNICODE_TOKEN if _MARKS_AND_UNITS.search(text) else _TOKEN
    pieces: list[str] = pattern.split(text)  # even indices: text between tokens; odd indices: tokens
    found: list[str | tuple[str, ...]] = list(map(_TERMS_OF_TOKEN.__getitem__, pieces[1::2]))
    tuples = [index for index, token_terms in enumerate(found) if type(token_terms) is not str]
    for index in reversed(tuples):
        token_terms = found[index]
        place = 2 * index + 1  # of the token in ``pieces``
        if type(token_terms) is _PossibleStopWord:
            found[index] = token_terms[0] if _is_name(pieces, place) else ""
        elif type(token_terms) is not _PossibleIdentifierEnd:
            found[index : index + 1] = token_terms
        elif pieces[place - 1] == " " and index:
            found[index : index + 1] = *_spaced_identifier_terms(pieces, place), *token_terms
        else:
            found[index] = token_terms[0]
    return list(filter(None, found))  # type: ignore[arg-type]


def stem(word: str) -> str:
    """The stem of an English word in lower case."""
    stemmed: str = _stemmer().stemWord(word)
    return stemmed


class _PossibleStopWord(tuple[str, ...]):
    """The term of a stop word in capitals, or of a single letter; it counts only if ``_is_name`` is true of it."""

    __slots__ = ()


class _PossibleIdentifierEnd(tuple[str, ...]):
    """The term of a token that may be the second half of an identifier with a space, such as A1c in "Hb A1c"."""

    __slots__ = ()


class _TermCache(dict[str, str | tuple[str, ...]]):
    """The terms by token, emptied when full.

    A token with one term maps to a string, which is cheaper than a tuple; a token without terms to an empty string.
    """

    def __missing__(self, token: str) -> str | tuple[str, ...]:
        if len(self) >= _CACHE_SIZE:
            self.clear()
        if token.isascii() and token.isalpha() and (low := token.lower()) not in _stop_words():
            self[token] = word = stem(low)
            return word
        token_terms = _terms_of(token)
        is_plain = type(token_terms) is tuple and len(token_terms) < 2
        self[token] = result = (token_terms[0] if token_terms else "") if is_plain else token_terms
        return result


_TERMS_OF_TOKEN = _TermCache()


def _terms_of(token: str) -> tuple[str, ...]:
    if not (token.isascii() and token.isalnum()):
        if token.isascii() and token.replace(".", "").replace(",", "").isalnum():  # 0.05
            return (stem(token.lower().replace(",", "")),)
        parts = _HYPHEN.split(token)
        return _unhyphenated_terms(token) if len(parts) == 1 else _hyphenated_terms(parts)
    low = token.lower()
    if low not in _stop_words():
        is_identifier_end = not token.isalpha() and _IDENTIFIER_END.fullmatch(token)
        return _PossibleIdentifierEnd((stem(low),)) if is_identifier_end else (stem(low),)
    if len(low) > 1 and (not token.isupper() or low in _SEARCH_OPERATORS):
        return ()
    return _PossibleStopWord((low,))


def _hyphenated_terms(parts: Sequence[str]) -> tuple[str, ...]:
    """The terms of a hyphenated word or identifier, as one word and in parts."""
    found: list[str] = []
    for part in parts:
        part_terms = _terms_of(part)
        if type(part_terms) is not _PossibleStopWord or part.isupper():
            found += part_terms
    whole = "".join(parts)
    is_one_word = whole.isalpha() or (
        len(whole) <= _MAX_IDENTIFIER
        and any(map(str.isalpha, whole))
        and not any(part.islower() and part in _stop_words() for part in parts)
    )
    return (*(term for term in _terms_of(whole) if term not in found), *found) if is_one_word else tuple(found)


def _spaced_identifier_terms(pieces: Sequence[str], place: int) -> tuple[str, ...]:
    """The terms of the token before ``place`` and the token at ``place``, joined, if they are one identifier."""
    letters, number = pieces[place - 2], pieces[place]
    if len(letters) > _MAX_START or letters.lower() in _stop_words() or pieces[place + 1].startswith("%"):
        return ()
    is_identifier = _IDENTIFIER_START.fullmatch(letters) or (
        number[0].isalpha() and _CAPITALIZED_START.fullmatch(letters)
    )
    joined_terms = _TERMS_OF_TOKEN[letters + number] if is_identifier else ()
    return (joined_terms,) if isinstance(joined_terms, str) else joined_terms


def _unhyphenated_terms(token: str) -> tuple[str, ...]:
    """The terms of a token without hyphens, split where its script changes."""
    found: list[str] = []
    name = _without_invisible(token).partition("'")[0]
    is_in_capitals = name.isupper() and len(name) > 1
    has_stop_word = False
    for piece in _SCRIPT_PIECE.finditer(token):
        if piece["unspaced"]:
            found += _character_pairs(piece[0])
            continue
        for word in filter(None, _folded_words(piece[0])):
            if word not in _stop_words():
                found.append(stem(word))
            elif is_in_capitals and word not in _SEARCH_OPERATORS:
                found.append(word)
                has_stop_word = True
    return _PossibleStopWord(found) if has_stop_word and len(found) == 1 else tuple(found)


def _character_pairs(token: str) -> list[str]:
    """Overlapping pairs of characters; a single character is a term."""
    clusters = [folded for match in _CLUSTER.finditer(token) if (folded := _folded(_without_invisible(match[0])))]
    return clusters if len(clusters) == 1 else [first + second for first, second in pairwise(clusters)]


def _folded_words(token: str) -> list[str]:
    """The words of a token, folded and without contractions, including stop words."""
    halves = _BROKEN_LINE.split(token)
    if len(halves) > 1:  # the hyphen may belong to the word, so the halves are words too
        return [word for part in ("".join(halves), *halves) for word in _folded_words(part)]
    token = _SUPERSCRIPT.sub(r" \g<0> ", _without_invisible(token))
    token = _NUMBER_SIGN.sub(r" \g<0> ", token)
    folded = _GREEK.sub(_greek_name, _folded(token)).replace("\u2044", " ").replace(",", "")
    return [_without_ending(word) for word in folded.split()]


def _without_ending(word: str) -> str:
    """The word without a possessive, contracted verb or elided article; ``not`` for contractions such as don't."""
    parts = word.split("'")
    if len(parts) > 1 and parts[-1] in _CONTRACTIONS:
        if parts.pop() == "t":
            return "not"
    elif len(parts) > 1 and parts[0] in _ELISIONS:
        parts.pop(0)
    return "".join(parts)


def _without_invisible(token: str) -> str:
    """The token without invisible characters, with ASCII apostrophes."""
    visible: str = _INVISIBLE.sub("", token)
    return visible.translate(_TO_ASCII_APOSTROPHE)


def _folded(text: str) -> str:
    """The text in NFKC and lower case, with ASCII digits and without accents, points and vowel signs."""
    characters = [char for char in unicodedata.normalize("NFKD", text).casefold() if not _is_accent(char)]
    plain = "".join(str(unicodedata.decimal(char, char)) for char in characters)
    return unicodedata.normalize("NFKC", plain).translate(_UNDECOMPOSED)


def _is_accent(character: str) -> bool:
    """Whether a character is an optional mark of Latin, Greek, Cyrillic, Hebrew or Arabic."""
    combining_class = unicodedata.combining(character)
    return 10 <= combining_class <= 35 or 200 <= combining_class <= 240


def _greek_name(letter: "regex.Match[str]") -> str:
    name = unicodedata.name(letter[0]).rpartition(" ")[2].lower()
    return f" {'lambda' if name == 'lamda' else name} "


def _is_name(pieces: Sequence[str], place: int) -> bool:
    """Whether a stop word, or the letter A or I, is a name: ALL, WHO, hepatitis A, type I."""
    word = pieces[place]
    if len(word) > 1:
        neighbours = [token for step in (-2, 2) if (token := _neighbour(pieces, place, step))]
        has_content = not any(token.casefold() in _stop_words() for token in neighbours)
        if word.casefold() == "or" and len(neighbours) == 2 and has_content:
            return False  # aspirin OR warfarin
        return not neighbours or any(not token.isupper() for token in neighbours)
    if place == 1 or pieces[place - 1] not in (" ", "-") or pieces[place - 2][-1].isdigit():
        return False
    previous, after = pieces[place - 2], pieces[place + 1]
    if previous.casefold() in _BEFORE_LETTER_NAME:
        return True
    if word == "a":
        line = after.partition("\n")[0].lstrip()
        return line[0] in "?.,;:)" if line else "\n" in after or place + 2 == len(pieces)
    return word == "A" and not previous.isupper()


def _neighbour(pieces: Sequence[str], place: int, step: int) -> str | None:
    """The nearest token with a letter on the same line, before (-2) or after (2)."""
    between, other = place + step // 2, place + step
    while 0 < other < len(pieces) and "\n" not in pieces[between]:
        if any(map(str.isalpha, pieces[other])):
            return pieces[other]
        between, other = between + step, other + step
    return None


@cache
def _stop_words() -> frozenset[str]:
    # Run the module alone: importing its package takes a quarter of a second, because of SciPy.
    package = find_spec("bm25s")
    assert package is not None
    file = Path(str(package.origin)).with_name("stopwords.py")
    words = run_path(str(file))["STOPWORDS_EN_PLUS"]
    return frozenset(word for word in words if len(word) > 1 or word in "ai")


@cache
def _stemmer() -> "Stemmer":
    from Stemmer import Stemmer

    return Stemmer("english", 0)  # cache size 0: PyStemmer's cache is slow once full, and _TERMS_OF_TOKEN replaces it
