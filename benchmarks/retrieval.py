"""How fast passages are stored and found: this project and the tutorial's way, in one run.

    python benchmarks/retrieval.py --data PATH/ori_pqal.json --output retrieval.json

Three sides store all abstracts and ask all questions, with the same packaged all-MiniLM-L6-v2, on the CPU, with the
same number of threads, in turns, for several rounds; each round has a fresh folder for each side:

- tutorial: Chroma's ``add`` with its own sentence-transformers function (float32), then one ``query`` at a time;
- medground: the retriever as a user gets it (``dtype: auto``), one ``search`` for all questions;
- medground-float32: the same with ``dtype: float32``, to show what the type alone brings.

Loading the model and reading the data are not timed on any side. A ratio is the median over rounds of one round's
ratio, with its least and greatest. With one type on both sides the vectors are the same, so accuracy@1 may differ only
by how the graph is searched. Beside the ratios stands the greatest that any float32 program could reach over the
tutorial's way in this run: it would multiply at the processor's full rate and do nothing else (``benchmarks.bound``).
"""

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

# Python puts this file's folder first, where finetune.py would be taken for the package of its name.
_folder = Path(__file__).resolve().parent
sys.path[:] = [str(_folder.parent), *(place for place in sys.path if Path(place).resolve() != _folder)]

from medground.environment import prepare  # noqa: E402

prepare()

import torch  # noqa: E402  (telemetry is off before the libraries are imported)

from benchmarks.bound import encoder_operations, product_rate  # noqa: E402
from common.errors import UserError  # noqa: E402
from corpus.pubmedqa import read_records  # noqa: E402
from corpus.records import QARecord, documents  # noqa: E402
from retrievers.config import StoreConfig  # noqa: E402
from retrievers.embedders.packaged import packaged_minilm  # noqa: E402
from retrievers.embedders.sentence import SentenceEmbedder  # noqa: E402
from retrievers.indexing import index  # noqa: E402
from retrievers.kinds.dense import DenseRetriever  # noqa: E402
from retrievers.store import open_store  # noqa: E402

TARGETS = {"index": 2.5, "search": 6.0}  # times the tutorial's way
PACKAGES = ("torch", "sentence-transformers", "transformers", "chromadb", "langchain-chroma")


@dataclass(frozen=True)
class Timing:
    """One side in one round: seconds to store and to ask, and the share of questions answered by their abstract."""

    index: float
    search: float
    accuracy: float


Side = Callable[[Sequence[QARecord], Path], Timing]


def tutorial_side() -> tuple[str, Side]:
    """Chroma by hand, as the tutorial does it."""
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
    """All sides in turns, each round beginning with another one."""
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
    """Rates, accuracy and ratios to the tutorial's way, with medians, least and greatest."""
    summary: dict[str, Any] = {}
    peer = timings["tutorial"]
    for name, own in timings.items():
        row: dict[str, Any] = {"dtype": dtypes[name], "accuracy@1": [timing.accuracy for timing in own]}
        for phase in TARGETS:
            seconds = [getattr(timing, phase) for timing in own]
            ratios = [getattr(other, phase) / mine for other, mine in zip(peer, seconds, strict=True)]
            row[phase] = {"per_second": _spread([n / each for each in seconds]), "ratio": _spread(ratios)}
        row["rounds"] = [asdict(timing) for timing in own]
        summary[name] = row
    return summary


def bounds(embedder: SentenceEmbedder, records: Sequence[QARecord], peer: Sequence[Timing]) -> dict[str, float]:
    """The greatest ratio to the tutorial's way that float32 leaves room for, by phase."""
    model: Any = embedder.model
    config, rate = model[0].auto_model.config, product_rate()
    texts = {"index": [record.context for record in records], "search": [record.question for record in records]}
    found = {}
    for phase, read in texts.items():
        tokens = model.tokenizer(read, truncation=True, max_length=model.max_seq_length)["input_ids"]
        operations = encoder_operations(
            [len(ids) for ids in tokens],
            width=config.hidden_size,
            feed_forward=config.intermediate_size,
            layers=config.num_hidden_layers,
        )
        found[phase] = statistics.median(getattr(timing, phase) for timing in peer) * rate / operations
    return found


def table(summary: dict[str, Any]) -> str:
    """The summary for a reader."""
    lines = [f"{'':20}{'dtype':16}{'abstracts/s':>12}{'ratio':>20}{'questions/s':>13}{'ratio':>20}{'accuracy@1':>12}"]
    for name, row in summary.items():
        cells = f"{name:20}{row['dtype']:16}"
        for phase, width in (("index", 12), ("search", 13)):
            ratio = row[phase]["ratio"]
            said = f"{ratio['median']:.2f} ({ratio['min']:.2f}-{ratio['max']:.2f})"
            cells += f"{row[phase]['per_second']['median']:>{width}.1f}{said:>20}"
        lines.append(cells + f"{min(row['accuracy@1']):>12.3f}")
    return "\n".join(lines)


def verdict(summary: dict[str, Any]) -> dict[str, bool]:
    """Which of the targets medground meets."""
    own, peer = summary["medground"], summary["tutorial"]
    met = {phase: own[phase]["ratio"]["median"] >= target for phase, target in TARGETS.items()}
    return {**met, "accuracy": min(own["accuracy@1"]) >= max(peer["accuracy@1"])}


def main() -> None:
    """Measure, print the table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a PubMedQA json file")
    parser.add_argument("--limit", type=int, help="only the first so many records")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--output", type=Path, help="where the figures go, as JSON")
    options = parser.parse_args()
    if options.rounds < 1 or options.threads < 1 or (options.limit is not None and options.limit < 1):
        parser.error("--rounds, --threads and --limit take numbers from 1 up")
    torch.set_num_threads(options.threads)
    try:
        records = list(read_records(options.data))[: options.limit]
    except UserError as error:
        sys.exit(str(error))
    folder = str(packaged_minilm())
    embedder = SentenceEmbedder(folder, device="cpu")
    sides = {
        "tutorial": tutorial_side(),
        "medground": medground_side(embedder),
        "medground-float32": medground_side(SentenceEmbedder(folder, device="cpu", dtype="float32")),
    }
    timings = measure(sides, records, options.rounds)
    summary = summarise(timings, {name: dtype for name, (dtype, _) in sides.items()}, len(records))
    met = verdict(summary)
    most = bounds(embedder, records, timings["tutorial"])
    print(table(summary))
    print("at most possible in float32: " + ", ".join(f"{phase} {ratio:.2f}" for phase, ratio in most.items()))
    print("targets: " + ", ".join(f"{name} {'met' if done else 'missed'}" for name, done in met.items()))
    if options.output:
        report = {
            "n": len(records),
            "threads": options.threads,
            "processor": torch.cpu.get_capabilities().get("cpu_name", platform.processor()),
            "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
            "targets": TARGETS,
            "met": met,
            "bounds": most,
            "sides": summary,
        }
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _accuracy(records: Sequence[QARecord], best: Sequence[str | None]) -> float:
    return sum(record.id == id for record, id in zip(records, best, strict=True)) / len(records)


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


if __name__ == "__main__":
    main()
