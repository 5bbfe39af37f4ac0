"""Speed and peak memory of inference engines for a pretrained model, smollm2.

    python benchmarks/engines.py --data PATH/ori_pqal.json --output engines.json

All engines have the weights of one GGUF file (Q4_1), which is downloaded if it is missing; those on PyTorch have the
weights converted to safetensors, in float32 and in bfloat16:

- llama.cpp: ``llm.kind: llamacpp``;
- medground: the default for models on this machine, which packs the weights to score labels on a CPU
  (``chains/models/cpu_llama.py``);
- unpacked: medground without packed weights, which is transformers' forward pass over batches sorted by length;
- loop: transformers' greedy ``generate`` for one prompt at a time; a label is parsed from 8 tokens;
- lm-eval: lm-evaluation-harness's ``HFLM.loglikelihood`` in batches of 16 (extra ``bench``), which generates nothing.

The jobs:

- write: generation for one question, up to ``--tokens`` tokens; tokens/s;
- read: the log-likelihood of one label after each test question with its gold context; prompt tokens/s;
- score: the log-likelihoods of yes, no and maybe; records/s.

Each engine runs in a separate process with the same number of threads. The engines take turns for several rounds, so
that other work on the machine slows all of them. A ratio is the median of the rounds' ratios, with their minimum and
maximum, by wall clock and by processor time. Loading is timed separately. Memory is the process's peak resident set
size; for llama.cpp it includes the memory-mapped file.
"""

import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any

import bench

from chains.config import LLMConfig
from chains.models.fetch import gguf_of, source_of
from chains.models.known import KnownModel, known_model
from chains.prompts import qa_prompt
from common.errors import UserError
from corpus.config import DataConfig
from corpus.load import load_records
from corpus.records import LABELS

QUESTION = "Describe how a randomised trial is planned, from the question to the report. Write at length."
ENGINES = (
    "llama.cpp",
    *(f"{name} {dtype}" for dtype in ("float32", "bfloat16") for name in ("medground", "unpacked", "loop", "lm-eval")),
)
UNITS = {"write": "tokens/s", "read": "prompt tokens/s", "score": "records/s"}  # by job
# Pairs of engines whose rates are divided, in each job that both engines have.
COMPARED = [
    (numerator.format(dtype), denominator.format(dtype))
    for numerator, denominator in (
        ("llama.cpp", "medground {}"),
        ("medground {}", "unpacked {}"),
        ("medground {}", "loop {}"),
        ("medground {}", "lm-eval {}"),
    )
    for dtype in ("float32", "bfloat16")
]
Jobs = dict[str, Callable[[], tuple[int, Any]]]  # by name; a job returns its number of units, and its output
loaded_jobs: Jobs = {}  # of the engine in this process


def medground_jobs(engine: str, threads: int, messages: Sequence[Any], tokens: int) -> Jobs:
    """Jobs of llama.cpp, of medground's default engine, or of this engine without packed weights."""
    from chains.models import make_llm

    name, _, dtype = engine.partition(" ")
    settings = (
        {"kind": "llamacpp", "threads": threads} if name == "llama.cpp" else {"dtype": dtype, "device_map": "cpu"}
    )
    llm: Any = make_llm(LLMConfig.model_validate({"model": "smollm2", **settings}))
    if name == "unpacked":
        vars(llm)["packed"] = None
    prompts = llm.prompts(messages)

    def write() -> tuple[int, str]:
        message = llm.chat.invoke(QUESTION, max_tokens=tokens)
        return message.usage_metadata["output_tokens"], message.text

    def score(labels: Sequence[str]) -> list[tuple[float, ...]]:
        scores = {
            index: tuple(row)
            for indices, rows in llm.score(prompts, labels)
            for index, row in zip(indices, rows, strict=True)
        }
        return [scores[index] for index in range(len(prompts))]

    prompt_tokens = sum(len(ids) for _, ids in prompts)
    jobs: Jobs = {
        "write": write,
        "read": lambda: (prompt_tokens, score(LABELS[:1])),
        "score": lambda: (len(prompts), score(LABELS)),
    }
    if name == "unpacked":  # it generates in the same way as medground
        del jobs["write"]
    return jobs


def loop_jobs(engine: str, messages: Sequence[Any], tokens: int) -> Jobs:
    """Jobs of transformers, with one prompt at a time."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from chains.labels import parse_label

    source = source_of(_smollm2())
    tokenizer: Any = AutoTokenizer.from_pretrained(source)
    model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=getattr(torch, engine.partition(" ")[2])).eval()

    def generate(prompt: Sequence[dict[str, str]], max_tokens: int) -> list[int]:
        inputs = tokenizer.apply_chat_template(
            prompt, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.no_grad():
            output = model.generate(**inputs, max_new_tokens=max_tokens, do_sample=False)
        return list(output[0, inputs["input_ids"].shape[1] :])

    def score() -> tuple[int, list[tuple[float, ...]]]:
        scores = []
        for prompt in messages:
            parsed = parse_label(tokenizer.decode(generate(prompt, 8), skip_special_tokens=True), LABELS)
            scores.append(tuple(float(parsed == label) for label in LABELS))
        return len(scores), scores

    return {"write": lambda: (len(generate([{"role": "user", "content": QUESTION}], tokens)), None), "score": score}


def lm_eval_jobs(engine: str, messages: Sequence[Any]) -> Jobs:
    """Jobs of lm-evaluation-harness, with the prompts as medground's template renders them."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from chains.models.local import load_llm
    from chains.models.templates import label_lead

    llm = load_llm(LLMConfig(model="smollm2", device_map="cpu"))
    prompts, lead = llm.prompts(messages), label_lead(llm.tokenizer)
    prompt_tokens = sum(len(ids) for _, ids in prompts)
    model_class: Any = HFLM
    model = model_class(
        pretrained=str(source_of(_smollm2())), device="cpu", dtype=engine.partition(" ")[2], batch_size=16
    )

    def score(labels: Sequence[str]) -> list[tuple[float, ...]]:
        requests = [
            Instance("loglikelihood", {}, (text, lead + label), index)
            for index, (text, _) in enumerate(prompts)
            for label in labels
        ]
        values = [value for value, _ in model.loglikelihood(requests, disable_tqdm=True)]
        return [tuple(values[start : start + len(labels)]) for start in range(0, len(values), len(labels))]

    return {"read": lambda: (prompt_tokens, score(LABELS[:1])), "score": lambda: (len(prompts), score(LABELS))}


def _smollm2() -> KnownModel:
    model = known_model("smollm2")
    assert model is not None
    return model


def load(engine: str, threads: int, tokens: int, data: str | None, limit: int) -> tuple[float, list[str]]:
    """Load an engine's model; returns the seconds for loading and the names of the engine's jobs."""
    import torch

    torch.set_num_threads(threads)
    records = load_records(DataConfig(path=data or "sample", split="test", limit=limit))
    messages = [qa_prompt("generic", record.question, record.context) for record in records]
    started = time.perf_counter()
    if engine.startswith("lm-eval"):
        loaded_jobs.update(lm_eval_jobs(engine, messages))
    elif engine.startswith("loop"):
        loaded_jobs.update(loop_jobs(engine, messages, tokens))
    else:
        loaded_jobs.update(medground_jobs(engine, threads, messages, tokens))
    return time.perf_counter() - started, list(loaded_jobs)


def run_job(name: str) -> dict[str, Any]:
    """Run a job of the loaded engine; returns rates by wall clock and processor time, peak memory and output."""
    started, processor_started = time.perf_counter(), time.process_time()
    units, output = loaded_jobs[name]()
    wall, cpu = time.perf_counter() - started, time.process_time() - processor_started
    return {"wall": units / wall, "cpu": units / cpu, "units": units, "output": output, "peak_mib": bench.peak_mib()}


def measure(engines: Sequence[str], jobs: Sequence[str], rounds: int, *settings: Any) -> dict[str, Any]:
    """The figures of all engines and their ratios; ``settings`` are the arguments of ``load`` after the engine."""
    figures: dict[str, Any] = {engine: {} for engine in engines}
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    with ExitStack() as stack:
        context = multiprocessing.get_context("spawn")
        pools = {engine: stack.enter_context(ProcessPoolExecutor(1, context)) for engine in engines}
        for engine, pool in pools.items():
            seconds, engine_jobs = pool.submit(load, engine, *settings).result()
            figures[engine]["load_seconds"] = round(seconds, 1)
            runs |= {(engine, job): [] for job in jobs if job in engine_jobs}
        for number in range(rounds + 1):  # round 0 is a warm-up
            for engine, job in runs:
                run = pools[engine].submit(run_job, job).result()
                if number:
                    runs[engine, job].append(run)
                print(f"round {number}, {engine}: {run['wall']:.2f} {UNITS[job]}", file=sys.stderr)

    def rates(engine: str, job: str, clock: str) -> list[float]:
        return [run[clock] for run in runs[engine, job]]

    for (engine, job), rounds_of_job in runs.items():
        spreads = {clock: bench.spread(rates(engine, job, clock)) for clock in ("wall", "cpu")}
        figures[engine][job] = {**spreads, "done": rounds_of_job[-1]["units"]}
        figures[engine]["peak_mib"] = round(rounds_of_job[-1]["peak_mib"])
    ratios = {
        f"{numerator} over {denominator}, {job}": {
            clock: bench.ratio_spread(rates(numerator, job, clock), rates(denominator, job, clock))
            for clock in ("wall", "cpu")
        }
        for numerator, denominator in COMPARED
        for job in UNITS
        if {(numerator, job), (denominator, job)} <= set(runs)
    }
    return {"engines": figures, "ratios": ratios, "like_float32": _agreement(runs)}


def _agreement(runs: dict[tuple[str, str], list[dict[str, Any]]]) -> dict[str, Any]:
    """By engine, the number of labels equal to the unpacked engine's in float32, and differences of log-likelihoods."""
    scores_by_engine = {engine: rounds[-1]["output"] for (engine, job), rounds in runs.items() if job == "score"}
    if "unpacked float32" not in scores_by_engine:
        return {}
    agreement: dict[str, Any] = {}
    for engine, scores in scores_by_engine.items():
        pairs = list(zip(scores, scores_by_engine["unpacked float32"], strict=True))
        same = sum(a.index(max(a)) == b.index(max(b)) for a, b in pairs)
        agreement[engine] = {"same_label": same, "of": len(pairs)}
        if not engine.startswith("loop"):  # its scores are 0 or 1
            agreement[engine]["difference"] = bench.spread(
                [abs(x - y) for a, b in pairs for x, y in zip(a, b, strict=True)]
            )
    return agreement


def format_table(result: dict[str, Any]) -> str:
    """A Markdown table of the engines' median rates and memory, and lines with the ratios."""
    lines = [
        "| engine | " + " | ".join(f"{job}, {unit}" for job, unit in UNITS.items()) + " | peak memory, MiB |",
        "| --- " * 5 + "|",
    ]
    for engine, figures in result["engines"].items():
        cells = [f"{figures[job]['wall']['median']:.4g}" if job in figures else "" for job in UNITS]
        lines.append(f"| {engine} | " + " | ".join(cells) + f" | {figures.get('peak_mib', '')} |")
    for name, ratio in result["ratios"].items():
        wall, cpu = bench.format_spread(ratio["wall"]), bench.format_spread(ratio["cpu"])
        lines.append(f"{name}: {wall}; by processor time {cpu}")
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write the figures."""
    parser = bench.make_parser(__doc__)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--jobs", nargs="+", choices=list(UNITS), default=list(UNITS))
    parser.add_argument("--data", help="PubMedQA's ori_pqal.json; the sample's test questions without it")
    parser.add_argument("--limit", type=int, default=16, help="records to read and score")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=128)
    options = parser.parse_args()
    if not find_spec("lm_eval") and any(engine.startswith("lm-eval") for engine in options.engines):
        raise UserError("lm-eval is not installed. Install medground[bench], or name other --engines.")
    gguf_of(_smollm2())  # downloads the GGUF file
    source_of(_smollm2())  # converts it to safetensors
    settings = options.threads, options.tokens, options.data, options.limit
    result = measure(options.engines, options.jobs, options.rounds, *settings)
    print(format_table(result))
    bench.write_report(options.output, {**vars(options), **result})


if __name__ == "__main__":
    bench.run(main)
