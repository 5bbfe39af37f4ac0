"""Engines for a real pretrained model, smollm2, side by side: speed of writing, reading and scoring, and peak memory.

    python benchmarks/engines.py --data PATH/ori_pqal.json --output engines.json

All engines have the weights of one GGUF file (Q4_1); those on PyTorch have them converted to safetensors, in float32
and in bfloat16:

- llama.cpp: ``llm.kind: llamacpp``;
- medground: the default for models on this machine, which packs the weights for label scores on a CPU
  (``chains/models/cpu_llama.py``);
- unpacked: the same without packed weights, which is transformers' forward pass over batches sorted by length;
- loop: transformers' ``generate``, greedy; a label is parsed from 8 tokens, one record at a time;
- lm-eval: lm-evaluation-harness's ``HFLM.loglikelihood`` in batches of 16 (extra ``bench``; it does not write).

The jobs:

- write: one question, alone, until ``--tokens`` tokens are written or the model ends; tokens/s;
- read: the log-likelihood of one label after each test question with its gold context; prompt tokens/s;
- score: the log-likelihoods of yes, no and maybe; records/s.

Each engine runs in a process of its own with the same number of threads, and they take turns for several rounds, so
that other work on the machine slows all of them. A ratio is the median over the rounds of one round's ratio, with its
least and greatest, by wall clock and by processor time. Loading is timed apart. Memory is the process's greatest
resident set; llama.cpp's includes the file, which is mapped. The file is fetched first if it is absent.
"""

import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from typing import Any

import bench

from chains.config import LLMConfig
from chains.models.fetch import gguf_of, source_of
from chains.models.known import KnownModel, known_model
from chains.prompts import qa_prompt
from corpus.config import DataConfig
from corpus.load import load_records
from corpus.records import LABELS

QUESTION = "Describe how a randomised trial is planned, from the question to the report. Write at length."
ENGINES = (
    "llama.cpp",
    *(f"{name} {dtype}" for dtype in ("float32", "bfloat16") for name in ("medground", "unpacked", "loop", "lm-eval")),
)
UNITS = {"write": "tokens/s", "read": "prompt tokens/s", "score": "records/s"}  # by job
# Each pair of engines is compared in every job that both have.
COMPARED = [
    (ours.format(dtype), theirs.format(dtype))
    for ours, theirs in (
        ("llama.cpp", "medground {}"),
        ("medground {}", "unpacked {}"),
        ("medground {}", "loop {}"),
        ("medground {}", "lm-eval {}"),
    )
    for dtype in ("float32", "bfloat16")
]
Jobs = dict[str, Callable[[], tuple[int, Any]]]  # each returns the number of tokens or records, and the output
loaded: Jobs = {}  # of the engine of this process


def medground_jobs(engine: str, threads: int, prompts_of: Sequence[Any], tokens: int) -> Jobs:
    """An engine of this project, or its model without packed weights."""
    from chains.models import make_llm

    name, _, dtype = engine.partition(" ")
    settings = (
        {"kind": "llamacpp", "threads": threads} if name == "llama.cpp" else {"dtype": dtype, "device_map": "cpu"}
    )
    llm: Any = make_llm(LLMConfig.model_validate({"model": "smollm2", **settings}))
    if name == "unpacked":
        vars(llm)["packed"] = None
    prompts = llm.prompts(prompts_of)

    def write() -> tuple[int, str]:
        message = llm.chat.invoke(QUESTION, max_tokens=tokens)
        return message.usage_metadata["output_tokens"], message.text

    def score(labels: Sequence[str]) -> list[tuple[float, ...]]:
        found = {
            place: tuple(row)
            for places, rows in llm.score(prompts, labels)
            for place, row in zip(places, rows, strict=True)
        }
        return [found[place] for place in range(len(prompts))]

    count = sum(len(ids) for _, ids in prompts)
    wrote = {} if name == "unpacked" else {"write": write}  # as medground writes
    return {
        **wrote,
        "read": lambda: (count, score(LABELS[:1])),
        "score": lambda: (len(prompts), score(LABELS)),
    }


def loop_jobs(engine: str, prompts_of: Sequence[Any], tokens: int) -> Jobs:
    """Plain transformers, one prompt at a time."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from chains.labels import parse_label

    source = source_of(_smollm2())
    tokenizer: Any = AutoTokenizer.from_pretrained(source)
    model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=getattr(torch, engine.partition(" ")[2])).eval()

    def generate(messages: Sequence[dict[str, str]], most: int) -> list[int]:
        inputs = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.no_grad():
            output = model.generate(**inputs, max_new_tokens=most, do_sample=False)
        return list(output[0, inputs["input_ids"].shape[1] :])

    def score() -> tuple[int, list[tuple[float, ...]]]:
        found = []
        for messages in prompts_of:
            label = parse_label(tokenizer.decode(generate(messages, 8), skip_special_tokens=True), LABELS)
            found.append(tuple(float(label == one) for one in LABELS))
        return len(found), found

    return {"write": lambda: (len(generate([{"role": "user", "content": QUESTION}], tokens)), None), "score": score}


def lm_eval_jobs(engine: str, prompts_of: Sequence[Any]) -> Jobs:
    """lm-evaluation-harness over the same rendered prompts."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from chains.models.local import load_llm
    from chains.models.templates import label_lead

    llm = load_llm(LLMConfig(model="smollm2", device_map="cpu"))
    prompts, lead = llm.prompts(prompts_of), label_lead(llm.tokenizer)
    count = sum(len(ids) for _, ids in prompts)
    model_class: Any = HFLM
    model = model_class(
        pretrained=str(source_of(_smollm2())), device="cpu", dtype=engine.partition(" ")[2], batch_size=16
    )

    def score(labels: Sequence[str]) -> list[tuple[float, ...]]:
        requests = [
            Instance("loglikelihood", {}, (text, lead + label), place)
            for place, (text, _) in enumerate(prompts)
            for label in labels
        ]
        found = [value for value, _ in model.loglikelihood(requests, disable_tqdm=True)]
        return [tuple(found[start : start + len(labels)]) for start in range(0, len(found), len(labels))]

    return {"read": lambda: (count, score(LABELS[:1])), "score": lambda: (len(prompts), score(LABELS))}


def _smollm2() -> KnownModel:
    model = known_model("smollm2")
    assert model is not None
    return model


def load(engine: str, threads: int, tokens: int, data: str | None, limit: int) -> tuple[float, list[str]]:
    """Load an engine's model; the seconds that it took, and the names of its jobs."""
    import torch

    torch.set_num_threads(threads)
    records = load_records(DataConfig(path=data or "sample", split="test", limit=limit))
    prompts = [qa_prompt("generic", record.question, record.context) for record in records]
    started = time.perf_counter()
    if engine.startswith("lm-eval"):
        loaded.update(lm_eval_jobs(engine, prompts))
    elif engine.startswith("loop"):
        loaded.update(loop_jobs(engine, prompts, tokens))
    else:
        loaded.update(medground_jobs(engine, threads, prompts, tokens))
    return time.perf_counter() - started, list(loaded)


def work(job: str) -> dict[str, Any]:
    """Rates by wall clock and processor time, peak memory and output of a job of the loaded engine."""
    wall, cpu = time.perf_counter(), time.process_time()
    done, found = loaded[job]()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall": done / wall, "cpu": done / cpu, "done": done, "found": found, "peak_mib": bench.peak_mb()}


def measure(engines: Sequence[str], jobs: Sequence[str], rounds: int, *settings: Any) -> dict[str, Any]:
    """All figures, as they are written; ``settings`` are those of ``load``."""
    figures: dict[str, Any] = {engine: {} for engine in engines}
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    with ExitStack() as stack:
        context = multiprocessing.get_context("spawn")
        pools = {engine: stack.enter_context(ProcessPoolExecutor(1, context)) for engine in engines}
        for engine, pool in pools.items():
            seconds, known = pool.submit(load, engine, *settings).result()
            figures[engine]["load_seconds"] = round(seconds, 1)
            runs |= {(engine, job): [] for job in jobs if job in known}
        for number in range(rounds + 1):  # the first is not counted
            for engine, job in runs:
                found = pools[engine].submit(work, job).result()
                if number:
                    runs[engine, job].append(found)
                print(f"round {number}, {engine}: {found['wall']:.2f} {UNITS[job]}", file=sys.stderr)
    for (engine, job), of in runs.items():
        rates = {by: bench.spread([one[by] for one in of]) for by in ("wall", "cpu")}
        figures[engine][job] = {**rates, "done": of[-1]["done"]}
        figures[engine]["peak_mib"] = round(of[-1]["peak_mib"])
    ratios = {
        f"{ours} over {theirs}, {job}": {
            by: bench.ratios([one[by] for one in runs[ours, job]], [one[by] for one in runs[theirs, job]])
            for by in ("wall", "cpu")
        }
        for ours, theirs in COMPARED
        for job in UNITS
        if {(ours, job), (theirs, job)} <= set(runs)
    }
    return {"engines": figures, "ratios": ratios, "like_float32": _agreement(runs)}


def _agreement(runs: dict[tuple[str, str], list[dict[str, Any]]]) -> dict[str, Any]:
    """Labels equal to those of transformers' forward pass in float32, and differences of log-likelihoods."""
    rows = {engine: of[-1]["found"] for (engine, job), of in runs.items() if job == "score"}
    if "unpacked float32" not in rows:
        return {}
    reference = rows["unpacked float32"]
    agreement: dict[str, Any] = {}
    for engine, found in rows.items():
        pairs = list(zip(found, reference, strict=True))
        same = sum(a.index(max(a)) == b.index(max(b)) for a, b in pairs)
        agreement[engine] = {"same_label": same, "of": len(pairs)}
        if not engine.startswith("loop"):
            agreement[engine]["difference"] = bench.spread(
                [abs(x - y) for a, b in pairs for x, y in zip(a, b, strict=True)]
            )
    return agreement


def table(result: dict[str, Any]) -> str:
    """The engines' medians as a Markdown table, and the ratios."""
    lines = [
        "| engine | " + " | ".join(f"{job}, {unit}" for job, unit in UNITS.items()) + " | peak memory, MiB |",
        "| --- " * 5 + "|",
    ]
    for engine, figures in result["engines"].items():
        cells = [f"{figures[job]['wall']['median']:.4g}" if job in figures else "" for job in UNITS]
        lines.append(f"| {engine} | " + " | ".join(cells) + f" | {figures.get('peak_mib', '')} |")
    for name, by in result["ratios"].items():
        lines.append(f"{name}: {bench.shown(by['wall'])}; by processor time {bench.shown(by['cpu'])}")
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write."""
    parser = bench.parser(__doc__)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--jobs", nargs="+", choices=list(UNITS), default=list(UNITS))
    parser.add_argument("--data", help="PubMedQA's ori_pqal.json; the sample's test questions without it")
    parser.add_argument("--limit", type=int, default=16, help="records to read and score")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=128)
    options = parser.parse_args()
    gguf_of(_smollm2())
    source_of(_smollm2())
    settings = options.threads, options.tokens, options.data, options.limit
    result = measure(options.engines, options.jobs, options.rounds, *settings)
    print(table(result))
    bench.write_report(options.output, {**vars(options), **result})


if __name__ == "__main__":
    bench.run(main)
