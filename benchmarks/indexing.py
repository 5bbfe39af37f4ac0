"""Cost of indexing: time against bare encoding, and memory by the number of documents.

    python benchmarks/indexing.py --data PATH/ori_pqal.json --output indexing.json

The abstracts are written in PubMed's format (.xml.gz, 1,000 citations each).

- Time, in turns, for several rounds: ``medground index`` (reading, chunking, embedding and storing, into a fresh store)
  and one bare ``SentenceTransformer.encode`` of the same passages in the same data type. A ratio is one round's rate of
  indexing over that of encoding; loading the model is not timed. ``processor`` is processor time, which is more stable
  on a busy machine.
- Memory: the peak of a process that indexes ``--documents`` abstracts, made by numbering the data's abstracts and
  cutting them to 250 words.
"""

import gzip
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import bench

PER_FILE = 1000  # citations
WORDS = 250  # of an abstract in the memory runs


def write_pubmed(folder: Path, texts: Iterator[str]) -> None:
    """The texts as citations in files of 1,000."""
    folder.mkdir()
    pmids = count(1)
    for number in count(1):
        some = list(islice(texts, PER_FILE))
        if not some:
            return
        citations = "".join(
            f"<PubmedArticle><MedlineCitation><PMID>{next(pmids)}</PMID><Article><Journal><JournalIssue><PubDate>"
            "<Year>2020</Year></PubDate></JournalIssue><Title>A journal</Title></Journal><ArticleTitle>A trial"
            f"</ArticleTitle><Abstract><AbstractText>{escape(text)}</AbstractText></Abstract></Article>"
            "<MeshHeadingList><MeshHeading><DescriptorName>Adult</DescriptorName></MeshHeading></MeshHeadingList>"
            "</MedlineCitation></PubmedArticle>"
            for text in some
        )
        whole = f"<?xml version='1.0'?><PubmedArticleSet>{citations}</PubmedArticleSet>"
        (folder / f"pubmed25n{number:04}.xml.gz").write_bytes(gzip.compress(whole.encode()))


def numbered(texts: Sequence[str], total: int) -> Iterator[str]:
    """``total`` different texts of about ``WORDS`` words."""
    for n in range(total):
        yield f"Trial {n} of {total}. " + " ".join(texts[n % len(texts)].split()[:WORDS])


def index_all(folder: Path, store: Path, dtype: str) -> dict[str, Any]:
    """Run ``medground index`` in this process: seconds, processor seconds, and the passages."""
    from medground.ingest import add_documents, embed, embedder_windows
    from medground.settings import load_settings
    from retrievers.embedders import make_embedder

    settings = load_settings(None, {"embedders.minilm.dtype": dtype, "store.path": str(store)})
    embedder: Any = make_embedder(settings.embedders["minilm"])
    embedder_windows(settings)["minilm"].count(["warm up"])
    embedder.embed_documents(["warm up"])
    started, worked = time.perf_counter(), time.process_time()
    corpus, _ = add_documents(settings, [folder], quiet=True)
    embedded = embed(settings, corpus, quiet=True)
    return {
        "seconds": time.perf_counter() - started,
        "processor": time.process_time() - worked,
        "passages": embedded,
        "texts": [passage.page_content for passage in corpus.passages] if len(corpus.passages) < 5000 else [],
    }


def encode_all(texts: list[str], dtype: str) -> dict[str, float]:
    """Seconds and processor seconds of one ``encode`` of all texts."""
    import torch
    from sentence_transformers import SentenceTransformer

    from retrievers.embedders.packaged import packaged_minilm

    model = SentenceTransformer(
        str(packaged_minilm()), device="cpu", model_kwargs={"dtype": getattr(torch, dtype)}
    ).eval()
    model.encode(["warm up"])
    started, worked = time.perf_counter(), time.process_time()
    model.encode(texts, show_progress_bar=False)
    return {"encode": time.perf_counter() - started, "encode_processor": time.process_time() - worked}


def measure_time(texts: Sequence[str], dtype: str, rounds: int) -> dict[str, Any]:
    """Indexing and encoding in turns."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "pubmed")
        write_pubmed(folder, iter(texts))
        passages: list[str] = index_all(folder, Path(place, "first"), dtype)["texts"]
        for number in range(rounds):
            sides: dict[str, Any] = {}
            for side in ("index", "encode") if number % 2 == 0 else ("encode", "index"):
                store = Path(place, f"store{number}")
                sides |= encode_all(passages, dtype) if side == "encode" else index_all(folder, store, dtype)
            sides.pop("texts")
            row = {**sides, "ratio": sides["encode"] / sides["seconds"]}
            row["processor_ratio"] = sides["encode_processor"] / sides["processor"]
            rows.append(row)
            print(f"round {number + 1}: {json.dumps(row)}", file=sys.stderr)
    names = ("ratio", "processor_ratio", "seconds", "encode")
    spread = {name: bench.spread([row[name] for row in rows]) for name in names}
    return {"dtype": dtype, "passages": len(passages), **spread, "rounds": rows}


def measure_memory(texts: Sequence[str], sizes: Sequence[int], dtype: str) -> dict[str, Any]:
    """Time and peak memory in MB of processes that index, by the number of documents."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        for size in sizes:
            folder, store = Path(place, f"pubmed{size}"), Path(place, f"store{size}")
            write_pubmed(folder, numbered(texts, size))
            found[str(size)] = bench.child("--child", str(folder), str(store), dtype)
            print(f"{size} documents: {json.dumps(found[str(size)])}", file=sys.stderr)
    return found


def main() -> None:
    """Measure, print the figures and write them."""
    if sys.argv[1:2] == ["--child"]:  # the process whose memory is measured
        folder, store, dtype = sys.argv[2:5]
        report = index_all(Path(folder), Path(store), dtype)
        print(json.dumps({**report, "texts": [], "peak_mb": bench.peak_mb()}))
        return
    parser = bench.parser(__doc__)
    parser.add_argument("--data", type=Path, help="a PubMedQA json file; else the sample")
    parser.add_argument("--limit", type=int, default=500, help="number of abstracts of the timed runs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--documents", type=int, nargs="*", default=[2000, 20_000], help="sizes; none: no memory")
    options = parser.parse_args()
    from corpus.pubmedqa import read_records
    from corpus.sample import sample_path

    texts = [record.context for record in read_records(options.data or sample_path("ori_pqal"))]
    report: dict[str, Any] = {}
    if options.rounds:
        report["time"] = found = measure_time(texts[: options.limit], options.dtype, options.rounds)
        print(f"rate of indexing over bare encode's: {bench.shown(found['ratio'])}")
        print(f"by processor time {bench.shown(found['processor_ratio'])}")
    if options.documents:
        report["memory"] = measure_memory(texts, options.documents, options.dtype)
        print(", ".join(f"{size} documents {one['peak_mb']:.0f} MB" for size, one in report["memory"].items()))
    bench.write_report(options.output, report)


if __name__ == "__main__":
    bench.run(main)
