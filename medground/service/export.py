"""Conversations as files: JSON, and Markdown whose texts no renderer takes for markup."""

import json
import re
from collections.abc import Sequence

from chains.chat.turn import Summary, Turn
from chains.marks import passage_numbers
from medground.service.protocol import support_in_words

# The characters that begin emphasis, code, links, images, HTML, entities, tables and headings.
_INLINE = re.compile(r"[\\`*_\[\]<>&|#~$]")
_AT_START = re.compile(r"^(?:[-+=]|\d+[.)])", re.M)
_INVISIBLE = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]"
)


def to_json(summary: Summary, turns: Sequence[Turn]) -> str:
    """The conversation with all evidence."""
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
    numbers = passage_numbers(answer.passages)
    origins = {passage.id: passage.origin for passage in answer.passages}
    parts = []
    for citation in answer.citations:
        origin = origins.get(citation.passage_id)
        source = f"{citation.passage_id}, {origin}" if origin else citation.passage_id
        quote = _escape(" ".join(citation.quote.split()))
        mark = f"\\[{numbers[citation.passage_id]}\\] " if citation.passage_id in numbers else ""
        parts.append(f"> {mark}“{quote}”\n>\n> {_escape(source)}")
    quoted = {citation.passage_id for citation in answer.citations}
    cited = {number for sentence in answer.sentences for number in sentence.citations}
    for number, passage in enumerate(answer.passages, start=1):
        if number in cited and passage.id not in quoted:
            parts.append(f"> \\[{number}\\] {_escape(', '.join(filter(None, (passage.id, passage.origin))))}")
    if support := support_in_words(answer):
        parts.append(f"Sentences: {_escape(support)}.")
    if answer.verdict is not None:
        parts.append(f"Verdict: {answer.verdict}.")
    parts += [f"Note: {_escape(note)}" for note in (*turn.notes, *answer.notes)]
    return parts


def _escape(text: str) -> str:
    """The text with Markdown's characters escaped, and without control characters, direction marks and indentation."""
    visible = "\n".join(line.strip() for line in _INVISIBLE.sub(" ", text).split("\n"))
    return _AT_START.sub(_escaped_start, _INLINE.sub(r"\\\g<0>", visible))


def _escaped_start(found: re.Match[str]) -> str:
    start = found[0]
    return f"{start[:-1]}\\{start[-1]}"
