"""Accuracy, speed and memory of fine-tuning for inference, by recipe.

    python benchmarks/qlora.py --output qlora.json
    python benchmarks/qlora.py --random gemma-2b --recipes tutorial qlora checkpointed --max-steps 30

- before: the base model without training, in NF4;
- qlora: configs/qlora.yaml, an adapter on the NF4 base;
- checkpointed: the same with gradient checkpointing;
- lora: the same recipe on the unquantised base;
- full: the same recipe for all weights, with a learning rate of its own;
- tutorial: configs/tutorial_qlora.yaml.

Each recipe is trained in a process of its own, so peak memory (on a card what torch allocated, else the whole process)
belongs to one recipe. Accuracy on the test pairs is by label scores, with Wilson's 95% interval. Examples/s count
training steps only, the seconds in all also loading, evaluation on the dev pairs and saving.

``--random`` trains random weights of a large architecture on the sample's pairs and measures speed and memory only,
which do not depend on the weights; no gated file is needed. ``--shrink 32`` divides the widths and depths, to try the
script without a card.
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
from common.logs import no_bars
from corpus.inference.pairs import load_pairs
from corpus.load import load_records
from eval.tasks import NLITask
from finetune.checkpoints import SUMMARY_FILE
from medground.settings import Settings, load_settings

ARCHITECTURES = ("gemma-2b", "llama-2-7b")
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


def recipe_settings(recipe: str, options: argparse.Namespace) -> Settings:
    """The settings of a recipe."""
    config, over = RECIPES[recipe]
    over = {**over, "llm.model": options.model, "train.qlora.report_to": []}
    if options.pairs is not None:
        over["pairs.path"] = options.pairs
    if options.limit is not None:
        over |= {"pairs.limit": options.limit, "data.limit": options.limit}
    if options.max_steps is not None:
        over["train.qlora.max_steps"] = options.max_steps
    if options.random is not None:
        # The labels are chance, so a single dev pair is evaluated; all recipes read the same texts.
        over |= {"train.qlora.answer_pairs": False, "train.qlora.dev_limit": 1}
    if recipe == "full":
        over["train.qlora.learning_rate"] = options.full_rate
    return load_settings(bench.CONFIGS / f"{config}.yaml", over)


def measure(recipe: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Train a recipe in ``folder`` and evaluate it; call it in a process of its own."""
    settings = recipe_settings(recipe, options)
    llm = settings.llm
    figures: dict[str, Any] = {"recipe": recipe}
    if recipe != "before":
        from finetune.qlora.train import train_qlora

        config = settings.train.qlora
        answers = load_records(settings.data, "train") if config.answer_pairs else ()
        train_qlora(llm, settings.prompt, settings.pairs, config, folder, answers=answers)
        summary = json.loads((folder / SUMMARY_FILE).read_text())
        figures |= {name: summary[name] for name in FIGURES}
        trained = {"model": str(folder)} if recipe == "full" else {"adapter": str(folder)}
        llm = llm.model_copy(update={"dtype": "auto", **trained})
    if options.random is not None:
        return figures
    data = load_pairs(settings.pairs, "test")
    chain = nli_chain(load_llm(llm), data.labels, prompt_family=settings.prompt.family)
    result = NLITask().evaluate(chain, data.pairs, identity={"run": recipe}, quiet=True)
    accuracy = result.estimates["accuracy"]
    measured = {"accuracy": accuracy.value, "low": accuracy.low, "high": accuracy.high}
    return {**figures, "n": len(data.pairs), **measured, "macro_f1": result.metrics["macro_f1"]}


def save_architecture(name: str, folder: Path, shrink: int) -> int:
    """Save random weights in bfloat16 and return the number of parameters."""
    import torch
    from transformers import GemmaConfig, LlamaConfig

    sizes = {"dtype": torch.bfloat16, "num_attention_heads": 8 if name == "gemma-2b" or shrink > 1 else 32}
    config: Any
    if name == "gemma-2b":
        config = GemmaConfig(
            vocab_size=256_000 // shrink,
            hidden_size=2048 // shrink,
            intermediate_size=16_384 // shrink,
            num_hidden_layers=max(2, 18 // shrink),
            num_key_value_heads=1,
            head_dim=max(8, 256 // shrink),
            **sizes,
        )
    else:
        config = LlamaConfig(
            vocab_size=32_000 // shrink,
            hidden_size=4096 // shrink,
            intermediate_size=11_008 // shrink,
            num_hidden_layers=max(2, 32 // shrink),
            max_position_embeddings=4096,
            **sizes,
        )
    with no_bars():
        return bench.save_random_model(folder, config)


def line(one: dict[str, Any]) -> str:
    """A row of the table."""
    if "failed" in one:
        return f"{one['recipe']:<13} failed: {one['failed']}"
    accuracy = f"{one['accuracy']:.3f} ({one['low']:.3f}-{one['high']:.3f})" if "accuracy" in one else "-"
    row = f"{one['recipe']:<13} {accuracy:<20}"
    if "seconds" in one:
        memory = "-" if one["peak_memory"] is None else f"{one['peak_memory'] / 2**30:.2f}"
        row += f" {one['examples_per_second']:>10.2f} {one['tokens_per_second']:>9,} {one['seconds_training']:>10.1f}"
        row += f" {one['seconds']:>8.1f} {memory:>8} {one['trainable_parameters']:>13,}"
    return row


def main() -> None:
    """Run the recipes, print one table and write the JSON file."""
    parser = bench.parser(__doc__)
    models = parser.add_mutually_exclusive_group()
    models.add_argument("--model", default="embedded", help="embedded, a folder or a hub id")
    models.add_argument("--random", choices=ARCHITECTURES, help="random weights of this architecture")
    parser.add_argument("--shrink", type=int, default=1, help="divisor of the architecture's sizes")
    parser.add_argument("--pairs", help="a folder with MedNLI's files; the sample by default")
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--limit", type=int, help="maximum number of pairs of each split, and of questions")
    parser.add_argument("--max-steps", type=int, help="maximum number of steps of each training run")
    parser.add_argument("--full-rate", type=float, default=5e-4, help="learning rate of full fine-tuning")
    parser.add_argument("--folder", type=Path, help="folder that keeps adapters and models")
    parser.add_argument("--single", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.single:
        recipe, model = options.single
        options.model = model
        print(json.dumps(measure(recipe, options, options.folder / recipe)))
        return
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        model = options.model
        if options.random is not None:
            model = str(folder / options.random)
            print(f"{options.random}: {save_architecture(options.random, Path(model), options.shrink):,} parameters")
        for recipe in options.recipes:
            try:
                found = bench.child(*sys.argv[1:], "--folder", str(folder), "--single", recipe, model)
            except UserError as error:
                found = {"recipe": recipe, "failed": str(error)}
            results.append(found)
    columns = f"{'examples/s':>10} {'tokens/s':>9} {'training s':>10} {'in all s':>8} {'peak GiB':>8} {'trained':>13}"
    print(f"{'recipe':<13} {'accuracy (95%)':<20} {columns}")
    for one in results:
        print(line(one))
    bench.write_report(options.output, {"model": options.random or model, "results": results})


if __name__ == "__main__":
    bench.run(main)
