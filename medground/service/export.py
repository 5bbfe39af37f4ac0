"""Export of conversations as JSON, and as Markdown with escaped texts."""

import json
import re
from collections.abc import Sequence

from chains.chat.turn import Summary, Turn
from medground.service.protocol import cited_sources, support_in_words

# Markdown for emphasis, code, links, images, HTML, entities, tables, headings, strikethrough and formulas
_SPECIAL_CHARACTERS = re.compile(r"[\\`*_\[\]<>&|#~$]")
_LINE_STARTS = re.compile(r"^(?:[-+=]|\d+[.)])", re.M)  # starts of lists, horizontal rules and underlines of headings
_INVISIBLE = re.compile(  # control characters except \n, direction marks, and Unicode tags
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]"
)


def to_json(summary: Summary, turns: Sequence[Turn]) -> str:
    """The conversation with all fields of its turns."""
    document = {**summary.model_dump(mode="json"), "turns": [turn.model_dump(mode="json") for turn in turns]}
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def to_markdown(summary: Summary, turns: Sequence[Turn]) -> str:
    """Title, questions, answers and quotes with their source and page."""
    parts = [f"# {_escape(summary.title)}", f"{summary.created[:10]}, medground"]
    for turn in turns:
        parts += [f"## {_escape(' '.join(turn.message.split()))}", _escape(turn.text)]
        parts += _evidence(turn)
    return "\n\n".join(parts) + "\n"


def _evidence(turn: Turn) -> list[str]:
    answer = turn.answer
    if answer is None:
        return []
    parts = []
    for number, id, origin, citation in cited_sources(answer):
        mark = f"\\[{number}\\] " if number else ""
        quote = f"“{_escape(' '.join(citation.quote.split()))}”\n>\n> " if citation is not None else ""
        parts.append(f"> {mark}{quote}{_escape(f'{id}, {origin}' if origin else id)}")
    if support := support_in_words(answer):
        parts.append(f"Sentences: {_escape(support)}.")
    if answer.verdict is not None:
        parts.append(f"Verdict: {answer.verdict}.")
    parts += [f"Note: {_escape(note)}" for note in (*turn.notes, *answer.notes)]
    return parts


def _escape(text: str) -> str:
    """The text with Markdown escaped; control characters, direction marks and indentation are removed."""
    visible = "\n".join(line.strip() for line in _INVISIBLE.sub(" ", text).split("\n"))
    escaped = _SPECIAL_CHARACTERS.sub(r"\\\g<0>", visible)
    return _LINE_STARTS.sub(lambda start: f"{start[0][:-1]}\\{start[0][-1]}", escaped)
