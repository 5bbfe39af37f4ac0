"""Speed-up from computing the common prefix of all prompts once.

    python benchmarks/prefix.py --output prefix.json

medground-tiny classifies the sample's test pairs in float32, with few-shot examples of about ``--shared`` tokens as
common prefix: with the prefix computed once ("shared"), and with every prompt computed from its beginning ("whole"),
alternately for several rounds. There are four ways to classify, the paths:

- packed: labels of one token, scored by the packed model (``chains/models/cpu_llama.py``);
- one_token: labels of one token, scored by transformers' forward pass, as for other models;
- labels: the sample's labels, of several tokens each, scored from transformers' key-value cache;
- generate: labels parsed from generated text.

A ratio is the median of the rounds' ratios, with their minimum and maximum. On a busy machine, the ratio of processor
times on one thread (OMP_NUM_THREADS=1) is more stable.
"""

import math
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

import bench

from chains.config import Decide, LLMConfig
from chains.models.generation import continuation_batches
from chains.models.local import LocalLLM, load_llm
from chains.models.prefix import shared_prefix_length
from chains.models.scoring import encode, scored_batches
from chains.nli import Judgement, NLIChain, Pair, draw_shots, nli_chain
from corpus.config import PairsConfig
from corpus.inference.pairs import load_pairs

PATHS = ("packed", "one_token", "labels", "generate")
NEAR_TIE = 1e-4  # difference of the two best log-likelihoods below which rounding may change a prediction
ONE_TOKEN_LABELS = {"entailment": "yes", "neutral": "maybe", "contradiction": "no"}


@contextmanager
def whole_prompts() -> Iterator[None]:
    """Compute every prompt from its beginning within this context."""
    with (
        patch("chains.models.local.scored_batches", partial(scored_batches, share=False)),
        patch("chains.models.local_chat.continuation_batches", partial(continuation_batches, share=False)),
    ):
        yield


def make_chain(path: str, llm: LocalLLM, tokens: int) -> NLIChain:
    """A chain whose few-shot examples have about ``tokens`` tokens."""
    train = load_pairs(PairsConfig(), "train")
    labels = {label: label if path == "labels" else ONE_TOKEN_LABELS[label] for label in train.labels}
    # A shot has about 150 tokens; fewer shots are used if that comes nearer to ``tokens``.
    shots = [replace(shot, label=labels[shot.label]) for shot in draw_shots(train.pairs, train.labels, tokens // 150)]
    path_llm = replace(llm)
    vars(path_llm)["packed"] = llm.packed if path == "packed" else None

    def chain_with_shots(count: int) -> NLIChain:
        decide: Decide = "generate" if path == "generate" else "score"
        return nli_chain(path_llm, tuple(labels.values()), shots=shots[:count], decide=decide)

    def prompt_tokens(count: int) -> int:
        prompt = chain_with_shots(count).invoke({"premise": "-", "hypothesis": "-"}).prompt
        return len(encode(llm.tokenizer, [prompt or ""])[0])

    return chain_with_shots(min(range(len(shots) + 1), key=lambda count: abs(prompt_tokens(count) - tokens)))


def measure(path: str, llm: LocalLLM, pairs: Sequence[Pair], tokens: int, rounds: int) -> dict[str, Any]:
    """Rates with shared and with whole prompts on one path, their ratios, and differences of the predictions."""
    chain = make_chain(path, llm, tokens)
    rates: dict[str, list[float]] = {"shared": [], "whole": []}
    processor: dict[str, list[float]] = {"shared": [], "whole": []}
    judgements: dict[str, list[Judgement]] = {}
    for number in range(rounds + 1):  # the first round is a warm-up
        for mode in rates if number % 2 == 0 else reversed(rates):
            with nullcontext() if mode == "shared" else whole_prompts():
                started, processor_started = time.perf_counter(), time.process_time()
                judgements[mode] = chain.batch([{"premise": pair[0], "hypothesis": pair[1]} for pair in pairs])
                seconds, processor_seconds = time.perf_counter() - started, time.process_time() - processor_started
            if number:
                rates[mode].append(len(pairs) / seconds)
                processor[mode].append(processor_seconds)
                print(f"{path} round {number} {mode}: {rates[mode][-1]:.1f} pairs/s", file=sys.stderr)
    ids = encode(llm.tokenizer, [judgement.prompt or "" for judgement in judgements["whole"]])
    by_mode = list(zip(judgements["shared"], judgements["whole"], strict=True))
    differing = [whole for shared, whole in by_mode if (shared.label, shared.output) != (whole.label, whole.output)]
    return {
        "path": path,
        "shared_tokens": shared_prefix_length(llm.model, ids, 0),
        "mean_tokens": statistics.mean(map(len, ids)),
        "rates": rates,
        "times": bench.ratio_spread(rates["shared"], rates["whole"]),
        "times_by_processor": bench.ratio_spread(processor["whole"], processor["shared"]),
        "labels": Counter(str(judgement.label) for judgement in judgements["whole"]),
        "predictions_unlike": sum(margin(whole) >= NEAR_TIE for whole in differing),
        "near_ties_unlike": sum(margin(whole) < NEAR_TIE for whole in differing),
        "greatest_difference": max(
            (
                abs(shared.label_scores[label] - whole.label_scores[label])
                for shared, whole in by_mode
                for label in whole.label_scores
            ),
            default=None,
        ),
    }


def margin(judgement: Judgement) -> float:
    """The difference of the two best labels' log-likelihoods; infinite for generated text."""
    second, best = sorted(judgement.label_scores.values())[-2:] or (0.0, 1.0)  # no scores of generated text
    return math.inf if second == 0 else math.log(best) - math.log(second)


def main() -> None:
    """Measure the paths, print one table and write the JSON file."""
    parser = bench.make_parser(__doc__)
    parser.add_argument("--paths", nargs="+", choices=PATHS, default=list(PATHS))
    parser.add_argument("--shared", type=int, default=800, help="approximate number of shared tokens")
    parser.add_argument("--limit", type=int, default=100, help="number of pairs")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    data = load_pairs(PairsConfig(limit=options.limit), "test")
    pairs = [(pair.premise, pair.hypothesis) for pair in data.pairs]
    llm = load_llm(LLMConfig(dtype="float32"))
    paths = [path for path in options.paths if path != "packed" or llm.packed is not None]
    results = [measure(path, llm, pairs, options.shared, options.rounds) for path in paths]
    print(f"{'path':<10} {'shared':>6} {'tokens':>6} {'pairs/s':>9} {'without':>9}  times")
    for row in results:
        rates = {name: statistics.median(values) for name, values in row["rates"].items()}
        print(
            f"{row['path']:<10} {row['shared_tokens']:>6} {row['mean_tokens']:>6.0f} {rates['shared']:>9.1f} "
            f"{rates['whole']:>9.1f}  {bench.format_spread(row['times'])}, by processor time "
            f"{bench.format_spread(row['times_by_processor'])}"
        )
        print(
            f"{'':<10} {row['predictions_unlike']} predictions differ, besides {row['near_ties_unlike']} near ties; "
            f"labels: {', '.join(f'{label} {count}' for label, count in row['labels'].items())}"
        )
    bench.write_report(options.output, {"n": len(pairs), "results": results})


if __name__ == "__main__":
    bench.run(main)
