"""Superscripts, subscripts and formulas (MathML, Word's OMML) as plain text: 10^9, CO2, a/b."""

import re
from collections.abc import Iterable
from typing import Any

_PLAIN_RAISED = re.compile(r"(?:st|nd|rd|th|er|ère|re|e|o|os|a|TM|SM|MD)\Z")  # ordinals and marks: 4th, Plavix(TM)
_INVISIBLE = dict.fromkeys(range(0x2061, 0x2065), "")
_SPACED = set("=<>≤≥≠≈≡∼~±∓×÷·+−-→∈∝⇒⟶")
DEPTH = 100  # maximum depth of elements in a formula; deeper ones give their plain text


def raised(before: str, text: str) -> str:
    """A superscript after ``before``, with ^ if it would otherwise merge with letters or digits."""
    text = text.strip()
    if not any(map(str.isalnum, text)) or text[0] in "[(,;–^®" or before.endswith(("^", "^(")):
        return text
    if before[-1:].isalnum() and _PLAIN_RAISED.match(text) and not (text in ("a", "e", "o") and before[-1:].isalpha()):
        return text
    return f"^{text}"


def lowered(before: str, text: str) -> str:
    """A subscript after ``before`` (CO2, T4), with _ if a number would otherwise merge with another one."""
    text = text.strip()
    return f"_{text}" if before[-1:].isdigit() and text[:1].isdigit() else text


def formula(element: Any, depth: int = 0) -> str:
    """A formula's text in one line, from an element of MathML or OMML."""
    name = str(element.tag).rpartition("}")[2].lower()
    if depth > DEPTH:
        return "".join(element.itertext())
    parts = [child for child in element if isinstance(child.tag, str)]

    def one(*names: str) -> str:
        """The child with one of these names, for OMML."""
        for child in parts:
            if str(child.tag).rpartition("}")[2] in names:
                return formula(child, depth + 1)
        return ""

    def nth(place: int) -> str:
        """The child at a place, for MathML."""
        return formula(parts[place], depth + 1) if place < len(parts) else ""

    match name:
        case "annotation" | "annotation-xml" | "mphantom" | "ctrlpr" | "rpr" | "del" | "movefrom":
            return ""
        case "semantics":
            return nth(0)
        case "mi" | "mn" | "mtext" | "ms" | "mo" | "t":
            text = "".join(element.itertext()).translate(_INVISIBLE)
            return text if name == "t" else " ".join(text.split())
        case "mspace":
            return " "
        case "mfrac":
            return _over(nth(0), nth(1))
        case "f":
            return _over(one("num"), one("den"))
        case "msup" | "mover":
            return nth(0) + raised("x", _group(nth(1)))
        case "ssup":
            return one("e") + raised("x", _group(one("sup")))
        case "msub" | "munder":
            return _with_index(nth(0), nth(1))
        case "ssub":
            return _with_index(one("e"), one("sub"))
        case "msubsup" | "munderover":
            return _with_index(nth(0), nth(1)) + raised("x", _group(nth(2)))
        case "ssubsup":
            return _with_index(one("e"), one("sub")) + raised("x", _group(one("sup")))
        case "nary":
            bounds = _with_index("∑", one("sub")) + raised("x", _group(one("sup")))
            return f"{bounds} {one('e')}"
        case "msqrt":
            return f"√{_group(_row(parts, depth))}"
        case "mroot":
            return f"{nth(1)}√{_group(nth(0))}"
        case "rad":
            return f"{one('deg')}√{_group(one('e'))}"
        case "mfenced":
            shown = (element.get("separators") or ",").strip()[:1]
            inside = f"{shown} ".join(formula(child, depth + 1) for child in parts)
            return f"{element.get('open', '(')}{inside}{element.get('close', ')')}"
        case "d":
            return f"({_row([part for part in parts if not part.tag.endswith('Pr')], depth)})"
        case "mtr" | "mlabeledtr" | "mr":
            return "  ".join(formula(child, depth + 1) for child in parts)
        case "mtable" | "m":
            return "; ".join(filter(None, (formula(child, depth + 1) for child in parts)))
        case "func":
            return f"{one('fName')} {one('e')}"
        case _:
            return "" if name.endswith("pr") else _row(parts, depth, element.text)


def _row(parts: Iterable[Any], depth: int, text: str | None = None) -> str:
    made = (text or "").strip()
    for child in parts:
        piece = formula(child, depth + 1)
        is_sign = str(child.tag).rpartition("}")[2] == "mo" and piece in _SPACED and made != ""
        made += f" {piece} " if is_sign else piece
        made += " ".join((child.tail or "").split())
    return re.sub(r" {2,}", " ", made).strip() if text is not None or " " in made else made


def _over(above: str, below: str) -> str:
    return f"{_group(above)}/{_group(below)}"


def _with_index(base: str, index: str) -> str:
    return base + lowered(base, index) if len(base) == 1 or base[-1:].isdigit() else f"{base}_{_group(index)}"


def _group(text: str) -> str:
    """The text, in brackets if it has several parts."""
    text = text.strip()
    return f"({text})" if re.search(r"[\s+*/=]", text) and not re.fullmatch(r"\([^()]*\)", text) else text
