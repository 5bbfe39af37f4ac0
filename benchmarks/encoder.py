"""How well a fine-tuned encoder answers PubMedQA's official test questions, over several seeds.

    python benchmarks/encoder.py --data PATH/ori_pqal.json --seeds 3 --output encoder.json

Each seed is a training run of its own by the recipe of the settings file (``configs/encoder.yaml``), on the records
outside the official test split, and one measurement on that split through ``evaluate_qa``, as ``medground eval`` does
it. Figures are the mean over seeds with the standard deviation between them and the least and greatest; beside them
stands what always answering the training records' most frequent label would get. The targets are those of the mean.
"""

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Python puts this file's folder first, where finetune.py would be taken for the package of its name.
sys.path[:] = [place for place in sys.path if Path(place).resolve() != Path(__file__).resolve().parent]

from medground.environment import prepare  # noqa: E402

prepare()

import torch  # noqa: E402  (telemetry is off before the libraries are imported)

from chains.encoder.classifier import classifier_chain  # noqa: E402
from common.errors import UserError  # noqa: E402
from corpus.config import DataConfig  # noqa: E402
from corpus.load import load_records  # noqa: E402
from corpus.records import LABELS, QARecord  # noqa: E402
from eval.metrics import label_metrics, majority  # noqa: E402
from eval.qa import evaluate_qa  # noqa: E402
from eval.results import versions  # noqa: E402
from finetune.config import EncoderConfig  # noqa: E402
from finetune.encoder.train import train_encoder  # noqa: E402
from medground.settings import load_settings  # noqa: E402

CONFIG = Path(__file__).parents[1] / "configs" / "encoder.yaml"
TARGETS = {"accuracy": 0.56, "macro_f1": 0.39}
METRICS = ("accuracy", "macro_f1", *(f"f1_{label}" for label in LABELS))


def run(config: EncoderConfig, data: DataConfig, test: Sequence[QARecord], output: Path) -> dict[str, float]:
    """Train with one seed and measure on the test records."""
    started = time.perf_counter()
    train_encoder(config, output, data=data)
    trained = time.perf_counter() - started
    result = evaluate_qa("qa_gold", classifier_chain(str(output)), test, identity={"seed": config.seed})
    return {**{name: result.metrics[name] for name in METRICS}, "seconds_training": trained}


def spread(values: Sequence[float], target: float | None) -> dict[str, Any]:
    """Mean, standard deviation, least and greatest, and whether the mean is above the target."""
    mean = statistics.mean(values)
    return {
        "mean": mean,
        "sd": statistics.stdev(values) if len(values) > 1 else None,
        "least": min(values),
        "greatest": max(values),
        "target": target,
        "met": None if target is None else mean > target,
    }


def always(label: str, test: Sequence[QARecord]) -> dict[str, float]:
    """The figures of answering ``label`` to everything."""
    targets = [record.label for record in test if record.label is not None]
    found = label_metrics(targets, [label] * len(targets), LABELS)
    return {name: found[name].value for name in METRICS}


def main() -> int:
    """Run the seeds, print one table and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="PubMedQA's ori_pqal.json, its test_ground_truth.json beside it")
    parser.add_argument("--config", type=Path, default=CONFIG, help="a settings file with the section train.encoder")
    parser.add_argument("--seeds", type=int, default=3, help="how many runs, with seeds from 1")
    parser.add_argument("--output", type=Path, default=None, help="a JSON file")
    parser.add_argument("--keep", type=Path, default=None, help="a folder that keeps the trained models")
    arguments = parser.parse_args()
    try:
        if arguments.seeds < 1:
            raise UserError(f"At least 1 seed is needed; --seeds is {arguments.seeds}.")
        config = load_settings(arguments.config).train.encoder
        if config.task != "qa":
            raise UserError(f"{arguments.config} has train.encoder.task {config.task}; this benchmark needs qa.")
        data = DataConfig(path=arguments.data)
        test = load_records(data, "test")
        taught = [record.label or "" for split in ("train", "dev") for record in load_records(data, split)]
        runs = []
        with tempfile.TemporaryDirectory() as folder:
            for seed in range(1, arguments.seeds + 1):
                output = (arguments.keep or Path(folder)) / f"seed-{seed}"
                runs.append(run(config.model_copy(update={"seed": seed}), data, test, output))
                print(f"seed {seed}: {json.dumps(runs[-1])}", file=sys.stderr)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    report = {
        "recipe": config.model_dump(mode="json"),
        "n": len(test),
        "figures": {name: spread([one[name] for one in runs], TARGETS.get(name)) for name in METRICS},
        "majority": always(majority(taught), test),
        "runs": runs,
        "machine": {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads()},
        "versions": versions(),
    }
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(report, indent=2) + "\n")
    print(f"{len(test)} test questions, {len(runs)} seeds; in brackets the standard deviation between seeds")
    for name, found in report["figures"].items():
        deviation = "" if found["sd"] is None else f" ({found['sd']:.3f})"
        verdict = (
            "" if found["met"] is None else f", target above {found['target']} {'met' if found['met'] else 'MISSED'}"
        )
        print(
            f"{name:>10}: {found['mean']:.3f}{deviation}, {found['least']:.3f} to {found['greatest']:.3f}; "
            f"always the majority {report['majority'][name]:.3f}; target above {found['target'] or ''} {verdict}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
