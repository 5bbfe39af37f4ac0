"""``medground check``: check statements against the evidence in the searched corpus."""

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from medground.cli import options
from medground.cli.app import app
from medground.cli.show import print_check, print_err, print_json, wrapped

if TYPE_CHECKING:
    from chains.verification.statements import Check, Checker
    from common.errors import UserError
    from corpus.inference.statements import Segment, Statements

BATCH_SIZE = 4  # statements that are checked in one pass


@app.command()
def check(
    statement: Annotated[
        str | None, typer.Argument(metavar="[STATEMENT]", show_default=False, help="The statement, in quotes.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="Check each statement of a letter, a report, or a list or table."),
    ] = None,
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    data: options.Data = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Check a statement against the evidence: supported, contradicted, or not enough evidence.

    It searches the same corpus as ask and classifies the sentences found with the model of section nli. Evidence
    for and against is quoted with its source and year, newest first; where both exist, the result says that the
    evidence conflicts.

    FILE can have any format that `medground index` reads, except archives. It is split into statements; headings,
    questions, greetings and the like are shown and not checked. A .txt file with a sentence on each line is a list of
    statements. A table or .jsonl file has a column statement or claim.
    """
    if (statement is None) == (file is None):
        raise typer.BadParameter("give a statement or --file FILE", param_hint="STATEMENT")
    settings = options.make_settings(config, overrides, data=data)
    if file is not None:
        from corpus.inference.statements import read_statements

        statements = read_statements(file.expanduser(), settings.documents)
        pipeline = options.make_pipeline(settings, data, quiet)
        checker = pipeline.checker()
        for problem in statements.problems:
            print_err(problem)
        _check_text(checker, statements, pipeline.check_note, as_json=as_json)
        return
    text = options.validated_text(statement or "", "statement", 'check "Aspirin ..."')
    checked = options.make_pipeline(settings, data, quiet).checker().invoke(text)
    if as_json:
        print_json(checked.model_dump(mode="json"))
    else:
        print_check(checked)


def _check_text(checker: "Checker", statements: "Statements", note: str | None, *, as_json: bool) -> None:
    """Print each segment of a text with its verdict, then the counts.

    After an interrupt, the counts of the segments checked so far are still printed, or with ``as_json`` the document.
    """
    from chains.verification.statements import Check

    segments: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    complete = False
    try:
        for segment, checked in _checked_segments(checker, statements):
            if isinstance(checked, Check):
                counts[checked.verdict] += 1
                counts["conflicting"] += checked.conflicting
            else:
                counts["not statements" if checked is None else "failed"] += 1
            segment_text = statements.text[segment.start : segment.end]
            if not as_json:
                _print_segment(segment_text, segment, checked, note)
                continue
            result = {"check": checked.model_dump(mode="json")} if isinstance(checked, Check) else {}
            error = {"error": str(checked)} if isinstance(checked, Exception) else {}
            segments.append({"text": segment_text, "start": segment.start, "kind": segment.kind, **result, **error})
        complete = True
    finally:
        if as_json:
            print_json({"complete": complete, "counts": _complete_counts(counts), "segments": segments})
        else:
            typer.echo(_summary(counts))
            print_err(note)


def _checked_segments(
    checker: "Checker", statements: "Statements"
) -> "Iterator[tuple[Segment, Check | UserError | None]]":
    """All segments in order, each with the result of its check; None for a segment that is no statement."""
    from langchain_core.utils.iter import batch_iterate

    from chains.verification.statements import Claim

    claims = (Claim(segment.statement, segment.query) for segment in statements.segments if segment.is_statement)
    results = chain.from_iterable(map(checker.check_all, batch_iterate(BATCH_SIZE, claims)))
    for segment in statements.segments:
        yield segment, next(results) if segment.is_statement else None


def _print_segment(text: str, segment: "Segment", checked: "Check | UserError | None", note: str | None) -> None:
    typer.echo(wrapped(text, ""))
    if checked is None:
        typer.echo(f"  not checked: {segment.kind}")
    elif isinstance(checked, Exception):
        typer.echo(wrapped(f"not checked: {checked}", "  "))
    else:
        print_check(checked, "  ", omit_note=note)


def _complete_counts(counts: Counter[str]) -> dict[str, int]:
    """The counts in a fixed order, zeros included. The number of statements is that of verdicts and failures."""
    from chains.answer import Verdict

    verdicts = {str(verdict): counts[verdict] for verdict in get_args(Verdict)}
    return {
        "statements": sum(verdicts.values()) + counts["failed"],
        **verdicts,
        "conflicting": counts["conflicting"],
        "failed": counts["failed"],
        "not statements": counts["not statements"],
    }


def _summary(counts: Counter[str]) -> str:
    by_result = _complete_counts(counts)
    total = by_result.pop("statements")
    unchecked = by_result.pop("not statements")
    listed = ", ".join(f"{count} {result}" for result, count in by_result.items() if count) or "none"
    parts = (
        "1 part of the text is no statement" if unchecked == 1 else f"{unchecked} parts of the text are no statements"
    )
    return f"statements: {total} ({listed})" + (f"; {parts}" if unchecked else "")
