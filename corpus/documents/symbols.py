"""Unicode characters for the codes of Word's symbol fonts."""

import sys

UNKNOWN = "\ufffd"
# Adobe's Symbol encoding: the characters of each run of consecutive codes, by its first code.
_SYMBOL_RUNS = {
    0x20: " !∀#∃%&∍()∗+,−./0123456789:;<=>?≅ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_‾αβχδεφγηιϕκλμνοπθρστυϖωξψζ{|}∼",
    0xA0: "€ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…⏐⎯↵ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧∨⇔⇐⇑⇒⇓◊〈®©™∑",
    0xF1: "〉∫",
}
_SYMBOL = {first + place: character for first, run in _SYMBOL_RUNS.items() for place, character in enumerate(run)}
_WINGDINGS = {
    **{0x6C: "●", 0x6E: "■", 0x6F: "□", 0x71: "❑", 0x75: "◆", 0x76: "❖", 0x9F: "•", 0xA7: "▪", 0xA8: "◻", 0xD8: "➢"},
    **{0xDF: "←", 0xE0: "→", 0xE1: "↑", 0xE2: "↓", 0xE8: "➔", 0xF0: "⇨", 0xFB: "✗", 0xFC: "✓", 0xFD: "☒", 0xFE: "☑"},
    **{0x4A: "☺", 0x4C: "☹", 0x22: "✂", 0x28: "☎", 0x2A: "✉", 0xFA: "▪"},
}
# Characters by font and code. Fonts with an empty table are symbol fonts whose characters are unknown.
_TABLES = {"symbol": _SYMBOL, "wingdings": _WINGDINGS, "wingdings 2": {}, "wingdings 3": {}, "webdings": {}}


def symbol(font: str, code: str) -> str:
    """The character of a hexadecimal code in a font; U+FFFD if the code is unknown, so that the loss is visible."""
    try:
        number = int(code, 16)
    except ValueError:
        return UNKNOWN
    # Word writes a code of a symbol font either as it is, or with 0xF000 added, which is in the private use area.
    if (table := _TABLES.get(font.lower())) is not None:
        return table.get(number - 0xF000 if 0xF020 <= number <= 0xF0FF else number, UNKNOWN)
    character = chr(number) if 0 <= number <= sys.maxunicode else UNKNOWN
    # Private-use codes and surrogates are neither printable nor spaces, so that they are unknown.
    return character if character.isprintable() or (number > 0x20 and character.isspace()) else UNKNOWN
