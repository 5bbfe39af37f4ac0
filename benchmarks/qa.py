"""How fast a model answers: this project, a plain generate loop and lm-evaluation-harness, in one run.

    python benchmarks/qa.py --data PATH/ori_pqal.json --output qa.json

All sides answer the same test questions from their gold contexts, with the same prompt text, the same weights and the
same number of threads, in turns, for several rounds:

- medground: ``qa_chain(...).batch(questions)`` as a user calls it: rendering, fitting, tokenising, scoring, citing;
- loop: ``generate`` of 8 tokens, greedy, one question at a time, and the label parsed from the text;
- stopping_loop: the same, but it stops where the model ends its answer, so for the information only;
- lm_eval: lm-evaluation-harness, a multiple-choice task read from a local JSON file, through its own ``evaluate``.

The peers are handed rendered prompts that fit the window. Loading of models, data and task definitions is not timed on
any side, answering is. In the modes float32 and bfloat16 all sides compute in that type and lm_eval has batches of 16;
in the mode default each side has its own defaults (lm_eval: batches of 1, the checkpoint's type; the loop: the type
that transformers chooses). A ratio is the median over rounds of one round's ratio, with its least and greatest; where
other work disturbs the machine, that of processor time, on one thread (OMP_NUM_THREADS=1), is disturbed less.

``--random-llama`` answers with random weights and about 300 million parameters, where the model's own work is nearly
all there is; ratios are then as measured, without targets. Either way the share of our time that is spent outside the
model's forward pass is measured in one more round, under Python's profiler, which makes that share rather larger. On
a processor the greatest ratio is told too that any float32 program could reach over a peer in this run: it would
multiply at the processor's full rate only what label scores need, and do nothing else (``benchmarks.bound``).

lm-evaluation-harness is the optional extra ``bench``; its dependencies conflict with some that Chroma's newest releases
want, so give it an environment of its own.
"""

import argparse
import cProfile
import json
import math
import platform
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

# Python puts this file's folder first, where finetune.py would be taken for the package of its name.
_folder = Path(__file__).resolve().parent
sys.path[:] = [str(_folder.parent), *(place for place in sys.path if Path(place).resolve() != _folder)]

from medground.environment import prepare  # noqa: E402

prepare()

import torch  # noqa: E402  (telemetry is off before the libraries are imported)

from benchmarks.bound import label_operations, product_rate  # noqa: E402
from benchmarks.random_llama import save_random_llama  # noqa: E402
from chains.answer import Answer  # noqa: E402
from chains.config import LLMConfig  # noqa: E402
from chains.labels import parse_label  # noqa: E402
from chains.models.local import EMBEDDED, LocalLLM, load_llm  # noqa: E402
from chains.models.templates import label_lead  # noqa: E402
from chains.qa.chain import qa_chain  # noqa: E402
from common.errors import UserError  # noqa: E402
from corpus.config import DataConfig  # noqa: E402
from corpus.load import load_records  # noqa: E402
from corpus.records import LABELS, QARecord  # noqa: E402

Mode = Literal["float32", "bfloat16", "default"]
MODES: tuple[Mode, ...] = ("float32", "bfloat16", "default")
Peer = Literal["lm_eval", "loop", "stopping_loop"]
PEERS: tuple[Peer, ...] = ("lm_eval", "loop", "stopping_loop")
_ONE_TYPE = {"lm_eval": 3.0, "loop": 2.0}  # times the peer's rate
TARGETS: dict[Mode, dict[str, float]] = {
    "float32": _ONE_TYPE,
    "bfloat16": _ONE_TYPE,
    "default": {"lm_eval": 6.0, "loop": 4.0},
}
MOST_OUTSIDE = 0.15  # of our time, where the model is of 300 million parameters
LARGE = {"width": 1024, "feed_forward": 2816, "layers": 24, "window": 1024}  # about as many
FORWARD = ("packed.py:next_token_log_probabilities", "packed.py:read", "module.py:_wrapped_call_impl")
STAGES = ("templates.py:render", "scoring.py:encode", "citations.py:cite", "cleaning.py:__call__")
NEAR_TIE = 1e-4  # difference of the two best log-likelihoods below which a prediction may differ


@dataclass(frozen=True)
class Side:
    """One way to answer all questions; ``dtype`` is what its weights are in."""

    name: str
    dtype: str
    answer: Callable[[], list[str | None]]


def medground_side(llm: LocalLLM, records: Sequence[QARecord], answers: list[Answer]) -> Side:
    """This project; the last round's answers are left in ``answers``."""
    chain = qa_chain(llm, context="gold")
    inputs = [{"question": record.question, "context": record.context, "passage_id": record.id} for record in records]

    def answer() -> list[str | None]:
        answers[:] = chain.batch(list(inputs))
        return [one.label for one in answers]

    return Side("medground", str(llm.model.dtype), answer)


def loop_side(source: str, mode: Mode, prompts: Sequence[str], *, stopping: bool) -> Side:
    """Plain transformers, one question at a time; 8 tokens, or fewer where it is ``stopping`` at the end token."""
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
    """lm-evaluation-harness with a task of its own kind; raises UserError where it is not installed."""
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
    """Where the time of one call goes that is not the model's forward pass, from Python's profiler.

    The model is a PyTorch module, called as one, or its packed form; both are called from ``chains/models/scoring.py``.
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
    mode: Mode,
    model: str,
    records: Sequence[QARecord],
    rounds: int,
    peers: Sequence[Peer],
    folder: Path,
    *,
    large: bool,
) -> dict[str, Any]:
    """Rates, ratios and differences of one mode; a ``large`` model has another target."""
    source = str(EMBEDDED) if model == "embedded" else model
    llm = load_llm(LLMConfig(model=model, dtype="auto" if mode == "default" else mode))
    answers: list[Answer] = []
    ours = medground_side(llm, records, answers)
    _ = llm.packed  # laid out when it is first asked for, which is a part of loading
    spent_outside = outside(ours.answer)
    prompts = [answer.prompt or "" for answer in answers]
    sides = [ours]
    for peer in peers:
        match peer:
            case "lm_eval":
                sides.append(lm_eval_side(source, mode, prompts, label_lead(llm.tokenizer), folder))
            case "loop" | "stopping_loop":
                sides.append(loop_side(source, mode, prompts, stopping=peer == "stopping_loop"))
    rates: dict[str, list[float]] = {side.name: [] for side in sides}
    worked: dict[str, list[float]] = {side.name: [] for side in sides}
    labels: dict[str, list[str | None]] = {}
    for number in range(rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            start, work = time.perf_counter(), time.process_time()
            labels[side.name] = side.answer()
            rates[side.name].append(len(records) / (time.perf_counter() - start))
            worked[side.name].append(len(records) / (time.process_time() - work))
            print(f"{mode} round {number + 1} {side.name}: {rates[side.name][-1]:.2f} questions/s", file=sys.stderr)
    targets = {} if large else TARGETS[mode]
    most = bound(llm, prompts)
    return {
        "mode": mode,
        "dtype": {side.name: side.dtype for side in sides},
        "rates": rates,
        "median_rate": {name: statistics.median(values) for name, values in rates.items()},
        "times": {peer: ratio(rates["medground"], rates[peer], targets.get(peer)) for peer in peers},
        "at_most": {} if most is None else {peer: most / statistics.median(rates[peer]) for peer in peers},
        "times_by_processor": {peer: ratio(worked["medground"], worked[peer], None) for peer in peers},
        "unlike": {peer: differences(labels["medground"], labels[peer], answers) for peer in peers},
        "outside": {**spent_outside, "target": MOST_OUTSIDE if large else None},
        "accuracy": {
            name: sum(label == record.label for label, record in zip(given, records, strict=True)) / len(records)
            for name, given in labels.items()
        },
    }


def bound(llm: LocalLLM, prompts: Sequence[str]) -> float | None:
    """The most questions a second that float32 leaves room for on this processor; None for a model on a card."""
    if llm.model.device.type != "cpu":
        return None
    config: Any = llm.model.config
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    operations = label_operations(
        [len(llm.tokenizer(prompt, add_special_tokens=False)["input_ids"]) for prompt in prompts],
        width=config.hidden_size,
        feed_forward=config.intermediate_size,
        layers=config.num_hidden_layers,
        queries=config.num_attention_heads * size,
        keys=config.num_key_value_heads * size,
    )
    return len(prompts) * product_rate() / operations


def differences(ours: Sequence[str | None], theirs: Sequence[str | None], answers: Sequence[Answer]) -> dict[str, int]:
    """How many predictions differ, apart from those between labels that are nearly equally probable."""
    differing = [margin(answer) for answer, a, b in zip(answers, ours, theirs, strict=True) if a != b]
    near = sum(one < NEAR_TIE for one in differing)
    return {"predictions": len(differing) - near, "near_ties": near}


def ratio(ours: Sequence[float], theirs: Sequence[float], target: float | None) -> dict[str, Any]:
    """The median, least and greatest of the rounds' ratios, and whether the median reaches the target."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    median = statistics.median(ratios)
    met = None if target is None else median >= target
    return {"median": median, "least": min(ratios), "greatest": max(ratios), "target": target, "met": met}


def margin(answer: Answer) -> float:
    """The difference of the two best labels' log-likelihoods."""
    second, best = sorted(answer.label_scores.values())[-2:]
    return math.inf if second == 0 else math.log(best) - math.log(second)


def main() -> int:
    """Run the modes that are asked for, print one table and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="PubMedQA's ori_pqal.json, its test_ground_truth.json beside it")
    models = parser.add_mutually_exclusive_group()
    models.add_argument("--model", default="embedded", help="embedded, a folder or a hub id")
    models.add_argument("--random-llama", action="store_true", help="random weights, about 300 million parameters")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=int, default=None, help="take so many questions")
    parser.add_argument("--output", type=Path, default=None, help="a JSON file")
    arguments = parser.parse_args()
    model, large = arguments.model, arguments.random_llama
    try:
        records = load_records(DataConfig(path=arguments.data, split="test", limit=arguments.limit))
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            if large:
                model = str(folder / "random-llama")
                parameters = save_random_llama(Path(model), **LARGE)
                print(f"random weights, {parameters:,} parameters", file=sys.stderr)
            results = [
                measure(mode, model, records, arguments.rounds, arguments.peers, folder, large=large)
                for mode in arguments.modes
            ]
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    report = {
        "model": "random-llama" if large else model,
        "n": len(records),
        "rounds": arguments.rounds,
        "results": results,
        "machine": {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads()},
        "versions": {name: version(name) for name in ("torch", "transformers", "medground")}
        | ({"lm_eval": version("lm_eval")} if "lm_eval" in arguments.peers else {}),
    }
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(report, indent=2) + "\n")
    for result in results:
        print("\n".join(lines(result)))
    return 0


def lines(result: dict[str, Any]) -> list[str]:
    """A mode's result for the terminal."""
    verdicts = {True: ", met", False: ", MISSED", None: ""}
    found = []
    for peer, times in result["times"].items():
        target = "" if times["target"] is None else f"; target {times['target']}{verdicts[times['met']]}"
        found.append(
            f"{result['mode']:>8}: {result['median_rate']['medground']:.2f} questions/s, "
            f"{times['median']:.2f} ({times['least']:.2f} to {times['greatest']:.2f}) times {peer}'s "
            f"{result['median_rate'][peer]:.2f}{target}; by processor time "
            f"{result['times_by_processor'][peer]['median']:.2f} times"
            + (f"; at most possible in float32 {most:.2f}" if (most := result["at_most"].get(peer)) else "")
        )
    if "lm_eval" in result["unlike"]:
        unlike = result["unlike"]["lm_eval"]
        found.append(
            f"{result['mode']:>8}: {unlike['predictions']} predictions unlike lm_eval's, besides {unlike['near_ties']} "
            "near ties"
        )
    outside = result["outside"]
    met = "" if outside["target"] is None else verdicts[outside["share"] < outside["target"]]
    stages = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in outside["stages"].items())
    found.append(
        f"{result['mode']:>8}: {outside['share']:.1%} of our time outside the model's forward pass{met}: {stages} "
        f"of {outside['seconds']:.1f} s"
    )
    return found


if __name__ == "__main__":
    sys.exit(main())
