"""llama.cpp against transformers on smollm2: written tokens/s, scored records/s and peak memory.

    python benchmarks/llamacpp.py --output llamacpp.json

Both engines have the weights of one GGUF file (Q4_1); transformers has them converted to safetensors, in float32 and in
bfloat16. Each engine runs in a process of its own, with the same number of threads, through the calls of a user's
chain:

- write: ``chat.invoke`` of one question, alone, until ``--tokens`` tokens are written or the model ends;
- score: the log-likelihoods of yes, no and maybe after the sample's test questions with their gold contexts.

The engines take turns for several rounds, so that other work on the machine slows all of them. A ratio is llama.cpp's
rate over that of transformers' faster data type, by wall clock and by processor time. Loading is timed separately.
llama.cpp's memory includes the memory-mapped file. The file is downloaded first if it is absent.
"""

import json
import multiprocessing
import sys
import time
from contextlib import ExitStack
from typing import Any

import bench

from chains.config import LLMConfig
from chains.models.fetch import gguf_of, source_of
from chains.models.known import known_model
from corpus.config import DataConfig
from corpus.load import load_records
from corpus.records import LABELS

QUESTION = "Describe how a randomised trial is planned, from the question to the report. Write at length."
ENGINES: dict[str, dict[str, Any]] = {
    "llamacpp": {"kind": "llamacpp"},
    "float32": {"dtype": "float32", "device_map": "cpu"},
    "bfloat16": {"dtype": "bfloat16", "device_map": "cpu"},
}
JOBS = ("write", "score")


def work(engine: str, pipe: Any, threads: int, tokens: int, limit: int) -> None:
    """Load an engine's model, then run each job whose name arrives in the pipe."""
    import torch

    from chains.models import make_llm
    from chains.prompts import qa_prompt

    torch.set_num_threads(threads)
    settings = ENGINES[engine] | ({"threads": threads} if engine == "llamacpp" else {})
    started = time.perf_counter()
    llm: Any = make_llm(LLMConfig(model="smollm2", **settings))
    pipe.send(time.perf_counter() - started)
    records = load_records(DataConfig(split="test", limit=limit))
    prompts = llm.prompts([qa_prompt("generic", record.question, record.context) for record in records])
    llm.chat.invoke("Warm up.", max_tokens=2)
    list(llm.score(prompts[:1], LABELS))
    pipe.send("ready")
    while (job := pipe.recv()) is not None:
        wall, cpu = time.perf_counter(), time.process_time()
        scores: list[list[float]] = []
        if job == "write":
            done = llm.chat.invoke(QUESTION, max_tokens=tokens).usage_metadata["output_tokens"]
        else:
            by_place = {place: row for batch in llm.score(prompts, LABELS) for place, row in zip(*batch, strict=True)}
            scores = [[float(value) for value in by_place[place]] for place in range(len(prompts))]
            done = len(scores)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        pipe.send({"wall": done / wall, "cpu": done / cpu, "done": done, "scores": scores, "peak_mb": bench.peak_mb()})


def measure(jobs: list[str], rounds: int, threads: int, tokens: int, limit: int) -> dict[str, Any]:
    """The figures of all engines and jobs."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Any] = {}
    figures: dict[str, Any] = {engine: {} for engine in ENGINES}
    with ExitStack() as stack:
        for engine in ENGINES:
            pipes[engine], other = context.Pipe()
            process = context.Process(target=work, args=(engine, other, threads, tokens, limit), daemon=True)
            process.start()
            stack.callback(process.join, 30)
            stack.callback(pipes[engine].send, None)
            figures[engine]["load_seconds"] = pipes[engine].recv()
            pipes[engine].recv()
        runs: dict[tuple[str, str], list[dict[str, Any]]] = {(engine, job): [] for engine in ENGINES for job in jobs}
        for number in range(rounds):
            for engine, job in runs:
                pipes[engine].send(job)
                found = pipes[engine].recv()
                runs[engine, job].append(found)
                rates = f"{found['wall']:.2f}/s, {found['cpu']:.2f} per second of processor time"
                print(f"round {number} {engine} {job}: {rates}", file=sys.stderr)

    def rates_of(engine: str, job: str, clock: str) -> list[float]:
        return [one[clock] for one in runs[engine, job]]

    ratios: dict[str, Any] = {}
    for job in jobs:
        for engine in ENGINES:
            rates = {clock: bench.spread(rates_of(engine, job, clock)) for clock in ("wall", "cpu")}
            figures[engine][job] = {**rates, "done": runs[engine, job][-1]["done"]}
            figures[engine]["peak_mb"] = runs[engine, job][-1]["peak_mb"]
        faster = max(("float32", "bfloat16"), key=lambda engine: figures[engine][job]["wall"]["median"])
        ratios[job] = {"over": faster}
        for clock in ("wall", "cpu"):
            ratios[job][clock] = bench.ratios(rates_of("llamacpp", job, clock), rates_of(faster, job, clock))
    if "score" in jobs:
        pairs = list(zip(*(runs[engine, "score"][-1]["scores"] for engine in ("llamacpp", "float32")), strict=True))
        agreed = sum(row.index(max(row)) == other.index(max(other)) for row, other in pairs)
        ratios["same_label_as_float32"] = f"{agreed} of {len(pairs)}"
        differences = [abs(a - b) for row, other in pairs for a, b in zip(row, other, strict=True)]
        ratios["log_likelihoods_differ_by"] = bench.spread(differences)
    return {"ratios": ratios, "engines": figures}


def main() -> None:
    """Measure, print and write."""
    parser = bench.parser(__doc__)
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--limit", type=int, default=8, help="records to score")
    options = parser.parse_args()
    model = known_model("smollm2")
    assert model is not None
    gguf_of(model)
    source_of(model)
    figures = measure(options.jobs, options.rounds, options.threads, options.tokens, options.limit)
    print(json.dumps(figures, indent=1))
    used = {"processor_threads": options.threads, "rounds": options.rounds, "tokens": options.tokens}
    bench.write_report(options.output, {**used, **figures})


if __name__ == "__main__":
    bench.run(main)
