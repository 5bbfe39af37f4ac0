"""What indexing a user's documents costs: time beside bare encoding, and memory by the number of documents.

    python benchmarks/indexing.py --data PATH/ori_pqal.json --output indexing.json

The abstracts are written as PubMed's own files (.xml.gz, 1,000 citations each). Two things are measured:

- Time. In turns, for several rounds: ``medground index`` as a user has it (reading, cutting, embedding and storing,
  into a fresh store) and one bare ``SentenceTransformer.encode`` of the same passages in the same type, with the
  library's own batches. A ratio is one round's rate of indexing over that of encoding; loading the model is timed on
  neither side. ``embedding`` is the part of indexing that is spent in the embedder; ``processor`` is processor time,
  which other work on the machine disturbs less.
- Memory. The peak of a process of its own that indexes ``--documents`` abstracts, made of the data's by numbering their
  sentences, each cut to ``--words`` words; and of one that builds BM25's index in memory over them.
"""

import argparse
import gzip
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import count, islice
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

# Python puts this file's folder first, where benchmarks/finetune.py would be taken for the package of its name.
sys.path[:] = [place for place in sys.path if Path(place).resolve() != Path(__file__).resolve().parent]

from medground.environment import prepare  # noqa: E402

prepare()

TARGETS = {"ratio": 0.9, "more_memory_mb": 200}
PACKAGES = ("torch", "sentence-transformers", "transformers", "chromadb", "lxml")
A_FILE = 1000


def write_pubmed(folder: Path, texts: Iterator[str]) -> None:
    """The texts as citations in files of 1,000."""
    folder.mkdir()
    pmids = count(1)
    for number in count(1):
        some = list(islice(texts, A_FILE))
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


def numbered(texts: Sequence[str], total: int, words: int) -> Iterator[str]:
    """``total`` texts of at most so many words, no two the same."""
    for n in range(total):
        yield f"Trial {n} of {total}. " + " ".join(texts[n % len(texts)].split()[:words])


def index_all(folder: Path, store: Path, dtype: str) -> dict[str, Any]:
    """``medground index folder`` in this process; seconds for all of it and in the embedder, and the passages."""
    from medground.ingest import add_documents, embed, embedder_windows
    from medground.settings import load_settings
    from retrievers.embedders import make_embedder

    settings = load_settings(None, {"embedders.minilm.dtype": dtype, "store.path": str(store)})
    embedder: Any = make_embedder(settings.embedders["minilm"])
    embedder_windows(settings)["minilm"].count(["warm up"])
    embedder.embed_documents(["warm up"])
    inside = 0.0
    whole = type(embedder).embed_documents

    def timed(self: Any, texts: list[str]) -> list[list[float]]:
        nonlocal inside
        started = time.perf_counter()
        vectors: list[list[float]] = whole(self, texts)
        inside += time.perf_counter() - started
        return vectors

    type(embedder).embed_documents = timed
    try:
        started, worked = time.perf_counter(), time.process_time()
        corpus, _ = add_documents(settings, [folder], quiet=True)
        read = time.perf_counter() - started
        embedded = embed(settings, corpus, quiet=True)
        seconds, processor = time.perf_counter() - started, time.process_time() - worked
    finally:
        type(embedder).embed_documents = whole
    return {
        "seconds": seconds,
        "processor": processor,
        "reading": read,
        "embedding": inside,
        "passages": embedded,
        "texts": [passage.page_content for passage in corpus.passages] if len(corpus.passages) < 5000 else [],
    }


def encode_all(texts: list[str], dtype: str) -> dict[str, float]:
    """Seconds, and processor seconds, for one ``encode`` of all the texts."""
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
            row["embedding_ratio"] = sides["encode"] / sides["embedding"]
            row["processor_ratio"] = sides["encode_processor"] / sides["processor"]
            rows.append(row)
            print(f"round {number + 1}: {json.dumps(row)}", file=sys.stderr)
    spread = {
        name: {"median": statistics.median(values), "min": min(values), "max": max(values)}
        for name in ("ratio", "embedding_ratio", "processor_ratio", "seconds", "reading", "embedding", "encode")
        for values in [[row[name] for row in rows]]
    }
    return {"dtype": dtype, "passages": len(passages), **spread, "rounds": rows}


def measure_memory(texts: Sequence[str], sizes: Sequence[int], words: int, dtype: str) -> dict[str, Any]:
    """Peak memory in MB of processes that index, and that build BM25, by the number of documents."""
    found: dict[str, Any] = {"words": words}
    with tempfile.TemporaryDirectory() as place:
        for size in sizes:
            folder, store = Path(place, f"pubmed{size}"), Path(place, f"store{size}")
            write_pubmed(folder, numbered(texts, size, words))
            row = {}
            for what in ("index", "bm25"):
                command = [sys.executable, __file__, "--child", what, str(folder), str(store), dtype]
                outcome = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                row[what] = json.loads(outcome.stdout.splitlines()[-1])
            found[str(size)] = row
            print(f"{size} documents: {json.dumps(row)}", file=sys.stderr)
    return found


def child(what: str, folder: str, store: str, dtype: str) -> None:
    """The process whose memory is measured."""
    if what == "index":
        report = index_all(Path(folder), Path(store), dtype)
        report.pop("texts")
    else:
        from medground.ingest import searched_corpus
        from medground.settings import load_settings
        from retrievers.kinds.bm25 import BM25Retriever

        settings = load_settings(None, {"store.path": store})
        started = time.perf_counter()
        corpus = searched_corpus(settings)
        BM25Retriever(corpus.passages).search(["Does it lower blood pressure?"], 5)
        report = {"seconds": time.perf_counter() - started, "passages": len(corpus.passages)}
    print(json.dumps({**report, "peak_mb": peak_mb()}))


def peak_mb() -> float:
    """The most memory that this process has held."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says there may be the memory of the process that started this one
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def main() -> None:
    """Measure, print the figures and write them."""
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:6])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a PubMedQA json file; else the sample")
    parser.add_argument("--limit", type=int, default=500, help="abstracts whose indexing is timed")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--documents", type=int, nargs="*", default=[2000, 20_000], help="sizes; none: no memory")
    parser.add_argument("--words", type=int, default=250, help="words of an abstract whose memory is measured")
    parser.add_argument("--output", type=Path, help="where the figures go, as JSON")
    options = parser.parse_args()
    from common.errors import UserError
    from corpus.pubmedqa import read_records
    from corpus.sample import sample_path

    try:
        texts = [record.context for record in read_records(options.data or sample_path("ori_pqal"))]
    except UserError as error:
        sys.exit(str(error))
    report: dict[str, Any] = {"targets": TARGETS, "processor": platform.processor()}
    report["versions"] = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    if options.rounds:
        report["time"] = measure_time(texts[: options.limit], options.dtype, options.rounds)
        ratios = [report["time"][name]["median"] for name in ("ratio", "processor_ratio", "embedding_ratio")]
        whole, processor, embedding = ratios
        print(f"indexing at {whole:.2f} of bare encode's rate ({processor:.2f} by processor time)")
        print(f"its embedding alone at {embedding:.2f}")
    if options.documents:
        memory = measure_memory(texts, options.documents, options.words, options.dtype)
        report["memory"] = memory
        for what in ("index", "bm25"):
            peaks = {size: memory[str(size)][what]["peak_mb"] for size in options.documents}
            print(f"{what}: " + ", ".join(f"{size} documents {peak:.0f} MB" for size, peak in peaks.items()))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
