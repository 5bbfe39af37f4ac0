"""Speed of answering: this project, a plain generate loop and lm-evaluation-harness, in one run.

    python benchmarks/qa.py --data PATH/ori_pqal.json --output qa.json

All sides answer the same test questions from their gold contexts, with the same prompt text, weights and number of
threads, in turns, for several rounds:

- medground: ``qa_chain(...).batch(questions)``: rendering, fitting, tokenising, scoring, citing;
- loop: ``generate`` of 8 tokens, greedy, one question at a time, and the label parsed from the text;
- stopping_loop: the same, but it stops at the model's end token;
- lm_eval: lm-evaluation-harness, a multiple-choice task read from a local JSON file, through its own ``evaluate``.

The peers get rendered prompts that fit the window. Loading of models, data and task definitions is not timed. In the
modes float32 and bfloat16 all sides compute in that type and lm_eval has batches of 16; in the mode default each side
has its own defaults (lm_eval: batches of 1, the checkpoint's type; the loop: the type that transformers chooses). A
ratio is the median over rounds of one round's ratio, with its least and greatest. On a busy machine, the ratio of
processor time on one thread (OMP_NUM_THREADS=1) is more stable.

``--random-llama`` answers with random weights and about 300 million parameters, where the model's forward pass takes
nearly all the time. The share of our time outside the forward pass is measured in one more round under Python's
profiler, which overstates that share.

lm-evaluation-harness is the optional extra ``bench``; its dependencies conflict with some of Chroma's newest releases,
so install it in an environment of its own.
"""

import cProfile
import json
import math
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import bench
import torch

from chains.answer import Answer
from chains.config import LLMConfig
from chains.labels import parse_label
from chains.models.local import EMBEDDED, LocalLLM, load_llm
from chains.models.templates import label_lead
from chains.qa.chain import qa_chain
from common.errors import UserError
from corpus.config import DataConfig
from corpus.load import load_records
from corpus.records import LABELS, QARecord

Mode = Literal["float32", "bfloat16", "default"]
MODES: tuple[Mode, ...] = ("float32", "bfloat16", "default")
Peer = Literal["lm_eval", "loop", "stopping_loop"]
PEERS: tuple[Peer, ...] = ("lm_eval", "loop", "stopping_loop")
LARGE = {"width": 1024, "feed_forward": 2816, "layers": 24, "window": 1024}
FORWARD = ("cpu_llama.py:next_token_log_probabilities", "cpu_llama.py:read", "module.py:_wrapped_call_impl")
STAGES = ("templates.py:render", "scoring.py:encode", "citations.py:cite", "prompt_sanitizing.py:__call__")


@dataclass(frozen=True)
class Side:
    """One way to answer all questions; ``dtype`` is that of its weights."""

    name: str
    dtype: str
    answer: Callable[[], list[str | None]]


def medground_side(llm: LocalLLM, records: Sequence[QARecord], answers: list[Answer]) -> Side:
    """This project; ``answers`` receives the last round's answers."""
    chain = qa_chain(llm, context="gold")
    inputs = [{"question": record.question, "context": record.context, "passage_id": record.id} for record in records]

    def answer() -> list[str | None]:
        answers[:] = chain.batch(list(inputs))
        return [one.label for one in answers]

    return Side("medground", str(llm.model.dtype), answer)


def loop_side(source: str, mode: Mode, prompts: Sequence[str], *, stopping: bool) -> Side:
    """Plain transformers, one question at a time; 8 tokens, or with ``stopping`` up to the end token."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source)
    dtype = {} if mode == "default" else {"dtype": getattr(torch, mode)}
    model: Any = AutoModelForCausalLM.from_pretrained(source, **dtype).eval()

    def answer() -> list[str | None]:
        labels = []
        for prompt in prompts:
            inputs = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
            with torch.no_grad():
                output = model.generate(
                    input_ids=inputs.input_ids,
                    attention_mask=inputs.attention_mask,
                    min_new_tokens=None if stopping else 8,
                    max_new_tokens=8,
                    do_sample=False,
                    pad_token_id=tokenizer.pad_token_id or tokenizer.eos_token_id,
                )
            text = tokenizer.decode(output[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)
            labels.append(parse_label(text, LABELS))
        return labels

    return Side("stopping_loop" if stopping else "loop", str(model.dtype), answer)


def lm_eval_side(source: str, mode: Mode, prompts: Sequence[str], lead: str, folder: Path) -> Side:
    """lm-evaluation-harness with a multiple-choice task; raises UserError if it is not installed."""
    try:
        from lm_eval.evaluator import evaluate
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import get_task_dict
    except ImportError as error:
        raise UserError("lm-evaluation-harness is missing: pip install 'medground[bench]'") from error
    file = folder / f"{mode}.json"
    file.write_text(json.dumps([{"prompt": prompt, "gold": 0} for prompt in prompts]))
    task = get_task_dict(
        [
            {
                "task": f"gold_{mode}",
                "dataset_path": "json",
                "dataset_kwargs": {"data_files": {"test": str(file)}},
                "test_split": "test",
                "output_type": "multiple_choice",
                "doc_to_text": "prompt",
                "doc_to_choice": list(LABELS),
                "doc_to_target": "gold",
                "target_delimiter": lead,
                "metric_list": [{"metric": "acc"}],
            }
        ]
    )
    settings = {} if mode == "default" else {"dtype": mode, "batch_size": 16}
    model: Any = HFLM(pretrained=source, device="cuda" if torch.cuda.is_available() else "cpu", **settings)

    def answer() -> list[str | None]:
        result = evaluate(model, task, bootstrap_iters=0, verbosity="ERROR")
        (samples,) = result["samples"].values()
        labels: list[str | None] = [None] * len(prompts)
        for sample in samples:
            likelihoods = [response[0] for response in sample["filtered_resps"]]
            labels[sample["doc_id"]] = LABELS[likelihoods.index(max(likelihoods))]
        return labels

    return Side("lm_eval", str(model.model.dtype), answer)


def outside(answer: Callable[[], object]) -> dict[str, Any]:
    """The time of one call outside the model's forward pass, from Python's profiler.

    ``chains/models/scoring.py`` calls the model, a PyTorch module or its packed form.
    """
    profiler = cProfile.Profile()
    profiler.runcall(answer)
    profile: Any = pstats.Stats(profiler)
    seconds: float = profile.total_tt
    forward = 0.0
    stages = dict.fromkeys(STAGES, 0.0)
    for (file, _, name), (_, _, _, cumulative, callers) in profile.stats.items():
        function = f"{Path(file).name}:{name}"
        if function in FORWARD:
            forward += sum(call[3] for (caller, _, _), call in callers.items() if Path(caller).name == "scoring.py")
        elif function in stages:
            stages[function] += cumulative
    stages["the rest"] = seconds - forward - sum(stages.values())
    return {"seconds": seconds, "share": 1 - forward / seconds, "stages": stages}


def measure(
    mode: Mode, model: str, records: Sequence[QARecord], rounds: int, peers: Sequence[Peer], folder: Path
) -> dict[str, Any]:
    """Rates, ratios and differences of one mode."""
    source = str(EMBEDDED) if model == "embedded" else model
    llm = load_llm(LLMConfig(model=model, dtype="auto" if mode == "default" else mode))
    answers: list[Answer] = []
    ours = medground_side(llm, records, answers)
    _ = llm.packed  # packed on first use, which is part of loading
    spent_outside = outside(ours.answer)
    prompts = [answer.prompt or "" for answer in answers]
    sides = [ours]
    for peer in peers:
        if peer == "lm_eval":
            sides.append(lm_eval_side(source, mode, prompts, label_lead(llm.tokenizer), folder))
        else:
            sides.append(loop_side(source, mode, prompts, stopping=peer == "stopping_loop"))
    rates: dict[str, list[float]] = {side.name: [] for side in sides}
    processor: dict[str, list[float]] = {side.name: [] for side in sides}
    labels: dict[str, list[str | None]] = {}
    for number in range(rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            start, work = time.perf_counter(), time.process_time()
            labels[side.name] = side.answer()
            rates[side.name].append(len(records) / (time.perf_counter() - start))
            processor[side.name].append(len(records) / (time.process_time() - work))
            print(f"{mode} round {number + 1} {side.name}: {rates[side.name][-1]:.2f} questions/s", file=sys.stderr)
    return {
        "mode": mode,
        "dtype": {side.name: side.dtype for side in sides},
        "rates": rates,
        "median_rate": {name: statistics.median(values) for name, values in rates.items()},
        "times": {peer: bench.ratios(rates["medground"], rates[peer]) for peer in peers},
        "times_by_processor": {peer: bench.ratios(processor["medground"], processor[peer]) for peer in peers},
        "unlike": {peer: differences(labels["medground"], labels[peer], answers) for peer in peers},
        "outside": spent_outside,
        "accuracy": {
            name: sum(label == record.label for label, record in zip(given, records, strict=True)) / len(records)
            for name, given in labels.items()
        },
    }


def differences(ours: Sequence[str | None], theirs: Sequence[str | None], answers: Sequence[Answer]) -> dict[str, int]:
    """The number of different predictions; those between nearly equally probable labels are counted apart."""
    margins = [margin(answer) for answer, a, b in zip(answers, ours, theirs, strict=True) if a != b]
    near = sum(one < bench.NEAR_TIE for one in margins)
    return {"predictions": len(margins) - near, "near_ties": near}


def margin(answer: Answer) -> float:
    """The difference of the two best labels' log-likelihoods."""
    second, best = sorted(answer.label_scores.values())[-2:]
    return math.inf if second == 0 else math.log(best) - math.log(second)


def main() -> None:
    """Run the modes, print one table and write the JSON file."""
    parser = bench.parser(__doc__)
    parser.add_argument("--data", required=True, help="PubMedQA's ori_pqal.json, its test_ground_truth.json beside it")
    models = parser.add_mutually_exclusive_group()
    models.add_argument("--model", default="embedded", help="embedded, a folder or a hub id")
    models.add_argument("--random-llama", action="store_true", help="random weights, about 300 million parameters")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=int, help="maximum number of questions")
    options = parser.parse_args()
    model = options.model
    records = load_records(DataConfig(path=options.data, split="test", limit=options.limit))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if options.random_llama:
            model = str(folder / "random-llama")
            parameters = bench.save_random_model(Path(model), bench.random_llama(**LARGE))
            print(f"random weights, {parameters:,} parameters", file=sys.stderr)
        results = [measure(mode, model, records, options.rounds, options.peers, folder) for mode in options.modes]
    for result in results:
        print("\n".join(lines(result)))
    name = "random-llama" if options.random_llama else model
    bench.write_report(options.output, {"model": name, "n": len(records), "rounds": options.rounds, "results": results})


def lines(result: dict[str, Any]) -> list[str]:
    """A mode's result for the terminal."""
    head = f"{result['mode']:>8}: "
    found = [
        f"{head}{result['median_rate']['medground']:.2f} questions/s, {bench.shown(times)} times {peer}'s "
        f"{result['median_rate'][peer]:.2f}; by processor time {bench.shown(result['times_by_processor'][peer])}"
        for peer, times in result["times"].items()
    ]
    if unlike := result["unlike"].get("lm_eval"):
        found.append(
            f"{head}{unlike['predictions']} predictions unlike lm_eval's, besides {unlike['near_ties']} near ties"
        )
    outside = result["outside"]
    stages = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in outside["stages"].items())
    found.append(
        f"{head}{outside['share']:.1%} of our time outside the model's forward pass: {stages} "
        f"of {outside['seconds']:.1f} s"
    )
    return found


if __name__ == "__main__":
    bench.run(main)
