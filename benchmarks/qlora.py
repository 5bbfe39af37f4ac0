"""Accuracy, speed and memory of fine-tuning for inference, by recipe.

    python benchmarks/qlora.py --output qlora.json

- before: the base model without training, in NF4;
- qlora: configs/qlora.yaml, an adapter on the NF4 base;
- checkpointed: the same with gradient checkpointing;
- lora: the same recipe on the unquantised base;
- full: the same recipe for all weights;
- tutorial: configs/tutorial_qlora.yaml.

Each recipe is trained in a process of its own, so peak memory (on a card what torch allocated, else the whole process)
belongs to one recipe. Accuracy on the test pairs is by label scores, with Wilson's 95% interval. Examples/s count
training steps only, the seconds in all also loading, evaluation on the dev pairs and saving.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import bench

from chains.models.local import load_llm
from chains.nli import nli_chain
from common.errors import UserError
from corpus.inference.pairs import load_pairs
from corpus.load import load_records
from eval.tasks import NLITask
from finetune.checkpoints import SUMMARY_FILE
from medground.settings import load_settings

RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "before": ("qlora", {}),
    "qlora": ("qlora", {}),
    "checkpointed": ("qlora", {"train.qlora.gradient_checkpointing": True}),
    "lora": ("qlora", {"llm.quantization": "none"}),
    "full": ("qlora", {"llm.quantization": "none", "train.qlora.method": "full"}),
    "tutorial": ("tutorial_qlora", {}),
}
SPEED = ("examples_per_second", "tokens_per_second", "seconds_training", "seconds", "peak_memory")
FIGURES = (*SPEED, "trainable_parameters", "substitutions", "dev_accuracy", "step", "steps")


def measure(recipe: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Train a recipe in ``folder`` and evaluate it; call it in a process of its own."""
    config, changes = RECIPES[recipe]
    given = {
        "pairs.path": options.pairs,
        "pairs.limit": options.limit,
        "data.limit": options.limit,
        "train.qlora.max_steps": options.max_steps,
    }
    changes = {**changes, **{key: value for key, value in given.items() if value is not None}}
    settings = load_settings(
        bench.CONFIGS / f"{config}.yaml", {**changes, "llm.model": options.model, "train.qlora.report_to": []}
    )
    llm = settings.llm
    figures: dict[str, Any] = {"recipe": recipe}
    if recipe != "before":
        from finetune.qlora.train import train_qlora

        train = settings.train.qlora
        answers = load_records(settings.data, "train") if train.answer_pairs else ()
        train_qlora(llm, settings.prompt, settings.pairs, train, folder, answers=answers)
        summary = json.loads((folder / SUMMARY_FILE).read_text())
        figures |= {name: summary[name] for name in FIGURES}
        trained = {"model": str(folder)} if recipe == "full" else {"adapter": str(folder)}
        llm = llm.model_copy(update={"dtype": "auto", **trained})
    data = load_pairs(settings.pairs, "test")
    chain = nli_chain(load_llm(llm), data.labels, prompt_family=settings.prompt.family)
    result = NLITask().evaluate(chain, data.pairs, identity={"run": recipe}, quiet=True)
    accuracy = result.estimates["accuracy"]
    measured = {"accuracy": accuracy.value, "low": accuracy.low, "high": accuracy.high}
    return {**figures, "n": len(data.pairs), **measured, "macro_f1": result.metrics["macro_f1"]}


def line(one: dict[str, Any]) -> str:
    """A row of the table."""
    if "failed" in one:
        return f"{one['recipe']:<13} failed: {one['failed']}"
    row = f"{one['recipe']:<13} {one['accuracy']:.3f} ({one['low']:.3f}-{one['high']:.3f})"
    if "seconds" in one:
        memory = "-" if one["peak_memory"] is None else f"{one['peak_memory'] / 2**30:.2f}"
        row += f" {one['examples_per_second']:>10.2f} {one['tokens_per_second']:>9,} {one['seconds_training']:>10.1f}"
        row += f" {one['seconds']:>8.1f} {memory:>8} {one['trainable_parameters']:>13,}"
    return row


def main() -> None:
    """Run the recipes, print one table and write the JSON file."""
    parser = bench.parser(__doc__)
    parser.add_argument("--model", default="embedded", help="embedded, a folder or a hub id")
    parser.add_argument("--pairs", help="a folder with MedNLI's files; the sample by default")
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--limit", type=int, help="maximum number of pairs of each split, and of questions")
    parser.add_argument("--max-steps", type=int, help="maximum number of steps of each training run")
    parser.add_argument("--folder", type=Path, help="folder that keeps adapters and models")
    parser.add_argument("--single", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.single:
        print(json.dumps(measure(options.single, options, options.folder / options.single)))
        return
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        for recipe in options.recipes:
            try:
                results.append(bench.child(*sys.argv[1:], "--folder", str(folder), "--single", recipe))
            except UserError as error:
                results.append({"recipe": recipe, "failed": str(error)})
    columns = f"{'examples/s':>10} {'tokens/s':>9} {'training s':>10} {'in all s':>8} {'peak GiB':>8} {'trained':>13}"
    print(f"{'recipe':<13} {'accuracy (95%)':<19} {columns}")
    for one in results:
        print(line(one))
    bench.write_report(options.output, {"model": options.model, "results": results})


if __name__ == "__main__":
    bench.run(main)
