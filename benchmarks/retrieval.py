"""Speed of indexing and search, compared with Chroma as a common tutorial uses it ("tutorial").

    python benchmarks/retrieval.py --data PATH/ori_pqal.json --output retrieval.json

Three systems index all abstracts and search for all questions, with the same packaged all-MiniLM-L6-v2 on the CPU and
the same number of threads. They take turns for several rounds, each time with a new folder:

- tutorial: Chroma's ``add`` with its sentence-transformers function (float32), then one ``query`` for each question;
- medground: the default dense retriever (``dtype: auto``), one ``search`` for all questions;
- medground-float32: the same with ``dtype: float32``.

Loading the model and reading the data are not timed. A ratio is the median of the rounds' ratios, with their minimum
and maximum. With the same dtype the vectors are equal, so accuracy@1 differs only by Chroma's approximate search.
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
    """Seconds of a system in one round to index and to search, and its accuracy@1."""

    index: float
    search: float
    accuracy: float


@dataclass(frozen=True)
class System:
    """A system to measure: the dtype of its embedder, and a function that indexes in a folder and searches."""

    dtype: str
    run: Callable[[Sequence[QARecord], Path], Timing]


def tutorial_system() -> System:
    """Chroma's client and embedding function."""
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
        indexed = time.perf_counter()
        results = [collection.query(query_texts=record.question, n_results=1)["ids"][0] for record in records]
        ended = time.perf_counter()
        return Timing(indexed - started, ended - indexed, _accuracy(records, [ids[0] for ids in results]))

    return System(str(function._model.dtype), run)


def medground_system(embedder: SentenceEmbedder) -> System:
    """This project's store and dense retriever."""
    embedder.embed_documents(["warm up"])

    def run(records: Sequence[QARecord], folder: Path) -> Timing:
        passages = documents(records)
        questions = [record.question for record in records]
        started = time.perf_counter()
        store = open_store(StoreConfig(path=str(folder)), "pubmedqa", embedder)
        index(store, passages, quiet=True)
        indexed = time.perf_counter()
        results = DenseRetriever(store).search(questions, 1)
        ended = time.perf_counter()
        return Timing(indexed - started, ended - indexed, _accuracy(records, [best.id for (best,) in results]))

    return System(str(embedder.model.dtype), run)


def measure(systems: dict[str, System], records: Sequence[QARecord], rounds: int) -> dict[str, list[Timing]]:
    """The timings of each system; each round starts with another system."""
    timings: dict[str, list[Timing]] = {name: [] for name in systems}
    names = list(systems)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            with tempfile.TemporaryDirectory() as folder:
                timing = systems[name].run(records, Path(folder))
            timings[name].append(timing)
            print(
                f"round {number + 1} {name}: index {timing.index:.1f} s, search {timing.search:.2f} s", file=sys.stderr
            )
    return timings


def summarise(systems: dict[str, System], timings: dict[str, list[Timing]], n: int) -> dict[str, Any]:
    """Rates for ``n`` records, accuracy, and ratios of the rates to the tutorial's."""
    summary: dict[str, Any] = {}
    for name, rounds in timings.items():
        row: dict[str, Any] = {"dtype": systems[name].dtype, "accuracy@1": [timing.accuracy for timing in rounds]}
        for phase in PHASES:
            seconds = [getattr(timing, phase) for timing in rounds]
            tutorial_seconds = [getattr(timing, phase) for timing in timings["tutorial"]]
            row[phase] = {
                "per_second": bench.spread([n / each for each in seconds]),
                "ratio": bench.ratio_spread(tutorial_seconds, seconds),
            }
        summary[name] = {**row, "rounds": [asdict(timing) for timing in rounds]}
    return summary


def format_table(summary: dict[str, Any]) -> str:
    """The summary as text."""
    lines = [f"{'':20}{'dtype':16}{'abstracts/s':>12}{'ratio':>22}{'questions/s':>13}{'ratio':>22}{'accuracy@1':>12}"]
    for name, row in summary.items():
        cells = f"{name:20}{row['dtype']:16}"
        for phase, width in (("index", 12), ("search", 13)):
            cells += f"{row[phase]['per_second']['median']:>{width}.1f}{bench.format_spread(row[phase]['ratio']):>22}"
        lines.append(cells + f"{min(row['accuracy@1']):>12.3f}")
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write the figures."""
    parser = bench.make_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a PubMedQA json file")
    parser.add_argument("--limit", type=int, help="maximum number of records")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    records = list(read_records(options.data))[: options.limit]
    folder = str(packaged_minilm())
    systems = {
        "tutorial": tutorial_system(),
        "medground": medground_system(SentenceEmbedder(folder, device="cpu")),
        "medground-float32": medground_system(SentenceEmbedder(folder, device="cpu", dtype="float32")),
    }
    timings = measure(systems, records, options.rounds)
    summary = summarise(systems, timings, len(records))
    print(format_table(summary))
    bench.write_report(options.output, {"n": len(records), "sides": summary})


def _accuracy(records: Sequence[QARecord], first_ids: Sequence[str | None]) -> float:
    return sum(record.id == id for record, id in zip(records, first_ids, strict=True)) / len(records)


if __name__ == "__main__":
    bench.run(main)
