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

_MAX_CHARACTERS = 600  # maximum number of characters of a passage that are printed
_VERDICT_SYMBOLS = {"supported": "✓", "contradicted": "✗", "not enough evidence": "?"}


def print_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_err(message: str | None) -> None:
    """Print a message, if any, on stderr. Control characters are escaped: the message may quote a file or a server."""
    if message is not None:
        print(plain(message), file=sys.stderr)  # noqa: T201  (typer.echo ignores the stream's encoding if it is ASCII)


def print_table(table: "Table") -> None:
    """Print a table; 160 characters wide if the output is not a terminal."""
    from rich.console import Console

    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        console.width = 160
    console.print(table)
    console.print()


def print_passages(passages: "Sequence[Passage]") -> None:
    """Print id, score, origin and text of passages; long texts are truncated."""
    for rank, passage in enumerate(passages, start=1):
        score = f"  score {passage.score:.3f}" if passage.score is not None else ""
        typer.echo(f"{rank}. {plain(passage.id)}{score}")
        if passage.origin:
            typer.echo(wrapped(f"({passage.origin})"))
        text = passage.text
        if len(text) > _MAX_CHARACTERS:
            text = text[:_MAX_CHARACTERS].rsplit(" ", 1)[0] + " ..."
        typer.echo(wrapped(text))


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
        typer.echo(f"  probabilities: {_listed_scores(answer.label_scores)}")
    numbers = passage_numbers(answer.passages)
    origins = {passage.id: passage.origin for passage in answer.passages}
    for citation in answer.citations:
        _print_quote(_numbered(citation.passage_id, numbers), citation, origins.get(citation.passage_id), "  ")


def print_verdicts(answer: "Answer") -> None:
    """Print the verdicts on an answer and on its sentences, if any, with the evidence for each."""
    from chains.marks import passage_numbers

    numbers = passage_numbers(answer.passages)
    for number, sentence in enumerate(answer.sentences, start=1):
        if sentence.verdict is not None or sentence.attributed:
            typer.echo(wrapped(f"sentence {number}: {_sentence_verdict(sentence, numbers)}", "  "))
    for sentence in answer.removed:
        typer.echo(wrapped(f"removed: {' '.join(sentence.text.split())} {_sentence_verdict(sentence, numbers)}", "  "))
    if answer.verdict is not None and answer.verification is not None:
        scores = answer.verification.scores
        typer.echo(f"  verdict: {answer.verdict}" + (f" ({_listed_scores(scores)})" if scores else ""))
        if (evidence := answer.verification.sentence) is not None:
            typer.echo(f"  because of {_numbered(evidence.passage_id, numbers)} score {evidence.score:.3f}")
            typer.echo(wrapped(f"\u201c{evidence.quote}\u201d", "      "))


def print_check(check: "Check", indent: str = "", *, omit_note: str | None = None) -> None:
    """Print a checked statement: the result, its quotes for and against, and its notes except ``omit_note``."""
    typer.echo(wrapped(check.text, indent))
    if check.scores:
        typer.echo(f"{indent}  probabilities: {_listed_scores(check.scores)}")
    for side, citations in (("for", check.supporting), ("against", check.contradicting)):
        for citation in citations:
            year = check.year(citation)
            heading = f"{side} [{plain(citation.passage_id)}]" + (f" {year}" if year else "")
            origin = next((passage.origin for passage in check.passages if passage.id == citation.passage_id), None)
            _print_quote(heading, citation, origin, f"{indent}  ")
    print_notes([note for note in check.notes if note != omit_note])


def _print_quote(heading: str, citation: "Citation", origin: str | None, indent: str) -> None:
    typer.echo(f"{indent}{heading} score {citation.score:.3f}")
    sources = [f"({origin})"] if origin else []
    sources += [f"(also in {'; '.join(citation.also_in)})"] if citation.also_in else []
    for text in (*sources, f"\u201c{citation.readable}\u201d"):
        typer.echo(wrapped(text, f"{indent}    "))


def print_notes(notes: Sequence[str]) -> None:
    """Print the notes of an answer."""
    for note in notes:
        typer.echo(f"  note: {plain(note)}")


def _numbered(id: str, numbers: Mapping[str, int]) -> str:
    """A passage's id, after its number in the answer if the passage has a number."""
    return f"[{numbers[id]}] {plain(id)}" if id in numbers else plain(id)


def _sentence_verdict(sentence: "Sentence", numbers: Mapping[str, int]) -> str:
    """A sentence's verdict with the quote that decides it, and the passages that the sentence is attributed to."""
    cited = "".join(f"[{number}]" for number in sentence.citations)
    if sentence.verdict is None:
        return f"attributed to {cited}" if sentence.attributed else "not verified"
    text = f"{_VERDICT_SYMBOLS[sentence.verdict]} {sentence.verdict}"
    if sentence.attributed:
        text += f", attributed to {cited}"
    if sentence.verification is not None and (quote := sentence.verification.sentence) is not None:
        text += f" by [{numbers.get(quote.passage_id, '?')}] \u201c{quote.readable}\u201d"
    return text


def _listed_scores(scores: "Mapping[Verdict, float] | Mapping[str, float]") -> str:
    return ", ".join(f"{label} {score:.2f}" for label, score in scores.items())


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
