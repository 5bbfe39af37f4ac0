"""Terminal output: text or JSON, with the control characters of documents escaped."""

import json
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from chains.answer import Answer, Citation, Passage, Sentence, Verdict
    from chains.verification.statements import Check

_SHOWN_CHARACTERS = 600
_SIGNS = {"supported": "✓", "contradicted": "✗", "not enough evidence": "?"}


def print_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def say(text: str) -> None:
    """Print a message on stderr."""
    typer.echo(text, err=True)


def print_table(table: "Table") -> None:
    """Print a table; in full width if the output is not a terminal."""
    from rich.console import Console

    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        console.width = 160
    console.print(table)
    console.print()


def print_passages(passages: "Sequence[Passage]") -> None:
    """Print id, score, origin and text of passages; long texts are truncated."""
    for rank, one in enumerate(passages, start=1):
        typer.echo(f"{rank}. {plain(one.id)}" + (f"  score {one.score:.3f}" if one.score is not None else ""))
        if one.origin:
            typer.echo(wrapped(f"({one.origin})"))
        text = one.text
        cut = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS].rsplit(" ", 1)[0] + " ..."
        typer.echo(wrapped(cut))


def print_answer(answer: "Answer") -> None:
    """Print an answer with its probabilities, quotes, verdicts and notes."""
    typer.echo(wrapped(answer.text, ""))
    print_evidence(answer)
    print_verdicts(answer)
    print_notes(answer.notes)


def print_evidence(answer: "Answer") -> None:
    """Print the probabilities and quotes of an answer, each quote under its passage's number."""
    from chains.marks import passage_numbers

    if answer.label_scores:
        typer.echo(f"  probabilities: {_listed(answer.label_scores)}")
    numbers = passage_numbers(answer.passages)
    origins = {passage.id: passage.origin for passage in answer.passages}
    for citation in answer.citations:
        _print_quote(_named(citation.passage_id, numbers), citation, origins.get(citation.passage_id), "  ")


def print_verdicts(answer: "Answer") -> None:
    """Print the verdicts on an answer and on its sentences, if any, with the evidence for each."""
    from chains.marks import passage_numbers

    numbers = passage_numbers(answer.passages)
    for place, one in enumerate(answer.sentences, start=1):
        if one.verdict is not None or one.attributed:
            typer.echo(wrapped(f"sentence {place}: {_support(one, numbers)}", "  "))
    for one in answer.removed:
        typer.echo(wrapped(f"removed: {' '.join(one.text.split())} {_support(one, numbers)}", "  "))
    if answer.verdict is not None and answer.verification is not None:
        typer.echo(f"  verdict: {answer.verdict}{_shares(answer.verification.scores)}")
        if (sentence := answer.verification.sentence) is not None:
            typer.echo(f"  because of {_named(sentence.passage_id, numbers)} score {sentence.score:.3f}")
            typer.echo(wrapped(f"\u201c{sentence.quote}\u201d", "      "))


def print_check(check: "Check", indent: str = "", *, omit_note: str | None = None) -> None:
    """Print a checked statement: the result, its quotes for and against, and its notes except ``omit_note``."""
    typer.echo(wrapped(check.text, indent))
    if check.scores:
        typer.echo(f"{indent}  probabilities: {_listed({str(key): value for key, value in check.scores.items()})}")
    for side, citations in (("for", check.supporting), ("against", check.contradicting)):
        for citation in citations:
            year = check.year(citation)
            head = f"{side} [{plain(citation.passage_id)}]" + (f" {year}" if year else "")
            origin = next((one.origin for one in check.passages if one.id == citation.passage_id), None)
            _print_quote(head, citation, origin, f"{indent}  ")
    print_notes([note for note in check.notes if note != omit_note])


def _print_quote(head: str, citation: "Citation", origin: str | None, indent: str) -> None:
    typer.echo(f"{indent}{head} score {citation.score:.3f}")
    also = f"also in {'; '.join(citation.also_in)}" if citation.also_in else None
    for text in (f"({origin})" if origin else "", f"({also})" if also else "", f"\u201c{citation.readable}\u201d"):
        if text:
            typer.echo(wrapped(text, f"{indent}    "))


def print_notes(notes: Sequence[str]) -> None:
    """Print the notes of an answer."""
    for note in notes:
        typer.echo(f"  note: {plain(note)}")


def _named(id: str, numbers: Mapping[str, int]) -> str:
    return f"[{numbers[id]}] {plain(id)}" if id in numbers else plain(id)


def _support(sentence: "Sentence", numbers: Mapping[str, int]) -> str:
    """The verdict on a sentence with its evidence, and attributed citations."""
    cited = "".join(f"[{number}]" for number in sentence.citations)
    if sentence.verdict is None:
        return f"attributed to {cited}" if sentence.attributed else "not verified"
    text = f"{_SIGNS[sentence.verdict]} {sentence.verdict}"
    if sentence.attributed:
        text += f", attributed to {cited}"
    if sentence.verification is not None and (quote := sentence.verification.sentence) is not None:
        text += f" by [{numbers.get(quote.passage_id, '?')}] \u201c{quote.readable}\u201d"
    return text


def _listed(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {share:.2f}" for name, share in shares.items())


def _shares(scores: "Mapping[Verdict, float]") -> str:
    return f" ({_listed({str(verdict): share for verdict, share in scores.items()})})" if scores else ""


def wrapped(text: str, indent: str = "   ") -> str:
    """The text, indented and wrapped to the terminal's width, at most 100 characters."""
    width = min(shutil.get_terminal_size().columns, 100)
    lines = [textwrap.fill(line, width, initial_indent=indent, subsequent_indent=indent) for line in text.splitlines()]
    return plain("\n".join(lines))


def plain(text: str) -> str:
    """The text with control characters other than line breaks escaped."""
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode("ascii") for char in text
    )
