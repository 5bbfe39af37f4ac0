"""llama.cpp against transformers on smollm2: written tokens/s, scored records/s and peak memory, in one run.

    python benchmarks/llamacpp.py --output llamacpp.json

Both engines have the weights of one GGUF file (Q4_1); transformers has them converted to safetensors, in float32 and in
bfloat16. Each engine runs in a process of its own, with the same number of threads, through the calls of a user's
chain:

- write: ``chat.invoke`` of one question, alone, until ``--tokens`` tokens are written or the model ends;
- score: the log-likelihoods of yes, no and maybe after the sample's test questions with their gold contexts.

The engines take turns for several rounds, so that other work on the machine slows all of them. A ratio is llama.cpp's
rate over that of transformers' faster number format; its median over the rounds is given with its least and greatest,
by wall clock and by processor time. Loading is timed apart. Memory is the process's greatest resident set: of
llama.cpp's it includes the file, which is mapped. The file is fetched first if it is absent.
"""

import argparse
import json
import multiprocessing
import platform
import resource
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

# Python puts this file's folder first, where finetune.py would be taken for the package of its name.
_folder = Path(__file__).resolve().parent
sys.path[:] = [str(_folder.parent), *(place for place in sys.path if Path(place).resolve() != _folder)]

from medground.environment import prepare  # noqa: E402

prepare()

from chains.config import LLMConfig  # noqa: E402  (telemetry is off before the libraries are imported)
from chains.models.fetch import gguf_of, source_of  # noqa: E402
from chains.models.known import known_model  # noqa: E402
from corpus.config import DataConfig  # noqa: E402
from corpus.load import load_records  # noqa: E402
from corpus.records import LABELS  # noqa: E402
from eval.results import versions  # noqa: E402

QUESTION = "Describe how a randomised trial is planned, from the question to the report. Write at length."
ENGINES: dict[str, dict[str, Any]] = {
    "llamacpp": {"kind": "llamacpp"},
    "float32": {"dtype": "float32", "device_map": "cpu"},
    "bfloat16": {"dtype": "bfloat16", "device_map": "cpu"},
}
JOBS = ("write", "score")
TARGET = 3.0  # times transformers' rate when writing


def work(engine: str, pipe: Any, threads: int, tokens: int, limit: int) -> None:
    """Load an engine's model, then run a job for each name that the pipe brings."""
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
    pipe.send(None)
    while (job := pipe.recv()) is not None:
        wall, cpu = time.perf_counter(), time.process_time()
        if job == "write":
            message = llm.chat.invoke(QUESTION, max_tokens=tokens)
            done, said = message.usage_metadata["output_tokens"], message.text
        else:
            found = {
                place: [round(value, 4) for value in row]
                for places, rows in llm.score(prompts, LABELS)
                for place, row in zip(places, rows, strict=True)
            }
            done, said = len(found), [found[place] for place in range(len(prompts))]
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        pipe.send({"wall": done / wall, "cpu": done / cpu, "done": done, "said": said, "peak_mib": memory})


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {name: round(of(values), 3) for name, of in (("median", statistics.median), ("least", min), ("most", max))}


def measure(jobs: list[str], rounds: int, threads: int, tokens: int, limit: int) -> dict[str, Any]:
    """All figures, as they are written."""
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
            figures[engine]["load_seconds"] = round(pipes[engine].recv(), 1)
            pipes[engine].recv()  # it has warmed up
        runs: dict[tuple[str, str], list[dict[str, Any]]] = {(engine, job): [] for engine in ENGINES for job in jobs}
        for number in range(rounds):
            for engine, job in runs:
                pipes[engine].send(job)
                found = pipes[engine].recv()
                runs[engine, job].append(found)
                rates = f"{found['wall']:.2f}/s, {found['cpu']:.2f} per second of the processor"
                print(f"round {number} {engine} {job}: {rates}", file=sys.stderr)
    ratios: dict[str, Any] = {}
    for job in jobs:
        for engine in ENGINES:
            of = runs[engine, job]
            figures[engine][job] = {by: spread([one[by] for one in of]) for by in ("wall", "cpu")} | {
                "done": of[-1]["done"]
            }
            figures[engine]["peak_mib"] = round(of[-1]["peak_mib"])
        faster = max(("float32", "bfloat16"), key=lambda engine: figures[engine][job]["wall"]["median"])
        ratios[job] = {"over": faster} | {
            by: spread([a[by] / b[by] for a, b in zip(runs["llamacpp", job], runs[faster, job], strict=True)])
            for by in ("wall", "cpu")
        }
    if "score" in jobs:
        rows, others = runs["llamacpp", "score"][-1]["said"], runs["float32", "score"][-1]["said"]
        agreed = [row.index(max(row)) == other.index(max(other)) for row, other in zip(rows, others, strict=True)]
        away = [abs(a - b) for row, other in zip(rows, others, strict=True) for a, b in zip(row, other, strict=True)]
        ratios["same_label_as_float32"] = f"{sum(agreed)} of {len(agreed)}"
        ratios["log_likelihoods_differ_by"] = spread(away)
    return {"ratios": ratios, "engines": figures}


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--limit", type=int, default=8, help="records to score")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    model = known_model("smollm2")
    assert model is not None
    gguf_of(model)
    source_of(model)
    result = measure(arguments.jobs, arguments.rounds, arguments.threads, arguments.tokens, arguments.limit)
    result |= {"threads": arguments.threads, "rounds": arguments.rounds, "tokens": arguments.tokens}
    result |= {"machine": platform.processor() or platform.machine(), "versions": versions()}
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n")
    return 0 if "write" not in arguments.jobs or result["ratios"]["write"]["wall"]["median"] >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
