"""``medground index``: file formats, printed counts, and resumption after a kill."""

import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from document_files import (
    HTML,
    MARKDOWN,
    NBIB,
    citation,
    docx_file,
    gzipped,
    lines_jsonl,
    pdf_bytes,
    pubmed_xml,
    table_csv,
)
from forked import start_index

Run = Callable[..., Any]
FLOAT32 = ("--set", "embedders.minilm.dtype=float32")  # the default, auto, depends on the processor


def write_all_formats(folder: Path) -> None:
    """Write a file of each format that has a sentence on heparin and clots."""
    folder.mkdir()
    abstract = [("BACKGROUND", "Clots are common."), ("RESULTS", "Heparin prevented clots in 40 patients.")]
    (folder / "a.txt").write_text("Heparin prevented clots in 40 patients. Nothing else.")
    (folder / "b.md").write_text(MARKDOWN)
    (folder / "c.html").write_text(HTML)
    (folder / "d.pdf").write_bytes(pdf_bytes(["A first page.", "Heparin prevented clots\nin 40 patients. It did."]))
    docx_file(folder / "e.docx", [("Heading 1", "Results"), ("Normal", "Heparin prevented clots in 40 patients.")])
    (folder / "f.xml").write_text(pubmed_xml([citation("1", "Heparin and clots", abstract)]))
    gzipped(folder / "g.xml.gz", pubmed_xml([citation("2", "More on heparin", abstract)]))
    (folder / "h.nbib").write_text(NBIB)
    (folder / "i.csv").write_text(table_csv(), newline="")
    (folder / "j.jsonl").write_text(lines_jsonl().replace("Aspirin lowered the risk", "Heparin prevented clots"))


def printed_json(outcome: Any) -> Any:
    assert outcome.status == 0, outcome.err
    return json.loads(outcome.out)


def test_offsets_of_quotes_match_the_stored_text_for_every_format(command: Run, tmp_path: Path) -> None:
    from corpus.documents.catalogue import document_text
    from medground.ingest import library_path, searched_corpus
    from medground.settings import load_settings

    write_all_formats(tmp_path / "docs")
    report = printed_json(command("index", "docs", "--json", "--quiet", *FLOAT32))
    assert (report["added"], report["failed"], report["embedded"]) == (10, 0, report["passages"])
    ask = ("ask", "Did heparin prevent clots?", "--json", "--quiet", "--set", "chain.max_sentences=99")
    all_passages = ("--set", "retrievers.bm25.top_k=99", "--set", "retriever=bm25")
    answer = printed_json(command(*ask, *all_passages))
    settings = load_settings()
    passages = {passage.id: passage for passage in searched_corpus(settings).passages}
    quoted_sources = set()
    for quote in answer["citations"]:
        passage = passages[quote["passage_id"]]
        text = document_text(library_path(settings), quote["passage_id"])
        start = passage.metadata["start"]
        assert text[start : passage.metadata["end"]] == passage.page_content
        assert text[start + quote["start"] : start + quote["end"]] == quote["quote"]
        if "clots" in quote["quote"]:
            quoted_sources |= {passage.metadata["source"], *quote["also_in"]}
    for path in (tmp_path / "docs").iterdir():
        assert any(path.name in source for source in quoted_sources), path.name
    assert passages["docs/d.pdf#2"].metadata["page"] == 2


def test_numbers_of_added_changed_removed_and_failed_files_are_printed(command: Run, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text("One.")
    (docs / "b.txt").write_text("Two.")
    (docs / "bad\x1b[31m.pdf").write_bytes(b"%PDF")
    (docs / "c.png").write_bytes(b"x")
    first = command("index", "docs", *FLOAT32)
    assert first.status == 0
    assert "files: 2 added, 0 changed, 0 unchanged, 0 removed, 1 failed" in first.out
    assert "failed: docs/bad\\x1b[31m.pdf: is not a PDF file" in first.err
    assert "skipped 1 of other kinds (1 .png)" in first.err
    (docs / "a.txt").write_text("Other.")
    (docs / "b.txt").unlink()
    (docs / "d.txt").write_text("Three. " + "word " * 400)
    report = printed_json(command("index", "docs", "--json", "--quiet", *FLOAT32))
    counts = {"added": 1, "changed": 1, "unchanged": 0, "removed": 1, "failed": 1, "split": 1}
    assert counts.items() <= report.items()
    assert report["failures"][0]["file"] == "docs/bad\\x1b[31m.pdf"
    assert (report["skipped"], report["corpus"]) == (1, "documents")


def test_number_of_abstracts_beyond_the_embedder_s_token_limit_is_printed(command: Run, tmp_path: Path) -> None:
    long = {"QUESTION": "Does it help?", "CONTEXTS": ["pain " * 300]}
    short = {"QUESTION": "Does it not?", "CONTEXTS": ["It does."]}
    (tmp_path / "records.json").write_text(json.dumps({"1": long, "2": short}))
    outcome = command("index", "--data", "records.json", "--quiet", *FLOAT32)
    assert outcome.status == 0
    assert "1 of 2 abstracts are longer than the 256 tokens that minilm reads of each" in outcome.err


def test_a_pdf_without_text_is_a_user_error(command: Run, tmp_path: Path) -> None:
    (tmp_path / "scan.pdf").write_bytes(pdf_bytes([""]))
    outcome = command("index", "scan.pdf")
    assert (outcome.status, outcome.out) == (1, "")
    assert "seems to be a scan" in outcome.err


def write_mixed(folder: Path, count: int) -> None:
    """Write ``count`` files of eight formats in turn, with different texts; one in fifty is a broken PDF."""
    folder.mkdir()
    for n in range(count):
        sentences = " ".join(f"finding{n}x{i} was measured in group {i % 7} of ward {n % 11}." for i in range(3))
        stem = folder / f"file{n:03}"
        match n % 8:
            case _ if n % 50 == 49:
                stem.with_suffix(".pdf").write_bytes(b"%PDF broken")
            case 0:
                stem.with_suffix(".txt").write_text(sentences)
            case 1:
                stem.with_suffix(".md").write_text(f"# Note {n}\n\n{sentences}")
            case 2:
                stem.with_suffix(".html").write_text(f"<h1>Note {n}</h1><p>{sentences}</p>")
            case 3:
                lines = sentences.replace(". ", ".\n")
                stem.with_suffix(".pdf").write_bytes(pdf_bytes([lines, f"Last page of {n}."]))
            case 4:
                rows = "".join(json.dumps({"id": i, "text": f"{sentences} Row {i}."}) + "\n" for i in range(2))
                stem.with_suffix(".jsonl").write_text(rows)
            case 5:
                cited = citation(str(10_000 + n), f"Trial {n}", [(None, sentences)])
                gzipped(folder / f"file{n:03}.xml.gz", pubmed_xml([cited]))
            case 6:
                docx_file(stem.with_suffix(".docx"), [("Heading 1", f"Note {n}"), ("Normal", sentences)])
            case 7:
                stem.with_suffix(".csv").write_text(f'id,text\n1,"{sentences}"\n')


LIBRARY = Path(".medground/store/documents.sqlite3")


@pytest.mark.slow
def test_killed_index_runs_resume_and_unchanged_files_are_skipped(tmp_path: Path) -> None:
    write_mixed(tmp_path / "docs", 500)
    rng = random.Random(5)

    def run(store: str) -> tuple[dict[str, Any], float]:
        """The printed JSON document and the CPU seconds of a complete run."""
        process = start_index(tmp_path, store, tmp_path / "printed.json")
        process.join()
        assert process.exitcode == 0
        seconds = (tmp_path / "printed.seconds").read_text()
        return json.loads((tmp_path / "printed.json").read_text()), float(seconds)

    # Each run is killed when a table has this many rows: two while reading files, three while embedding passages.
    kills = [("files", 60), ("files", 250), ("embeddings", 1), ("embeddings", 130), ("embeddings", 300)]
    for table, rows in kills:
        database = tmp_path / (LIBRARY if table == "files" else LIBRARY.with_name("chroma.sqlite3"))
        process = start_index(tmp_path, ".medground/store", tmp_path / "printed.json")
        while count_rows(database, table) < rows and process.is_alive():
            time.sleep(0.005)
        time.sleep(rng.random() * 0.2)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "the run ended before it was killed"

    resumed, _ = run(".medground/store")
    assert (resumed["added"] + resumed["unchanged"], resumed["failed"]) == (490, 10)
    assert resumed["unchanged"] >= 250
    assert 0 < resumed["embedded"] <= resumed["passages"] - 300
    ids, vectors = stored_vectors(tmp_path / ".medground" / "store")
    expected_ids = passage_ids(tmp_path / LIBRARY)
    assert len(expected_ids) == len(set(expected_ids)) == resumed["passages"]
    assert sorted(ids) == sorted(expected_ids)

    unchanged, unchanged_seconds = run(".medground/store")
    assert (unchanged["unchanged"], unchanged["embedded"], unchanged["added"], unchanged["changed"]) == (490, 0, 0, 0)
    assert stored_vectors(tmp_path / ".medground" / "store") == (ids, vectors)

    fresh, fresh_seconds = run("other")
    assert fresh["embedded"] == fresh["passages"] == unchanged["passages"]
    assert sorted(stored_vectors(tmp_path / "other")[0]) == sorted(ids)
    assert unchanged_seconds < fresh_seconds / 4


def count_rows(database: Path, table: str) -> int:
    """The number of rows that another process has written so far; 0 if the table does not exist yet."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            (rows,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    except sqlite3.Error:
        return 0
    return int(rows)


def stored_vectors(folder: Path) -> tuple[list[str], list[list[float]]]:
    """The ids and vectors of the documents' collection, read in another process, since Chroma caches open stores."""
    code = """
import json, sys, chromadb
from chromadb.config import Settings
client = chromadb.PersistentClient(sys.argv[1], settings=Settings())
(name,) = [one.name for one in client.list_collections() if one.name.startswith("documents")]
found = client.get_collection(name, embedding_function=None).get(include=["embeddings"])
print(json.dumps([found["ids"], found["embeddings"].tolist()]))
"""
    run = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    ids, vectors = json.loads(run.stdout)
    return ids, vectors


def passage_ids(library: Path) -> list[str | None]:
    from corpus.documents.catalogue import Passages

    return [passage.id for passage in Passages(library)]
