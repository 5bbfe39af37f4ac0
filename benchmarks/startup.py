"""Time and memory of ``medground ask`` and ``medground retrieve``, each in a new process over an indexed library.

    python benchmarks/startup.py --output startup.json

Each measurement runs the command several times and reports the medians of processor time, wall clock time, peak memory
and, on Linux, anonymous memory at the end. Peak memory includes memory-mapped files, whose pages the system can drop at
any time; anonymous memory must fit into RAM.

- "engines" in the results: ``ask`` and ``retrieve`` over four passages, embedded with the packaged MiniLM.
- "sizes": ``retrieve`` over ``--sizes`` passages of random words. MiniLM would take hours to embed the larger library,
  so the vectors are random, with 384 numbers, as MiniLM's have.

Both are measured with the retrievers dense, bm25 and their hybrid ("both"). ``--folder`` keeps the libraries for
further runs.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import bench

RANDOM_VECTORS = "{model: langchain_core.embeddings.DeterministicFakeEmbedding, size: 384}"
RETRIEVERS = ("dense", "bm25", "both")
# Runs medground and, on Linux, writes its anonymous memory in KiB to the file "anonymous".
PROGRAM = """
import sys
from medground.cli import main
try:
    main()
finally:
    if sys.platform == "linux":
        lines = open("/proc/self/status").read().splitlines()
        open("anonymous", "w").write(next(line.split()[1] for line in lines if line.startswith("RssAnon:")))
"""
QUESTION = "Does aspirin lower the risk of stroke in adults with atrial fibrillation?"
# In libraries of random texts, ``minilm``, the embedder of the retriever dense, gives random vectors.
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


def run(folder: Path, *arguments: str) -> dict[str, float]:
    """Run ``medground ARGUMENTS`` and return wall clock and processor seconds, peak and anonymous memory in MiB."""
    command = [sys.executable, "-c", PROGRAM, *arguments, "--config=settings.yaml"]
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(arguments)} failed: {printed.decode()}")
    if "--json" in arguments and not json.loads(printed)["passages"]:
        sys.exit(f"{' '.join(arguments)} found nothing")
    figures = {
        "seconds": time.monotonic() - started,
        "processor": usage.ru_utime + usage.ru_stime,
        "memory_mb": bench.max_rss_mib(usage),
    }
    if sys.platform == "linux":
        figures["anonymous_mb"] = int((folder / "anonymous").read_text()) / 2**10
    return figures


def make_library(folder: Path, embedder: str, texts: Iterable[str]) -> None:
    """Index the texts, unless the folder is indexed already.

    The texts are generated one at a time: on Linux, the peak memory of a new process is at least its parent's memory.
    """
    if (indexed := folder / "indexed").exists():
        return
    (docs := folder / "docs").mkdir(parents=True, exist_ok=True)
    (folder / "settings.yaml").write_text(SETTINGS.format(embedder=embedder))
    with (docs / "texts.jsonl").open("w") as file:
        file.writelines(json.dumps({"id": str(number), "text": text}) + "\n" for number, text in enumerate(texts))
    figures = run(folder, "index", "docs", "--quiet", "--set=retriever=both")
    print(f"indexed {folder.name} in {figures['processor']:.0f} s of processor time", file=sys.stderr)
    indexed.touch()


def random_texts(count: int) -> Iterator[str]:
    """``TEXTS`` and passages of 60 random words, whose frequencies follow Zipf's law."""
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghiklmnoprstu", k=rng.randint(3, 10))) for _ in range(50_000)]
    cumulative_weights = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))
    yield from TEXTS
    for _ in range(count - len(TEXTS)):
        yield " ".join(rng.choices(words, cum_weights=cumulative_weights, k=60)) + "."


def medians(runs: int, folder: Path, command: str, retriever: str) -> dict[str, float]:
    """The medians of the figures of ``runs`` runs, after another run that warms the file cache."""
    arguments = (command, QUESTION, "--json", f"--set=retriever={retriever}")
    run(folder, *arguments)
    figures = [run(folder, *arguments) for _ in range(runs)]
    return {name: round(statistics.median(each[name] for each in figures), 3) for name in figures[0]}


def main() -> None:
    """Measure, print and write the figures."""
    parser = bench.make_parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 100_000], help="passages of each library")
    parser.add_argument("--runs", type=int, default=5, help="processes per measurement")
    parser.add_argument("--folder", type=Path, help="folder that keeps the libraries")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        make_library(folder / "minilm", "{dtype: float32}", TEXTS)
        for size in options.sizes:
            make_library(folder / str(size), RANDOM_VECTORS, random_texts(size))
        results: dict[str, Any] = {"engines": {}, "sizes": {str(size): {} for size in options.sizes}}
        for name in RETRIEVERS:
            for command in ("ask", "retrieve"):
                figures = medians(options.runs, folder / "minilm", command, name)
                results["engines"][f"{command} {name}"] = figures
                print(f"{command:8} {name:6} {_format(figures)}")
            for size in options.sizes:
                figures = medians(options.runs, folder / str(size), "retrieve", name)
                results["sizes"][str(size)][name] = figures
                print(f"retrieve {name:6} over {size:,} passages {_format(figures)}")
    first, last = (results["sizes"][str(size)] for size in (options.sizes[0], options.sizes[-1]))
    results["ratios"] = {
        name: {figure: round(last[name][figure] / first[name][figure], 2) for figure in last[name]} for name in last
    }
    for name, ratios in results["ratios"].items():
        print(f"{name:6} {options.sizes[-1]:,} to {options.sizes[0]:,} passages: {ratios}")
    bench.write_report(options.output, results)


def _format(figures: dict[str, float]) -> str:
    text = f"{figures['seconds']:.2f} s, {figures['processor']:.2f} s of processor time, {figures['memory_mb']:.0f} MiB"
    return text + (f" ({figures['anonymous_mb']:.0f} anonymous)" if "anonymous_mb" in figures else "")


if __name__ == "__main__":
    bench.run(main)
