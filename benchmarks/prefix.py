"""Speed-up by computing the shared beginning of all prompts once.

    python benchmarks/prefix.py --output prefix.json

medground-tiny classifies the sample's test pairs in float32 after few-shot examples of about ``--shared`` tokens: with
the examples computed once, and with every prompt computed whole, in turns, for several rounds. The paths:

- packed: labels of one token, by the packed model (``chains/models/cpu_llama.py``);
- one_token: the same by transformers' forward pass, as for any other model;
- labels: the sample's labels, of several tokens each, which continue from transformers' key-value cache;
- generate: labels parsed from generated text.

A ratio is the median over rounds of one round's ratio, with its least and greatest. On a busy machine, the ratio of
processor time on one thread (OMP_NUM_THREADS=1) is more stable.
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

import bench

import chains.models.local
import chains.models.local_chat
from chains.config import Decide, LLMConfig
from chains.models.generation import continuation_batches
from chains.models.local import LocalLLM, load_llm
from chains.models.prefix import shared_prefix_length
from chains.models.scoring import encode, scored_batches
from chains.nli import Judgement, NLIChain, Pair, draw_shots, nli_chain
from corpus.config import PairsConfig
from corpus.inference.pairs import load_pairs

PATHS = ("packed", "one_token", "labels", "generate")
NEAR_TIE = 1e-4  # difference of the two best log-likelihoods below which a prediction may differ
WORDS = {"entailment": "yes", "neutral": "maybe", "contradiction": "no"}  # one token each


@contextmanager
def whole_prompts() -> Iterator[None]:
    """Compute every prompt whole within the context."""
    chains.models.local.scored_batches = partial(scored_batches, share=False)
    chains.models.local_chat.continuation_batches = partial(continuation_batches, share=False)
    try:
        yield
    finally:
        chains.models.local.scored_batches = scored_batches
        chains.models.local_chat.continuation_batches = continuation_batches


def make_chain(path: str, llm: LocalLLM, tokens: int) -> NLIChain:
    """A chain whose few-shot examples have about ``tokens`` tokens."""
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
    processor: dict[str, list[float]] = {"shared": [], "whole": []}
    found: dict[str, list[Judgement]] = {}
    for number in range(rounds + 1):  # the first warms up
        for name in rates if number % 2 == 0 else reversed(rates):
            with nullcontext() if name == "shared" else whole_prompts():
                start, work = time.perf_counter(), time.process_time()
                judged = chain.batch([{"premise": premise, "hypothesis": hypothesis} for premise, hypothesis in pairs])
                seconds, work = time.perf_counter() - start, time.process_time() - work
            found[name] = judged
            if number:
                rates[name].append(len(pairs) / seconds)
                processor[name].append(work)
                print(f"{path} round {number} {name}: {rates[name][-1]:.1f} pairs/s", file=sys.stderr)
    ids = encode(llm.tokenizer, [judgement.prompt or "" for judgement in found["whole"]])
    both = list(zip(found["shared"], found["whole"], strict=True))
    differing = [(a, b) for a, b in both if (a.label, a.output) != (b.label, b.output)]
    return {
        "path": path,
        "shared_tokens": shared_prefix_length(llm.model, ids, 0),
        "mean_tokens": statistics.mean(map(len, ids)),
        "rates": rates,
        "times": bench.ratios(rates["shared"], rates["whole"]),
        "times_by_processor": bench.ratios(processor["whole"], processor["shared"]),
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


def main() -> None:
    """Measure the paths, print one table and write the JSON file."""
    parser = bench.parser(__doc__)
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
    for one in results:
        rates = {name: statistics.median(values) for name, values in one["rates"].items()}
        print(
            f"{one['path']:<10} {one['shared_tokens']:>6} {one['mean_tokens']:>6.0f} {rates['shared']:>9.1f} "
            f"{rates['whole']:>9.1f}  {bench.shown(one['times'])}, by processor time "
            f"{bench.shown(one['times_by_processor'])}"
        )
        print(
            f"{'':<10} {one['predictions_unlike']} predictions differ, besides {one['near_ties_unlike']} near ties; "
            f"labels: {', '.join(f'{label} {count}' for label, count in one['labels'].items())}"
        )
    bench.write_report(options.output, {"n": len(pairs), "results": results})


if __name__ == "__main__":
    bench.run(main)
