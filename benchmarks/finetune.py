"""What fine-tuning for inference reaches, by recipe, on one model and the same pairs, in one run.

    python benchmarks/finetune.py --output finetune.json

- before: the base as it is, in NF4;
- qlora: configs/qlora.yaml, an adapter on the NF4 base;
- lora: the same recipe on the base unquantised;
- full: the same recipe for all weights, with a learning rate of its own;
- tutorial: configs/tutorial_qlora.yaml as it stands.

Each is trained in a process of its own, one after the other, so that peak memory (the whole process, libraries
included) is each one's own; then it is measured on the test pairs by scoring labels, with Wilson's 95% interval.
examples/s are training examples, the questions' pairs among them, by seconds of training steps; measuring on the dev
pairs and saving are not in it, but in the seconds in all, as is loading.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Python puts this file's folder first, where the file itself would be taken for the package of its name.
sys.path[:] = [place for place in sys.path if Path(place).resolve() != Path(__file__).resolve().parent]

from medground.environment import prepare  # noqa: E402

prepare()

from chains.models.local import load_llm  # noqa: E402  (telemetry is off before the libraries are imported)
from chains.nli import nli_chain  # noqa: E402
from common.errors import UserError  # noqa: E402
from corpus.inference.pairs import load_pairs  # noqa: E402
from corpus.load import load_records  # noqa: E402
from eval.results import versions  # noqa: E402
from eval.tasks import NLITask  # noqa: E402
from finetune.checkpoints import SUMMARY_FILE, write_json  # noqa: E402
from medground.settings import Settings, load_settings  # noqa: E402

RUNS = ("before", "qlora", "lora", "full", "tutorial")
CONFIGS = Path(__file__).parents[1] / "configs"
SECONDS = 240  # of training in all, on two cores
FIGURES = (
    "examples_per_second",
    "tokens_per_second",
    "seconds_training",
    "seconds",
    "peak_memory",
    "trainable_parameters",
    "substitutions",
    "dev_accuracy",
    "step",
    "steps",
)


def settings_of(run: str, arguments: argparse.Namespace) -> Settings:
    """The settings that a run is trained with."""
    over: dict[str, Any] = {"llm.model": arguments.model}
    if arguments.pairs is not None:
        over["pairs.path"] = arguments.pairs
    if arguments.limit is not None:
        over |= {"pairs.limit": arguments.limit, "data.limit": arguments.limit}
    if arguments.max_steps is not None:
        over["train.qlora.max_steps"] = arguments.max_steps
    if run in ("lora", "full"):
        over["llm.quantization"] = "none"
    if run == "full":
        over |= {"train.qlora.method": "full", "train.qlora.learning_rate": arguments.full_rate}
    name = "tutorial_qlora" if run == "tutorial" else "qlora"
    return load_settings(CONFIGS / f"{name}.yaml", over)


def measure(run: str, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Train one recipe in ``folder`` and measure it; to be called in a process of its own."""
    settings = settings_of(run, arguments)
    llm = settings.llm
    figures: dict[str, Any] = {}
    if run != "before":
        from finetune.qlora.train import train_qlora

        config = settings.train.qlora
        answers = load_records(settings.data, "train") if config.answer_pairs else ()
        train_qlora(llm, settings.prompt, settings.pairs, config, folder, answers=answers)
        summary = json.loads((folder / SUMMARY_FILE).read_text())
        figures = {name: summary[name] for name in FIGURES}
        trained = {"model": str(folder)} if run == "full" else {"adapter": str(folder)}
        llm = llm.model_copy(update={"dtype": "auto", **trained})
    data = load_pairs(settings.pairs, "test")
    chain = nli_chain(load_llm(llm), data.labels, prompt_family=settings.prompt.family)
    result = NLITask().evaluate(chain, data.pairs, identity={"run": run}, quiet=True)
    accuracy = result.estimates["accuracy"]
    return {
        "run": run,
        "n": len(data.pairs),
        "accuracy": accuracy.value,
        "low": accuracy.low,
        "high": accuracy.high,
        "macro_f1": result.metrics["macro_f1"],
        **figures,
    }


def in_a_process(run: str, folder: Path) -> dict[str, Any]:
    """What ``measure`` finds, from a process that has the memory to itself."""
    result = folder / f"{run}.json"
    command = [sys.executable, __file__, *sys.argv[1:], "--single", run, "--folder", str(folder)]
    status = subprocess.run(command, check=False).returncode
    if status != 0:
        raise UserError(f"The run {run} ended with status {status}; its message is above.")
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def targets(results: Mapping[str, Mapping[str, Any]]) -> dict[str, bool]:
    """Which of the project's targets the results reach, as far as the runs for them are there."""
    met: dict[str, bool] = {}
    ours = results.get("qlora")
    if ours is None:
        return met
    met["at least 0.75"] = ours["accuracy"] >= 0.75
    met[f"at most {SECONDS} s"] = ours["seconds"] <= SECONDS
    if "before" in results:
        met["at least 0.30 above before"] = ours["accuracy"] - results["before"]["accuracy"] >= 0.30
    for other in ("lora", "full"):
        if other in results:
            met[f"at most 0.03 under {other}"] = ours["accuracy"] >= results[other]["accuracy"] - 0.03
    if "tutorial" in results:
        theirs = results["tutorial"]
        met["no worse than the tutorial's"] = ours["accuracy"] >= theirs["accuracy"]
        met["1.5 times its examples/s"] = ours["examples_per_second"] >= 1.5 * theirs["examples_per_second"]
    return met


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """A line a run."""
    lines = [
        f"{'run':<9} {'accuracy (95% interval)':<25} {'examples/s':>10} {'training s':>10} {'in all s':>9} "
        f"{'peak GiB':>8} {'trained':>10}"
    ]
    for one in results:
        line = f"{one['run']:<9} {one['accuracy']:.3f} ({one['low']:.3f}-{one['high']:.3f})      "
        if "seconds" in one:
            memory = "-" if one["peak_memory"] is None else f"{one['peak_memory'] / 2**30:.2f}"
            line += (
                f" {one['examples_per_second']:>11.1f} {one['seconds_training']:>10.1f} {one['seconds']:>9.1f} "
                f"{memory:>8} {one['trainable_parameters']:>10,}"
            )
        lines.append(line)
    return "\n".join(lines)


def main() -> int:
    """Run the recipes that are asked for, print one table and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded", help="embedded, a folder or a hub id")
    parser.add_argument("--pairs", default=None, help="a folder with MedNLI's files; the sample by default")
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--limit", type=int, default=None, help="take so many pairs of each split, and questions")
    parser.add_argument("--max-steps", type=int, default=None, help="stop each training after so many steps")
    parser.add_argument("--full-rate", type=float, default=5e-4, help="the learning rate of full fine-tuning")
    parser.add_argument("--output", type=Path, default=None, help="a JSON file")
    parser.add_argument("--single", choices=RUNS, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, default=None, help="keep adapters and models here")
    arguments = parser.parse_args()
    try:
        if arguments.single is not None:
            found = measure(arguments.single, arguments, arguments.folder / arguments.single)
            write_json(arguments.folder / f"{arguments.single}.json", found)
            return 0
        with tempfile.TemporaryDirectory() as temporary:
            folder = arguments.folder or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            results = [in_a_process(run, folder.resolve()) for run in arguments.runs]
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    met = targets({one["run"]: one for one in results})
    print(table(results))
    for target, reached in met.items():
        print(f"{target}: {'met' if reached else 'MISSED'}")
    if arguments.output is not None:
        report = {
            "model": arguments.model,
            "results": results,
            "targets": met,
            "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
            "threads": os.environ.get("OMP_NUM_THREADS"),
            "versions": versions(),
        }
        write_json(arguments.output, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
