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
that transformers chooses). A ratio is the median over rounds of one round's ratio, with its least and greatest.

lm-evaluation-harness is the optional extra ``bench``; its dependencies conflict with some that Chroma's newest releases
want, so give it an environment of its own.
"""

import argparse
import json
import math
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch

from chains.answer import Answer
from chains.config import LLMConfig
from chains.llm import EMBEDDED, LocalLLM, load_llm
from chains.parsing import parse_label
from chains.qa import qa_chain
from chains.templates import label_lead
from corpus.config import DataConfig
from corpus.errors import UserError
from corpus.load import load_records
from corpus.records import LABELS, QARecord

Mode = Literal["float32", "bfloat16", "default"]
MODES: tuple[Mode, ...] = ("float32", "bfloat16", "default")
TARGETS = {"float32": (2.5, 1.4), "bfloat16": (2.5, 1.4), "default": (5.0, 3.0)}  # times lm_eval, times the loop
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


def measure(mode: Mode, model: str, records: Sequence[QARecord], rounds: int, folder: Path) -> dict[str, Any]:
    """Rates, ratios and differences of one mode."""
    source = str(EMBEDDED) if model == "embedded" else model
    llm = load_llm(LLMConfig(model=model, dtype="auto" if mode == "default" else mode))
    answers: list[Answer] = []
    ours = medground_side(llm, records, answers)
    ours.answer()
    prompts = [answer.prompt or "" for answer in answers]
    sides = [
        ours,
        loop_side(source, mode, prompts, stopping=False),
        loop_side(source, mode, prompts, stopping=True),
        lm_eval_side(source, mode, prompts, label_lead(llm.tokenizer), folder),
    ]
    rates: dict[str, list[float]] = {side.name: [] for side in sides}
    labels: dict[str, list[str | None]] = {}
    for number in range(rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            start = time.perf_counter()
            labels[side.name] = side.answer()
            rates[side.name].append(len(records) / (time.perf_counter() - start))
            print(f"{mode} round {number + 1} {side.name}: {rates[side.name][-1]:.1f} questions/s", file=sys.stderr)
    differing = [i for i in range(len(records)) if labels["medground"][i] != labels["lm_eval"][i]]
    return {
        "mode": mode,
        "dtype": {side.name: side.dtype for side in sides},
        "rates": rates,
        "median_rate": {name: statistics.median(values) for name, values in rates.items()},
        "times_lm_eval": ratio(rates["medground"], rates["lm_eval"], TARGETS[mode][0]),
        "times_loop": ratio(rates["medground"], rates["loop"], TARGETS[mode][1]),
        "times_stopping_loop": ratio(rates["medground"], rates["stopping_loop"], None),
        "predictions_unlike_lm_eval": sum(margin(answers[i]) >= NEAR_TIE for i in differing),
        "near_ties_unlike_lm_eval": sum(margin(answers[i]) < NEAR_TIE for i in differing),
        "predictions_unlike_loop": sum(a != b for a, b in zip(labels["medground"], labels["loop"], strict=True)),
        "accuracy": {
            name: sum(label == record.label for label, record in zip(given, records, strict=True)) / len(records)
            for name, given in labels.items()
        },
    }


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
    parser.add_argument("--model", default="embedded", help="embedded, a folder or a hub id")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=int, default=None, help="take so many questions")
    parser.add_argument("--output", type=Path, default=None, help="a JSON file")
    arguments = parser.parse_args()
    try:
        records = load_records(DataConfig(path=arguments.data, split="test", limit=arguments.limit))
        with tempfile.TemporaryDirectory() as folder:
            results = [
                measure(mode, arguments.model, records, arguments.rounds, Path(folder)) for mode in arguments.modes
            ]
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    report = {
        "model": arguments.model,
        "n": len(records),
        "rounds": arguments.rounds,
        "results": results,
        "machine": {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads()},
        "versions": {name: version(name) for name in ("torch", "transformers", "lm_eval", "medground")},
    }
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(report, indent=2) + "\n")
    for result in results:
        for peer in ("lm_eval", "loop", "stopping_loop"):
            times = result[f"times_{peer}"]
            verdict = {True: "met", False: "MISSED", None: "none"}[times["met"]]
            print(
                f"{result['mode']:>8}: {result['median_rate']['medground']:.1f} questions/s, "
                f"{times['median']:.2f} ({times['least']:.2f} to {times['greatest']:.2f}) times {peer}'s "
                f"{result['median_rate'][peer]:.1f}; target {times['target'] or ''} {verdict}"
            )
        print(
            f"{result['mode']:>8}: {result['predictions_unlike_lm_eval']} predictions unlike lm_eval's, "
            f"besides {result['near_ties_unlike_lm_eval']} near ties"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
