"""What it brings to compute once what all prompts begin with, in one run.

    python benchmarks/prefix.py --output prefix.json

The sample's test pairs are judged after examples of about ``--shared`` tokens by a Llama with random weights, which has
medground-tiny's size and tokenizer and room for such prompts, in float32: with the examples computed once, and with
every prompt computed whole, in turns, for several rounds. Both are ``nli_chain(...).judge(pairs)``: rendering,
tokenising, scoring. The paths:

- packed: labels of one token, by the model laid out for the processor (``chains/models/cpu_llama.py``);
- one_token: the same by transformers' own forward pass, which any other model takes;
- labels: the sample's labels, of several tokens each, which continue from transformers' key-value cache;
- generate: labels read out of generated text.

A ratio is the median over rounds of one round's ratio, with its least and greatest; where other work disturbs the
machine, that of processor time, on one thread (OMP_NUM_THREADS=1), is disturbed less.
"""

import argparse
import json
import math
import platform
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

# Python puts this file's folder first, where finetune.py would be taken for the package of its name.
_folder = Path(__file__).resolve().parent
sys.path[:] = [str(_folder.parent), *(place for place in sys.path if Path(place).resolve() != _folder)]

from medground.environment import prepare  # noqa: E402

prepare()

import torch  # noqa: E402  (telemetry is off before the libraries are imported)

import chains.models.local  # noqa: E402
import chains.models.local_chat  # noqa: E402
from benchmarks.random_llama import save_random_llama  # noqa: E402
from chains.config import Decide, LLMConfig  # noqa: E402
from chains.models.generation import written_batches  # noqa: E402
from chains.models.local import LocalLLM, load_llm  # noqa: E402
from chains.models.prefix import sharable  # noqa: E402
from chains.models.scoring import encode, scored_batches  # noqa: E402
from chains.nli import Judgement, NLIChain, Pair, draw_shots, nli_chain  # noqa: E402
from common.errors import UserError  # noqa: E402
from corpus.config import PairsConfig  # noqa: E402
from corpus.inference.pairs import load_pairs  # noqa: E402
from eval.results import versions  # noqa: E402

PATHS = ("packed", "one_token", "labels", "generate")
TARGET = 2.0  # times the rate without it
NEAR_TIE = 1e-4  # difference of the two best scores' logarithms below which a prediction may differ
SIZE = {"width": 256, "feed_forward": 704, "layers": 6}  # medground-tiny's
SCALE = 0.1  # of the weights, so that the prompts' labels differ
WORDS = {"entailment": "yes", "neutral": "maybe", "contradiction": "no"}  # one token each


@contextmanager
def whole_prompts() -> Iterator[None]:
    """Inside, every prompt goes through the model whole."""
    chains.models.local.scored_batches = partial(scored_batches, share=False)
    chains.models.local_chat.written_batches = partial(written_batches, share=False)
    try:
        yield
    finally:
        chains.models.local.scored_batches = scored_batches
        chains.models.local_chat.written_batches = written_batches


def make_chain(path: str, llm: LocalLLM, tokens: int) -> NLIChain:
    """A chain that shows as many examples before each pair as come next to ``tokens`` tokens."""
    train = load_pairs(PairsConfig(), "train")
    words = {label: label if path == "labels" else WORDS[label] for label in train.labels}
    shots = [replace(shot, label=words[shot.label]) for shot in draw_shots(train.pairs, train.labels, tokens // 150)]
    used = replace(llm)
    vars(used)["packed"] = llm.packed if path == "packed" else None

    def chain(count: int) -> NLIChain:
        decide: Decide = "generate" if path == "generate" else "score"
        return nli_chain(used, tuple(words.values()), shots=shots[:count], decide=decide)

    def length(count: int) -> int:
        return len(encode(llm.tokenizer, [chain(count).invoke({"premise": "-", "hypothesis": "-"}).prompt or ""])[0])

    return chain(min(range(len(shots) + 1), key=lambda count: abs(length(count) - tokens)))


def measure(path: str, llm: LocalLLM, pairs: Sequence[Pair], tokens: int, rounds: int) -> dict[str, Any]:
    """Rates, ratios and differences of one path."""
    chain = make_chain(path, llm, tokens)
    rates: dict[str, list[float]] = {"shared": [], "whole": []}
    worked: dict[str, list[float]] = {"shared": [], "whole": []}
    found: dict[str, list[Judgement]] = {}
    for number in range(rounds + 1):  # the first is not counted
        for name in rates if number % 2 == 0 else reversed(rates):
            with nullcontext() if name == "shared" else whole_prompts():
                start, work = time.perf_counter(), time.process_time()
                judged = chain.batch([{"premise": premise, "hypothesis": hypothesis} for premise, hypothesis in pairs])
                seconds, work = time.perf_counter() - start, time.process_time() - work
            found[name] = judged
            if number:
                rates[name].append(len(pairs) / seconds)
                worked[name].append(work)
                print(f"{path} round {number} {name}: {rates[name][-1]:.1f} pairs/s", file=sys.stderr)
    ids = encode(llm.tokenizer, [judgement.prompt or "" for judgement in found["whole"]])
    ratios = [a / b for a, b in zip(rates["shared"], rates["whole"], strict=True)]
    both = list(zip(found["shared"], found["whole"], strict=True))
    differing = [(a, b) for a, b in both if (a.label, a.output) != (b.label, b.output)]
    return {
        "path": path,
        "shared_tokens": sharable(llm.model, ids, 0),
        "mean_tokens": statistics.mean(map(len, ids)),
        "rates": rates,
        "times": statistics.median(ratios),
        "least": min(ratios),
        "greatest": max(ratios),
        "times_by_processor": statistics.median(a / b for a, b in zip(worked["whole"], worked["shared"], strict=True)),
        "met": statistics.median(ratios) >= TARGET,
        "labels": Counter(str(judgement.label) for judgement in found["whole"]),
        "predictions_unlike": sum(margin(b) >= NEAR_TIE for _, b in differing),
        "near_ties_unlike": sum(margin(b) < NEAR_TIE for _, b in differing),
        "greatest_difference": max(
            (abs(a.label_scores[label] - b.label_scores[label]) for a, b in both for label in b.label_scores),
            default=None,
        ),
    }


def margin(judgement: Judgement) -> float:
    """The difference of the two best labels' log-likelihoods; infinite for generated text."""
    second, best = sorted(judgement.label_scores.values())[-2:] or (0.0, 1.0)
    return math.inf if second == 0 else math.log(best) - math.log(second)


def main() -> int:
    """Measure the paths that are asked for, print one table and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--paths", nargs="+", choices=PATHS, default=list(PATHS))
    parser.add_argument("--shared", type=int, default=800, help="about how many tokens the prompts begin with")
    parser.add_argument("--limit", type=int, default=100, help="take so many pairs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=None, help="a JSON file")
    arguments = parser.parse_args()
    try:
        data = load_pairs(PairsConfig(limit=arguments.limit), "test")
        pairs = [(pair.premise, pair.hypothesis) for pair in data.pairs]
        with tempfile.TemporaryDirectory() as folder:
            parameters = save_random_llama(Path(folder), **SIZE, window=4096, scale=SCALE)
            llm = load_llm(LLMConfig(model=folder, dtype="float32"))
            paths = [path for path in arguments.paths if path != "packed" or llm.packed is not None]
            results = [measure(path, llm, pairs, arguments.shared, arguments.rounds) for path in paths]
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{'path':<10} {'shared':>6} {'tokens':>6} {'pairs/s':>9} {'without':>9}  times, from least to greatest")
    for one in results:
        rates = {name: statistics.median(values) for name, values in one["rates"].items()}
        print(
            f"{one['path']:<10} {one['shared_tokens']:>6} {one['mean_tokens']:>6.0f} {rates['shared']:>9.1f} "
            f"{rates['whole']:>9.1f}  {one['times']:.2f} ({one['least']:.2f} to {one['greatest']:.2f}), target "
            f"{TARGET} {'met' if one['met'] else 'MISSED'}, by processor time {one['times_by_processor']:.2f}"
        )
        print(
            f"{'':<10} {one['predictions_unlike']} predictions differ, besides {one['near_ties_unlike']} near ties; "
            f"labels: {', '.join(f'{label} {count}' for label, count in one['labels'].items())}"
        )
    if arguments.output is not None:
        report = {
            "n": len(pairs),
            "parameters": parameters,
            "results": results,
            "machine": {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads()},
            "versions": versions(),
        }
        arguments.output.write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
