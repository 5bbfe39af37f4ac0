"""How fast adapters of billions of parameters are taught on one NVIDIA card, and in how much memory, by recipe.

    python benchmarks/finetune_gpu.py --steps 30 --output finetune_gpu.json

The models have the architectures of gemma-2b and Llama-2-7b and random weights, so no gated file is needed; speed and
memory do not depend on what weights say. Texts are the sample's pairs through medground-tiny's tokenizer, whose words
are shorter than Gemma's, so rates compare recipes, not models elsewhere. The recipes:

- tutorial: configs/tutorial_qlora.yaml as it stands;
- ours: configs/qlora.yaml at a large model's learning rate;
- ours-checkpointed: the same with gradient checkpointing, for cards that the second fills.

Each runs in a process of its own. Examples/s are those of training steps; peak memory is what torch allocated on the
card at most. ``--shrink 32`` divides widths, depths and vocabularies, to try the script where
there is no card.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

# Python puts this file's folder first, where finetune.py would be taken for the package of its name.
sys.path[:] = [place for place in sys.path if Path(place).resolve() != Path(__file__).resolve().parent]

from medground.environment import prepare  # noqa: E402

prepare()

import torch  # noqa: E402  (telemetry is off before the libraries are imported)
from transformers import (  # noqa: E402
    AutoTokenizer,
    GemmaConfig,
    GemmaForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

from chains.models.local import EMBEDDED  # noqa: E402
from common.errors import UserError  # noqa: E402
from common.logs import no_bars  # noqa: E402
from eval.results import versions  # noqa: E402
from finetune.checkpoints import SUMMARY_FILE, write_json  # noqa: E402
from finetune.qlora.train import train_qlora  # noqa: E402
from medground.settings import load_settings  # noqa: E402

CONFIGS = Path(__file__).parents[1] / "configs"
ARCHITECTURES = ("gemma-2b", "llama-2-7b")
LARGE = {"train.qlora.learning_rate": 2e-4, "train.qlora.answer_pairs": False}
RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "tutorial": ("tutorial_qlora", {}),
    "ours": ("qlora", LARGE),
    "ours-checkpointed": ("qlora", {**LARGE, "train.qlora.gradient_checkpointing": True}),
}


def save_random(architecture: str, folder: Path, shrink: int) -> int:
    """Save a model of random weights in bfloat16 with medground-tiny's tokenizer; how many parameters it has."""
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED)
    ends = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    torch.manual_seed(1)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model: PreTrainedModel
        if architecture == "gemma-2b":
            model = GemmaForCausalLM(
                GemmaConfig(
                    vocab_size=max(len(tokenizer), 256_000 // shrink),
                    hidden_size=2048 // shrink,
                    intermediate_size=16_384 // shrink,
                    num_hidden_layers=max(2, 18 // shrink),
                    num_attention_heads=8,
                    num_key_value_heads=1,
                    head_dim=max(8, 256 // shrink),
                    max_position_embeddings=8192,
                    **ends,
                )
            )
        else:
            model = LlamaForCausalLM(
                LlamaConfig(
                    vocab_size=max(len(tokenizer), 32_000 // shrink),
                    hidden_size=4096 // shrink,
                    intermediate_size=11_008 // shrink,
                    num_hidden_layers=max(2, 32 // shrink),
                    num_attention_heads=32 if shrink == 1 else 4,
                    max_position_embeddings=4096,
                    **ends,
                )
            )
    with no_bars():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return int(model.num_parameters())


def measure(model: str, recipe: str, steps: int, folder: Path) -> dict[str, Any]:
    """Teach ``model`` for so many steps; to be called in a process of its own."""
    name, over = RECIPES[recipe]
    run = {"train.qlora.max_steps": steps, "train.qlora.every": steps, "train.qlora.report_to": []}
    # Chance guesses are all that random weights give: one pair is measured on, so that measuring takes no time.
    settings = load_settings(
        CONFIGS / f"{name}.yaml", over, {"llm.model": model, "train.qlora.dev_limit": 1, "pairs.limit": 3000, **run}
    )
    train_qlora(settings.llm, settings.prompt, settings.pairs, settings.train.qlora, folder)
    summary = json.loads((folder / SUMMARY_FILE).read_text())
    kept = ("examples_per_second", "tokens_per_second", "peak_memory", "trainable_parameters", "substitutions")
    return {"recipe": recipe, **{name: summary[name] for name in kept}}


def in_a_process(model: Path, recipe: str, steps: int, folder: Path) -> dict[str, Any]:
    """What ``measure`` finds with the card to itself; a recipe that does not fit says so instead."""
    single = ["--single", recipe, "--model", str(model), "--steps", str(steps), "--folder", str(folder)]
    outcome = subprocess.run([sys.executable, __file__, *single], check=False, capture_output=True, text=True)
    if outcome.returncode:
        last = outcome.stderr.strip().splitlines()[-1:] or ["no message"]
        return {"recipe": recipe, "failed": last[0]}
    found: dict[str, Any] = json.loads((folder / f"{recipe}.json").read_text())
    return found


def line(architecture: str, one: dict[str, Any], tutorial: dict[str, Any]) -> str:
    """A recipe's figures, and their ratios to the tutorial's."""
    head = f"{architecture:<12} {one['recipe']:<18}"
    if "failed" in one:
        return f"{head} failed: {one['failed']}"
    ratio = ""
    if "failed" not in tutorial:
        ratio = f" {one['examples_per_second'] / tutorial['examples_per_second']:>7.2f}"
    memory = (one["peak_memory"] or 0) / 2**30
    return f"{head} {one['examples_per_second']:>10.2f} {one['tokens_per_second']:>9,} {memory:>9.2f}{ratio}"


def main() -> int:
    """Run each recipe on each architecture, print one table and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architectures", nargs="+", choices=ARCHITECTURES, default=list(ARCHITECTURES))
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--shrink", type=int, default=1)
    parser.add_argument("--output", type=Path, default=None, help="a JSON file")
    parser.add_argument("--single", choices=list(RECIPES), default=None, help=argparse.SUPPRESS)
    parser.add_argument("--model", default=None, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    try:
        if arguments.single is not None:
            found = measure(arguments.model, arguments.single, arguments.steps, arguments.folder / arguments.single)
            write_json(arguments.folder / f"{arguments.single}.json", found)
            return 0
        if not torch.cuda.is_available() and arguments.shrink == 1:
            raise UserError("There is no NVIDIA card here. Give --shrink 32 to try the script on the processor.")
        print(f"{'model':<12} {'recipe':<18} {'examples/s':>10} {'tokens/s':>9} {'peak GiB':>9} {'ratio':>7}")
        report: dict[str, Any] = {"versions": versions(), "steps": arguments.steps, "shrink": arguments.shrink}
        report["device"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "processor"
        for architecture in arguments.architectures:
            with tempfile.TemporaryDirectory() as folder:
                model = Path(folder) / "model"
                parameters = save_random(architecture, model, arguments.shrink)
                found = [in_a_process(model, recipe, arguments.steps, Path(folder)) for recipe in arguments.recipes]
            for one in found:
                print(line(architecture, one, found[0]), flush=True)
            report[architecture] = {"parameters": parameters, "recipes": found}
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.output is not None:
        write_json(arguments.output, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
