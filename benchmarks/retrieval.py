"""Speed of indexing and search: this project and the tutorial's way, in one run.

    python benchmarks/retrieval.py --data PATH/ori_pqal.json --output retrieval.json

Three sides store all abstracts and ask all questions, with the same packaged all-MiniLM-L6-v2, on the CPU, with the
same number of threads, in turns, for several rounds; each round has a fresh folder for each side:

- tutorial: Chroma's ``add`` with its own sentence-transformers function (float32), then one ``query`` at a time;
- medground: the default dense retriever (``dtype: auto``), one ``search`` for all questions;
- medground-float32: the same with ``dtype: float32``.

Loading the model and reading the data are not timed. A ratio is the median over rounds of one round's ratio, with its
least and greatest. With the same type on both sides the vectors are equal, so accuracy@1 differs only by Chroma's
approximate search.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import bench
import torch

from corpus.pubmedqa import read_records
from corpus.records import QARecord, documents
from retrievers.config import StoreConfig
from retrievers.embedders.packaged import packaged_minilm
from retrievers.embedders.sentence import SentenceEmbedder
from retrievers.indexing import index
from retrievers.kinds.dense import DenseRetriever
from retrievers.store import open_store

PHASES = ("index", "search")


@dataclass(frozen=True)
class Timing:
    """One side in one round: seconds to index and to search, and accuracy@1."""

    index: float
    search: float
    accuracy: float


Side = Callable[[Sequence[QARecord], Path], Timing]


def tutorial_side() -> tuple[str, Side]:
    """Chroma's client, as in the tutorial."""
    import chromadb
    from chromadb.config import Settings
    from chromadb.utils.embedding_functions import SentenceTransformerEmbeddingFunction

    function: Any = SentenceTransformerEmbeddingFunction(model_name=str(packaged_minilm()), device="cpu")
    function(["warm up"])

    def run(records: Sequence[QARecord], folder: Path) -> Timing:
        client = chromadb.PersistentClient(str(folder), settings=Settings())
        started = time.perf_counter()
        collection = client.create_collection(
            "pubmedqa", embedding_function=function, metadata={"hnsw:space": "cosine"}
        )
        collection.add(ids=[record.id for record in records], documents=[record.context for record in records])
        stored = time.perf_counter()
        found = [collection.query(query_texts=record.question, n_results=1)["ids"][0] for record in records]
        ended = time.perf_counter()
        return Timing(stored - started, ended - stored, _accuracy(records, [ids[0] for ids in found]))

    return str(function._model.dtype), run


def medground_side(embedder: SentenceEmbedder) -> tuple[str, Side]:
    """This project's store and dense retriever."""
    embedder.embed_documents(["warm up"])

    def run(records: Sequence[QARecord], folder: Path) -> Timing:
        passages = documents(records)
        questions = [record.question for record in records]
        started = time.perf_counter()
        store = open_store(StoreConfig(path=str(folder)), "pubmedqa", embedder)
        index(store, passages, quiet=True)
        stored = time.perf_counter()
        found = DenseRetriever(store).search(questions, 1)
        ended = time.perf_counter()
        return Timing(stored - started, ended - stored, _accuracy(records, [best[0].id for best in found]))

    return str(embedder.model.dtype), run


def measure(sides: dict[str, tuple[str, Side]], records: Sequence[QARecord], rounds: int) -> dict[str, list[Timing]]:
    """All sides in turns; each round starts with another side."""
    timings: dict[str, list[Timing]] = {name: [] for name in sides}
    names = list(sides)
    for round in range(rounds):
        for name in names[round % len(names) :] + names[: round % len(names)]:
            with tempfile.TemporaryDirectory() as folder:
                timing = sides[name][1](records, Path(folder))
            timings[name].append(timing)
            print(
                f"round {round + 1} {name}: index {timing.index:.1f} s, search {timing.search:.2f} s", file=sys.stderr
            )
    return timings


def summarise(timings: dict[str, list[Timing]], dtypes: dict[str, str], n: int) -> dict[str, Any]:
    """Rates, accuracy and ratios to the tutorial's way."""
    summary: dict[str, Any] = {}
    for name, own in timings.items():
        row: dict[str, Any] = {"dtype": dtypes[name], "accuracy@1": [timing.accuracy for timing in own]}
        for phase in PHASES:
            seconds = [getattr(timing, phase) for timing in own]
            peer = [getattr(timing, phase) for timing in timings["tutorial"]]
            row[phase] = {
                "per_second": bench.spread([n / each for each in seconds]),
                "ratio": bench.ratios(peer, seconds),
            }
        summary[name] = {**row, "rounds": [asdict(timing) for timing in own]}
    return summary


def table(summary: dict[str, Any]) -> str:
    """The summary for the terminal."""
    lines = [f"{'':20}{'dtype':16}{'abstracts/s':>12}{'ratio':>22}{'questions/s':>13}{'ratio':>22}{'accuracy@1':>12}"]
    for name, row in summary.items():
        cells = f"{name:20}{row['dtype']:16}"
        for phase, width in (("index", 12), ("search", 13)):
            cells += f"{row[phase]['per_second']['median']:>{width}.1f}{bench.shown(row[phase]['ratio']):>22}"
        lines.append(cells + f"{min(row['accuracy@1']):>12.3f}")
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table and write the figures."""
    parser = bench.parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a PubMedQA json file")
    parser.add_argument("--limit", type=int, help="maximum number of records")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    records = list(read_records(options.data))[: options.limit]
    folder = str(packaged_minilm())
    sides = {
        "tutorial": tutorial_side(),
        "medground": medground_side(SentenceEmbedder(folder, device="cpu")),
        "medground-float32": medground_side(SentenceEmbedder(folder, device="cpu", dtype="float32")),
    }
    timings = measure(sides, records, options.rounds)
    summary = summarise(timings, {name: dtype for name, (dtype, _) in sides.items()}, len(records))
    print(table(summary))
    bench.write_report(options.output, {"n": len(records), "sides": summary})


def _accuracy(records: Sequence[QARecord], best: Sequence[str | None]) -> float:
    return sum(record.id == id for record, id in zip(records, best, strict=True)) / len(records)


if __name__ == "__main__":
    bench.run(main)
