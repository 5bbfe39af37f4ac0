"""``medground index``: put documents, or the abstracts of records, into the store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medground.cli import options
from medground.cli.app import app
from medground.cli.show import print_err, print_json

if TYPE_CHECKING:
    from corpus.files import UpdateReport
    from medground.ingest import Corpus
    from medground.settings import Settings


@app.command()
def index(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", show_default=False, help="Files, archives of files, or folders of them."),
    ] = None,
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    data: options.Data = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Put documents into the store.

    It reads PubMed XML (also .gz), .nbib, PDF, DOCX, HTML, Markdown, text, CSV, TSV and JSON lines, by their
    endings, and .zip and .tar.gz archives of them. Unchanged files are not read again, changed files are
    replaced, and files that are gone from a named folder are removed; files indexed from elsewhere stay. Files that
    cannot be read are reported and skipped; the exit status is 1 if nothing could be read.

    Without PATH the data's abstracts are embedded. Stored passages are not embedded again, so an interrupted run
    resumes.
    """
    if paths and data is not None:
        raise typer.BadParameter("give files to index or --data, not both", param_hint="PATH")
    settings = options.make_settings(config, overrides, data=data)
    if paths:
        _index_files(settings, paths, as_json=as_json, quiet=quiet)
    else:
        _index_data(settings, as_json=as_json, quiet=quiet)


def _index_files(settings: "Settings", paths: list[Path], *, as_json: bool, quiet: bool) -> None:
    from corpus.files import escaped_path
    from medground.ingest import add_documents, embed

    corpus, report = add_documents(settings, paths, quiet=quiet)
    _print_report(report)
    embedded = embed(settings, corpus, quiet=quiet)
    outcomes = ("added", "changed", "unchanged", "removed")
    counts = {**{name: getattr(report, name) for name in outcomes}, "failed": len(report.failed)}
    if not as_json:
        typer.echo(f"files: {', '.join(f'{count} {outcome}' for outcome, count in counts.items())}")
    details = {
        **counts,
        "skipped": len(report.skipped),
        "skipped_files": [escaped_path(path) for path in report.skipped],
        "linked": len(report.linked),
        "copies": len(report.copies),
        "withdrawn": report.withdrawn,
        "split": report.long_sentences,
        "embedded": embedded,
        "failures": [{"file": problem.file, "problem": problem.why} for problem in report.failed],
    }
    _print_result(settings, corpus, details, as_json=as_json)


def _index_data(settings: "Settings", *, as_json: bool, quiet: bool) -> None:
    from medground.ingest import data_corpus, embed, embedder_windows

    corpus = data_corpus(settings)
    embedded = embed(settings, corpus, quiet=quiet)
    texts = [passage.page_content for passage in corpus.passages]
    for name, window in embedder_windows(settings).items():
        if count := sum(window.too_long(texts)):
            print_err(
                f"{count} of {len(texts)} abstracts are longer than the {window.limit} tokens that {name} reads of each"
            )
    _print_result(settings, corpus, {"embedded": embedded}, as_json=as_json)


def _print_report(report: "UpdateReport") -> None:
    """Report failed, skipped, linked and duplicate files."""
    from corpus.documents.source import suffix_counts
    from corpus.files import escaped_path
    from medground.ingest import MAX_LISTED

    for problem in report.failed[:MAX_LISTED]:
        print_err(f"failed: {problem.why}")
    if (unlisted := len(report.failed) - MAX_LISTED) > 0:
        print_err(f"failed: {unlisted} more; --json lists them all")
    if report.skipped:
        kinds = suffix_counts(escaped_path(path) for path in report.skipped)
        print_err(f"skipped {len(report.skipped)} of other kinds ({kinds})")
    if report.linked:
        print_err(
            f"skipped {len(report.linked)} links to files elsewhere ({report.linked[0].name}); "
            "documents.follow_links reads them"
        )
    if report.copies:
        copy, original = report.copies[0]
        print_err(f"skipped {len(report.copies)} copies of other files ({copy} is {original})")
    if report.withdrawn:
        print_err(f"{report.withdrawn} records are withdrawn")
    if report.long_sentences:
        print_err(f"{report.long_sentences} sentences are longer than the embedder reads; they are split, not cut off")


def _print_result(settings: "Settings", corpus: "Corpus", details: dict[str, Any], *, as_json: bool) -> None:
    """Print what is ready for search; ``details`` are in the JSON document only."""
    count, names = len(corpus.passages), list(settings.retrievers)
    if as_json:
        print_json({"corpus": corpus.name, "passages": count, "retrievers": names, **details})
    else:
        typer.echo(f"{count} passages of {corpus.name} are ready for {', '.join(names)} in {settings.store.path}")
