"""Accuracy of a fine-tuned encoder on PubMedQA's official test questions, over several seeds.

    python benchmarks/encoder.py --data PATH/ori_pqal.json --seeds 3 --output encoder.json

For each seed, an encoder is trained by the settings file (``configs/encoder.yaml``) on the records outside the official
test split and evaluated on that split. The table has mean, standard deviation, minimum and maximum over the seeds, and
the figures of the majority baseline, which always answers with the most frequent label of the training records.
"""

import json
import statistics
import sys
import tempfile
from pathlib import Path

import bench

from chains.encoder.classifier import classifier_chain
from common.errors import UserError
from corpus.config import DataConfig
from corpus.load import load_records
from corpus.records import LABELS
from eval.stats.metrics import label_metrics, majority
from eval.tasks import QATask
from finetune.encoder.train import train_encoder
from medground.settings import load_settings

METRICS = ("accuracy", "macro_f1", *(f"f1_{label}" for label in LABELS))


def main() -> None:
    """Train and evaluate with each seed; print and write the figures."""
    parser = bench.make_parser(__doc__)
    parser.add_argument("--data", required=True, help="PubMedQA's ori_pqal.json, its test_ground_truth.json beside it")
    parser.add_argument("--config", type=Path, default=bench.CONFIGS / "encoder.yaml", help="a settings file")
    parser.add_argument("--seeds", type=int, default=3, help="number of runs, with seeds from 1")
    parser.add_argument("--keep", type=Path, help="folder that keeps the trained models")
    options = parser.parse_args()
    config = load_settings(options.config).train.encoder
    if config.task != "qa":
        raise UserError(f"{options.config}: train.encoder.task is {config.task}; this benchmark needs qa.")
    data = DataConfig(path=options.data)
    test = load_records(data, "test")
    most_frequent = majority([each.label or "" for split in ("train", "dev") for each in load_records(data, split)])
    estimates = label_metrics([record.label or "" for record in test], [most_frequent] * len(test), LABELS)
    baseline = {name: estimates[name].value for name in METRICS}
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(1, options.seeds + 1):
            output = (options.keep or Path(folder)) / f"seed-{seed}"
            train_encoder(config.model_copy(update={"seed": seed}), output, data=data)
            chain = classifier_chain(str(output))
            metrics = QATask(context="gold").evaluate(chain, test, identity={"seed": seed}).metrics
            runs.append({name: metrics[name] for name in METRICS})
            print(f"seed {seed}: {json.dumps(runs[-1])}", file=sys.stderr)
    print(f"{len(test)} test questions, {len(runs)} seeds; in brackets the standard deviation between seeds")
    figures = {}
    for name in METRICS:
        values = [metrics[name] for metrics in runs]
        mean, deviation = statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0
        figures[name] = {"mean": mean, "sd": deviation, "least": min(values), "greatest": max(values)}
        print(
            f"{name:>10}: {mean:.3f} ({deviation:.3f}), {min(values):.3f} to {max(values):.3f}; "
            f"majority baseline {baseline[name]:.3f}"
        )
    recipe = config.model_dump(mode="json")
    report = {"recipe": recipe, "n": len(test), "figures": figures, "majority": baseline, "runs": runs}
    bench.write_report(options.output, report)


if __name__ == "__main__":
    bench.run(main)
