"""Time and memory of a first question: a process that starts, opens a library that is indexed, and answers.

    python benchmarks/startup.py --output startup.json

Each measurement is a process of its own, ``medground ask`` or ``medground retrieve``, several times; the medians of its
processor time, its time by the clock and its peak memory are reported. Two things are measured:

- Engines: a small library under the packaged MiniLM, with the retrievers dense, bm25 and hybrid. The target is 3 s.
- Sizes: ``retrieve`` over ``--sizes`` passages of made words, with dense, bm25 and hybrid. MiniLM would take hours to
  embed the larger library, so the vectors are of the class ``Hashed`` below (``model: startup.Hashed``), which adds up
  one fixed direction a word, 384 numbers as MiniLM's. Chroma and BM25 have the same work as under MiniLM. The target
  is 1.5 times the time and memory of the smallest size.

``--folder`` keeps the libraries, and a second run uses them again.
"""

import argparse
import hashlib
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import Any

# Python puts this file's folder first, where benchmarks/finetune.py would be taken for the package of its name.
HERE = Path(__file__).resolve().parent
sys.path[:] = [place for place in sys.path if Path(place).resolve() != HERE]

import numpy as np  # noqa: E402
from langchain_core.embeddings import Embeddings  # noqa: E402

TARGETS = {"seconds": 3.0, "ratio": 1.5}
PACKAGES = ("chromadb", "onnxruntime", "bm25s", "langchain-core")
RETRIEVERS = ("dense", "bm25", "both")
QUESTION = "Does aspirin lower the risk of stroke in adults with atrial fibrillation?"
SETTINGS = """
store: {{path: store}}
embedders: {{minilm: {embedder}}}
retrievers:
  both: {{kind: hybrid, retrievers: {{dense: 0.5, bm25: 0.5}}}}
"""
TEXTS = (
    "Aspirin lowered the risk of stroke in adults with atrial fibrillation.",
    "Metformin reduces blood glucose in people with type 2 diabetes.",
    "The measles vaccine was safe in children; pain at the site was common.",
    "Statin therapy did not change mortality after surgery.",
)


class Hashed(Embeddings):
    """Adds up one fixed random direction for each word."""

    def embed_query(self, text: str) -> list[float]:
        """The vector of a question."""
        return self.embed_documents([text])[0]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """The vectors of passages."""
        sums = np.stack([np.sum([_direction(word) for word in text.lower().split()], axis=0) for text in texts])
        unit: list[list[float]] = (sums / np.linalg.norm(sums, axis=1, keepdims=True)).tolist()
        return unit


@lru_cache(100_000)
def _direction(word: str) -> Any:
    seed = int.from_bytes(hashlib.sha256(word.encode("utf-8", "replace")).digest()[:8], "big")
    return np.random.default_rng(seed).normal(size=384).astype(np.float32)


def run(folder: Path, *arguments: str) -> dict[str, float]:
    """Run ``medground ARGUMENTS``: seconds by the clock and of the processor, peak memory in MB."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    # Not -m: it would put the current folder first, and a file of the user's may have a package's name.
    command = [sys.executable, "-c", "from medground.cli import main; main()", *arguments, "--config=settings.yaml"]
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(arguments)} failed: {printed.decode()}")
    if "--json" in arguments and not json.loads(printed)["passages"]:
        sys.exit(f"{' '.join(arguments)} found nothing")
    return {
        "seconds": time.monotonic() - began,
        "processor": usage.ru_utime + usage.ru_stime,
        "memory_mb": usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
    }


def make_library(folder: Path, embedder: str, texts: Iterable[str]) -> None:
    """Index the texts, unless the folder is indexed already; they are never all in memory.

    On Linux a process's peak memory is at least what its parent had when it began.
    """
    if (done := folder / "indexed").exists():
        return
    (docs := folder / "docs").mkdir(parents=True, exist_ok=True)
    (folder / "settings.yaml").write_text(SETTINGS.format(embedder=embedder))
    (folder / "startup.py").write_text(Path(__file__).read_text())
    with (docs / "texts.jsonl").open("w") as file:
        file.writelines(json.dumps({"id": str(number), "text": text}) + "\n" for number, text in enumerate(texts))
    spent = run(folder, "index", "docs", "--quiet", "--set=retriever=both")
    print(f"indexed {folder.name} in {spent['processor']:.0f} s of processor time", file=sys.stderr)
    done.touch()


def made_texts(count: int) -> Iterator[str]:
    """Passages of 60 words, of which few are frequent and most rare, as in a language."""
    chosen = random.Random(1)
    words = ["".join(chosen.choices("abcdefghiklmnoprstu", k=chosen.randint(3, 10))) for _ in range(50_000)]
    frequency = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))
    yield from TEXTS
    for _ in range(count - len(TEXTS)):
        yield " ".join(chosen.choices(words, cum_weights=frequency, k=60)) + "."


def medians(runs: int, folder: Path, command: str, retriever: str) -> dict[str, float]:
    """The medians of several runs; one more, which is not counted, warms the system's cache of files."""
    arguments = (command, QUESTION, "--json", f"--set=retriever={retriever}")
    run(folder, *arguments)
    found = [run(folder, *arguments) for _ in range(runs)]
    return {name: round(statistics.median(one[name] for one in found), 3) for name in found[0]}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 100_000], help="passages of each library")
    parser.add_argument("--runs", type=int, default=5, help="processes whose median is reported")
    parser.add_argument("--folder", type=Path, help="where the libraries are made and kept")
    parser.add_argument("--output", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (chosen.folder or Path(temporary)).resolve()
        make_library(folder / "minilm", "{dtype: float32}", TEXTS)
        for size in chosen.sizes:
            make_library(folder / str(size), "{model: startup.Hashed}", made_texts(size))
        results: dict[str, Any] = {"engines": {}, "sizes": {str(size): {} for size in chosen.sizes}}
        for name in RETRIEVERS:
            for command in ("ask", "retrieve"):
                found = medians(chosen.runs, folder / "minilm", command, name)
                results["engines"][f"{command} {name}"] = found
                print(f"{command:8} {name:6} {_shown(found)}")
            for size in chosen.sizes:
                found = medians(chosen.runs, folder / str(size), "retrieve", name)
                results["sizes"][str(size)][name] = found
                print(f"retrieve {name:6} over {size:,} passages {_shown(found)}")
    first, last = (results["sizes"][str(size)] for size in (chosen.sizes[0], chosen.sizes[-1]))
    results["ratios"] = {
        name: {what: round(last[name][what] / first[name][what], 2) for what in last[name]} for name in last
    }
    for name, ratios in results["ratios"].items():
        print(f"{name:6} {chosen.sizes[-1]:,} to {chosen.sizes[0]:,} passages: {ratios}")
    slow = max(found["seconds"] for found in results["engines"].values()) > TARGETS["seconds"]
    grows = any(ratios[what] > TARGETS["ratio"] for ratios in results["ratios"].values() for what in ratios)
    results["targets"] = {**TARGETS, "met": not slow and not grows}
    results["machine"] = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }
    print(f"targets {'met' if results['targets']['met'] else 'missed'}: {TARGETS}")
    if chosen.output is not None:
        chosen.output.write_text(json.dumps(results, indent=2) + "\n")


def _shown(found: dict[str, float]) -> str:
    return f"{found['seconds']:.2f} s, {found['processor']:.2f} s of processor time, {found['memory_mb']:.0f} MB"


if __name__ == "__main__":
    main()
