"""``medground check``: statements checked against the searched texts."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from medground.cli import options
from medground.cli.app import app
from medground.cli.show import print_check, print_json, say, wrapped

if TYPE_CHECKING:
    from chains.verification.statements import Check, Checker
    from common.errors import UserError
    from corpus.inference.statements import Segment, Statements

AT_ONCE = 4  # statements in a batch, whose results are printed together


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
    if statement is not None:
        statement = options.validated_text(statement, "statement", 'check "Aspirin ..."')
    statements = None
    if file is not None:
        from corpus.inference.statements import read_statements

        statements = read_statements(file.expanduser(), settings.documents)
    pipeline = options.make_pipeline(settings, data, quiet)
    checker = pipeline.checker()
    if statements is not None:
        for problem in statements.problems:
            say(problem)
        _check_text(checker, statements, pipeline.check_note, as_json=as_json)
        return
    assert statement is not None
    checked = checker.invoke(statement)
    if as_json:
        print_json(checked.model_dump(mode="json"))
    else:
        print_check(checked)


def _check_text(checker: "Checker", statements: "Statements", note: str | None, *, as_json: bool) -> None:
    """Print each segment of a text with its verdict, then the counts.

    If interrupted, it still prints the counts (or the JSON document) of the segments checked so far.
    """
    from chains.verification.statements import Check

    listed: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    complete = False
    try:
        for segment, checked in _checked(checker, statements):
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
            listed.append({"text": segment_text, "start": segment.start, "kind": segment.kind, **result, **error})
        complete = True
    finally:
        if as_json:
            print_json({"complete": complete, "counts": _counts(counts), "segments": listed})
        else:
            typer.echo(_summary(counts))
            if note is not None:
                say(note)


def _checked(checker: "Checker", statements: "Statements") -> "Iterator[tuple[Segment, Check | UserError | None]]":
    """The segments in order, statements with their results; ``AT_ONCE`` statements are one batch."""
    from chains.verification.statements import Claim

    waiting: list[Segment] = []

    def results() -> "Iterator[tuple[Segment, Check | UserError | None]]":
        claims = [Claim(one.statement, one.query) for one in waiting if one.is_statement]
        found = iter(checker.check_all(claims))
        for one in waiting:
            yield one, next(found) if one.is_statement else None

    for segment in statements.segments:
        waiting.append(segment)
        if sum(one.is_statement for one in waiting) == AT_ONCE:
            yield from results()
            waiting.clear()
    yield from results()


def _print_segment(text: str, segment: "Segment", checked: "Check | UserError | None", note: str | None) -> None:
    typer.echo(wrapped(text, ""))
    if checked is None:
        typer.echo(f"  not checked: {segment.kind}")
    elif isinstance(checked, Exception):
        typer.echo(wrapped(f"not checked: {checked}", "  "))
    else:
        print_check(checked, "  ", omit_note=note)


def _counts(counts: Counter[str]) -> dict[str, int]:
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
    counted = _counts(counts)
    total = counted.pop("statements")
    others = counted.pop("not statements")
    # Conflicting statements also count under their verdict.
    listed = ", ".join(f"{count} {what}" for what, count in counted.items() if count) or "none"
    parts = "1 part of the text is no statement" if others == 1 else f"{others} parts of the text are no statements"
    return f"statements: {total} ({listed})" + (f"; {parts}" if others else "")
