"""Characters of Word's symbol fonts in Unicode."""

UNKNOWN = "\ufffd"
# Adobe's Symbol encoding: runs of characters by the code of the first.
_SYMBOL_RUNS = {
    0x20: " !∀#∃%&∍()∗+,−./0123456789:;<=>?≅ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_‾αβχδεφγηιϕκλμνοπθρστυϖωξψζ{|}∼",
    0xA0: "€ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…⏐⎯↵ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧∨⇔⇐⇑⇒⇓◊〈®©™∑",
    0xF1: "〉∫",
}
_SYMBOL = {first + place: sign for first, run in _SYMBOL_RUNS.items() for place, sign in enumerate(run)}
_WINGDINGS = {
    **{0x6C: "●", 0x6E: "■", 0x6F: "□", 0x71: "❑", 0x75: "◆", 0x76: "❖", 0x9F: "•", 0xA7: "▪", 0xA8: "◻", 0xD8: "➢"},
    **{0xDF: "←", 0xE0: "→", 0xE1: "↑", 0xE2: "↓", 0xE8: "➔", 0xF0: "⇨", 0xFB: "✗", 0xFC: "✓", 0xFD: "☒", 0xFE: "☑"},
    **{0x4A: "☺", 0x4C: "☹", 0x22: "✂", 0x28: "☎", 0x2A: "✉", 0xFA: "▪"},
}


def symbol(font: str, code: str) -> str:
    """The character of a hexadecimal code in a font; U+FFFD for an unknown one, so that the loss is visible."""
    try:
        number = int(code, 16)
    except ValueError:
        return UNKNOWN
    low = number - 0xF000 if 0xF020 <= number <= 0xF0FF else number
    if font.lower().startswith("wingdings"):
        return _WINGDINGS.get(low, UNKNOWN)
    if font.lower() == "symbol":
        return _SYMBOL.get(low, UNKNOWN)
    return chr(low) if 0x20 <= low < 0xD800 else UNKNOWN
