"""Time of indexing compared with encoding alone, and memory by the number of documents.

    python benchmarks/indexing.py --data PATH/ori_pqal.json --output indexing.json

The abstracts are written in PubMed's format (.xml.gz files with 1,000 citations each).

- Time: ``medground index`` (reading, splitting, embedding and storing in a new store) alternates for several rounds
  with ``SentenceTransformer.encode`` of the same passages with the same dtype. A ratio is a round's rate of indexing
  over its rate of encoding; loading the model is not timed. Processor time is more stable on a busy machine.
- Memory: the peak of a process that indexes ``--documents`` abstracts, which are the data's abstracts, repeated with
  numbers and cut to 250 words.
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

CITATIONS = 1000  # in a file
WORDS = 250  # of an abstract in the measurement of memory


def write_pubmed(folder: Path, texts: Iterator[str]) -> None:
    """Write the texts as the abstracts of citations."""
    folder.mkdir()
    pmids = count(1)
    for number in count(1):
        abstracts = list(islice(texts, CITATIONS))
        if not abstracts:
            return
        citations = "".join(
            f"<PubmedArticle><MedlineCitation><PMID>{next(pmids)}</PMID><Article><Journal><JournalIssue><PubDate>"
            "<Year>2020</Year></PubDate></JournalIssue><Title>A journal</Title></Journal><ArticleTitle>A trial"
            f"</ArticleTitle><Abstract><AbstractText>{escape(text)}</AbstractText></Abstract></Article>"
            "<MeshHeadingList><MeshHeading><DescriptorName>Adult</DescriptorName></MeshHeading></MeshHeadingList>"
            "</MedlineCitation></PubmedArticle>"
            for text in abstracts
        )
        xml = f"<?xml version='1.0'?><PubmedArticleSet>{citations}</PubmedArticleSet>"
        (folder / f"pubmed25n{number:04}.xml.gz").write_bytes(gzip.compress(xml.encode()))


def repeated(texts: Sequence[str], total: int) -> Iterator[str]:
    """``total`` different texts of about ``WORDS`` words."""
    for n in range(total):
        yield f"Trial {n} of {total}. " + " ".join(texts[n % len(texts)].split()[:WORDS])


def index_all(folder: Path, store: Path, dtype: str) -> dict[str, Any]:
    """Index as ``medground index`` does; returns seconds, processor seconds, and the number and texts of the passages.

    The texts are left out if there are 5,000 or more.
    """
    from medground.ingest import add_documents, embed, embedder_windows
    from medground.settings import load_settings
    from retrievers.embedders import make_embedder

    settings = load_settings(None, {"embedders.minilm.dtype": dtype, "store.path": str(store)})
    embedder: Any = make_embedder(settings.embedders["minilm"])
    embedder_windows(settings)["minilm"].count(["warm up"])
    embedder.embed_documents(["warm up"])
    started, processor_started = time.perf_counter(), time.process_time()
    corpus, _ = add_documents(settings, [folder], quiet=True)
    embedded = embed(settings, corpus, quiet=True)
    return {
        "seconds": time.perf_counter() - started,
        "processor": time.process_time() - processor_started,
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
    started, processor_started = time.perf_counter(), time.process_time()
    model.encode(texts, show_progress_bar=False)
    return {"encode": time.perf_counter() - started, "encode_processor": time.process_time() - processor_started}


def measure_time(texts: Sequence[str], dtype: str, rounds: int) -> dict[str, Any]:
    """Time of indexing and of encoding, alternately."""
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "pubmed")
        write_pubmed(folder, iter(texts))
        passages: list[str] = index_all(folder, Path(temporary, "first"), dtype)["texts"]
        for number in range(rounds):
            row: dict[str, Any] = {}
            for job in ("index", "encode") if number % 2 == 0 else ("encode", "index"):
                store = Path(temporary, f"store{number}")
                row |= encode_all(passages, dtype) if job == "encode" else index_all(folder, store, dtype)
            row.pop("texts")
            row["ratio"] = row["encode"] / row["seconds"]
            row["processor_ratio"] = row["encode_processor"] / row["processor"]
            rows.append(row)
            print(f"round {number + 1}: {json.dumps(row)}", file=sys.stderr)
    names = ("ratio", "processor_ratio", "seconds", "encode")
    spread = {name: bench.spread([row[name] for row in rows]) for name in names}
    return {"dtype": dtype, "passages": len(passages), **spread, "rounds": rows}


def measure_memory(texts: Sequence[str], sizes: Sequence[int], dtype: str) -> dict[str, Any]:
    """Time and peak memory in MiB of processes that index, by the number of documents."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for size in sizes:
            folder, store = Path(temporary, f"pubmed{size}"), Path(temporary, f"store{size}")
            write_pubmed(folder, repeated(texts, size))
            figures[str(size)] = bench.run_in_child("--child", str(folder), str(store), dtype)
            print(f"{size} documents: {json.dumps(figures[str(size)])}", file=sys.stderr)
    return figures


def main() -> None:
    """Measure, print and write the figures."""
    if sys.argv[1:2] == ["--child"]:  # the process whose memory is measured
        folder, store, dtype = sys.argv[2:5]
        indexed = index_all(Path(folder), Path(store), dtype)
        print(json.dumps({**indexed, "texts": [], "peak_mb": bench.peak_mib()}))
        return
    parser = bench.make_parser(__doc__)
    parser.add_argument("--data", type=Path, help="a PubMedQA json file; else the sample")
    parser.add_argument("--limit", type=int, default=500, help="number of abstracts of the timed runs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument(
        "--documents", type=int, nargs="*", default=[2000, 20_000], help="numbers of documents; none: no memory figures"
    )
    options = parser.parse_args()
    from corpus.pubmedqa import read_records
    from corpus.sample import sample_path

    texts = [record.context for record in read_records(options.data or sample_path("ori_pqal"))]
    report: dict[str, Any] = {}
    if options.rounds:
        report["time"] = figures = measure_time(texts[: options.limit], options.dtype, options.rounds)
        print(f"rate of indexing over rate of encoding: {bench.format_spread(figures['ratio'])}")
        print(f"by processor time {bench.format_spread(figures['processor_ratio'])}")
    if options.documents:
        report["memory"] = measure_memory(texts, options.documents, options.dtype)
        print(", ".join(f"{size} documents {each['peak_mb']:.0f} MiB" for size, each in report["memory"].items()))
    bench.write_report(options.output, report)


if __name__ == "__main__":
    bench.run(main)
