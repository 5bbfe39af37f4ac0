"""Superscripts, subscripts and formulas (MathML, Word's OMML) as plain text: 10^9, CO2, a/b."""

import re
from collections.abc import Iterable
from typing import Any

# Ordinals and trademarks: 4th, Plavix(TM)
_UNMARKED_SUPERSCRIPT = re.compile(r"(?:st|nd|rd|th|er|ère|re|e|o|os|a|TM|SM|MD)\Z")
_INVISIBLE = dict.fromkeys(range(0x2061, 0x2065), "")  # Unicode's invisible operators
_SPACED_OPERATORS = set("=<>≤≥≠≈≡∼~±∓×÷·+−-→∈∝⇒⟶")
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

    def child_named(*names: str) -> str:
        """The text of the child with one of these names, for OMML."""
        for child in parts:
            if str(child.tag).rpartition("}")[2] in names:
                return formula(child, depth + 1)
        return ""

    def child_at(place: int) -> str:
        """The text of the child at an index, for MathML."""
        return formula(parts[place], depth + 1) if place < len(parts) else ""

    match name:
        case "annotation" | "annotation-xml" | "mphantom" | "ctrlpr" | "rpr" | "del" | "movefrom":
            return ""
        case "semantics":
            return child_at(0)
        case "mi" | "mn" | "mtext" | "ms" | "mo" | "t":
            text = "".join(element.itertext()).translate(_INVISIBLE)
            return text if name == "t" else " ".join(text.split())
        case "mspace":
            return " "
        case "mfrac":
            return _fraction(child_at(0), child_at(1))
        case "f":
            return _fraction(child_named("num"), child_named("den"))
        case "msup" | "mover":
            return child_at(0) + raised("x", _group(child_at(1)))
        case "ssup":
            return child_named("e") + raised("x", _group(child_named("sup")))
        case "msub" | "munder":
            return _with_index(child_at(0), child_at(1))
        case "ssub":
            return _with_index(child_named("e"), child_named("sub"))
        case "msubsup" | "munderover":
            return _with_index(child_at(0), child_at(1)) + raised("x", _group(child_at(2)))
        case "ssubsup":
            return _with_index(child_named("e"), child_named("sub")) + raised("x", _group(child_named("sup")))
        case "nary":
            bounds = _with_index("∑", child_named("sub")) + raised("x", _group(child_named("sup")))
            return f"{bounds} {child_named('e')}"
        case "msqrt":
            return f"√{_group(_row(parts, depth))}"
        case "mroot":
            return f"{child_at(1)}√{_group(child_at(0))}"
        case "rad":
            return f"{child_named('deg')}√{_group(child_named('e'))}"
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
            return f"{child_named('fName')} {child_named('e')}"
        case _:
            return "" if name.endswith("pr") else _row(parts, depth, element.text)


def _row(parts: Iterable[Any], depth: int, text: str | None = None) -> str:
    """The texts of a formula's parts in a row after ``text``, with spaces around operators."""
    row = (text or "").strip()
    for child in parts:
        piece = formula(child, depth + 1)
        is_operator = str(child.tag).rpartition("}")[2] == "mo" and piece in _SPACED_OPERATORS and row != ""
        row += f" {piece} " if is_operator else piece
        row += " ".join((child.tail or "").split())
    return re.sub(r" {2,}", " ", row).strip() if text is not None or " " in row else row


def _fraction(above: str, below: str) -> str:
    return f"{_group(above)}/{_group(below)}"


def _with_index(base: str, index: str) -> str:
    return base + lowered(base, index) if len(base) == 1 or base[-1:].isdigit() else f"{base}_{_group(index)}"


def _group(text: str) -> str:
    """The text, in brackets if it has several parts."""
    text = text.strip()
    return f"({text})" if re.search(r"[\s+*/=]", text) and not re.fullmatch(r"\([^()]*\)", text) else text
