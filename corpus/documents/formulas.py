"""Superscripts, subscripts and formulas (MathML, Word's OMML) as plain text: 10^9, CO2, a/b."""

import re
from collections.abc import Iterable
from typing import Any

# Superscripts that are written without ^: of ordinals and trademarks, as in 4th and PlavixTM.
_UNMARKED_SUPERSCRIPT = re.compile(r"(?:st|nd|rd|th|er|ère|re|e|o|os|a|TM|SM|MD)\Z")
_INVISIBLE = dict.fromkeys(range(0x2061, 0x2065), "")  # Unicode's invisible operators
_SPACED_OPERATORS = set("=<>≤≥≠≈≡∼~±∓×÷·+−-→∈∝⇒⟶")
# Names of the children of Word's elements, in the order that the children have in MathML.
_OMML_OPERANDS = {
    **{"f": ("num", "den"), "ssup": ("e", "sup"), "ssub": ("e", "sub"), "ssubsup": ("e", "sub", "sup")},
    **{"nary": ("e", "sub", "sup"), "rad": ("e", "deg"), "func": ("fName", "e")},
}
MAX_DEPTH = 100  # of elements in a formula; deeper ones are read as plain text


def raised(before: str, text: str) -> str:
    """A superscript after ``before``, with ^ if it would otherwise merge with letters or digits."""
    text = text.strip()
    if not any(map(str.isalnum, text)) or text[0] in "[(,;–^®" or before.endswith(("^", "^(")):
        return text
    is_ambiguous = text in ("a", "e", "o") and before[-1:].isalpha()
    if before[-1:].isalnum() and _UNMARKED_SUPERSCRIPT.match(text) and not is_ambiguous:
        return text
    return f"^{text}"


def lowered(before: str, text: str) -> str:
    """A subscript after ``before`` (CO2, T4), with _ if a number would otherwise merge with another number."""
    text = text.strip()
    return f"_{text}" if before[-1:].isdigit() and text[:1].isdigit() else text


def formula(element: Any, depth: int = 0) -> str:
    """A formula's text in one line, from an element of MathML or OMML."""
    name = str(element.tag).rpartition("}")[2].lower()
    if depth > MAX_DEPTH:
        return "".join(element.itertext())
    parts = [child for child in element if isinstance(child.tag, str)]

    def operand(place: int) -> str:
        """The text of the operand with this index.

        In MathML it is the child at this index. In OMML children have any order, so it is the child with this name.
        """
        names = [str(child.tag).rpartition("}")[2] for child in parts]
        if name in _OMML_OPERANDS:
            operand_name = _OMML_OPERANDS[name][place]
            place = names.index(operand_name) if operand_name in names else len(parts)
        return formula(parts[place], depth + 1) if place < len(parts) else ""

    match name:
        case "annotation" | "annotation-xml" | "mphantom" | "ctrlpr" | "rpr" | "del" | "movefrom":
            return ""
        case "semantics":
            return operand(0)
        case "mi" | "mn" | "mtext" | "ms" | "mo" | "t":
            text = "".join(element.itertext()).translate(_INVISIBLE)
            return text if name == "t" else " ".join(text.split())
        case "mspace":
            return " "
        case "mfrac" | "f":
            return f"{_group(operand(0))}/{_group(operand(1))}"
        case "msup" | "mover" | "ssup":
            return operand(0) + raised("x", _group(operand(1)))
        case "msub" | "munder" | "ssub":
            return _with_index(operand(0), operand(1))
        case "msubsup" | "munderover" | "ssubsup":
            return _with_index(operand(0), operand(1)) + raised("x", _group(operand(2)))
        case "nary":
            return f"{_with_index('∑', operand(1))}{raised('x', _group(operand(2)))} {operand(0)}"
        case "msqrt":
            return f"√{_group(_row(parts, depth))}"
        case "mroot" | "rad":
            return f"{operand(1)}√{_group(operand(0))}"
        case "mfenced":
            separator = (element.get("separators") or ",").strip()[:1]
            inside = f"{separator} ".join(formula(child, depth + 1) for child in parts)
            return f"{element.get('open', '(')}{inside}{element.get('close', ')')}"
        case "d":
            return f"({_row([part for part in parts if not part.tag.endswith('Pr')], depth)})"
        case "mtr" | "mlabeledtr" | "mr":
            return "  ".join(formula(child, depth + 1) for child in parts)
        case "mtable" | "m":
            return "; ".join(filter(None, (formula(child, depth + 1) for child in parts)))
        case "func":
            return f"{operand(0)} {operand(1)}"
        case _:
            return "" if name.endswith("pr") else _row(parts, depth, element.text)


def _row(parts: Iterable[Any], depth: int, text: str | None = None) -> str:
    """``text`` and the texts of a formula's parts in one line, with spaces around operators."""
    row = (text or "").strip()
    for child in parts:
        piece = formula(child, depth + 1)
        is_operator = str(child.tag).rpartition("}")[2] == "mo" and piece in _SPACED_OPERATORS and row != ""
        row += f" {piece} " if is_operator else piece
        row += " ".join((child.tail or "").split())
    return re.sub(r" {2,}", " ", row).strip() if text is not None or " " in row else row


def _with_index(base: str, index: str) -> str:
    return base + lowered(base, index) if len(base) == 1 or base[-1:].isdigit() else f"{base}_{_group(index)}"


def _group(text: str) -> str:
    """The text, in brackets if it has several parts."""
    text = text.strip()
    return f"({text})" if re.search(r"[\s+*/=]", text) and not re.fullmatch(r"\([^()]*\)", text) else text
