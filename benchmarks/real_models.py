"""Figures of SmolLM2-135M and of MiniLM encoders on real data, measured by medground's commands.

    python benchmarks/real_models.py --part a --data DIR --work DIR

``--data`` has the folders ``sick``, ``healthver`` and ``pubmedqa`` with the files as their authors publish them
(``medground eval nli --set pairs.path=sick`` reports where to get them).

a   NLI on SICK, official split: zero-shot, 3-shot, QLoRA, LoRA, merged adapter, MiniLM encoder
b   NLI on HealthVer's dev file, split by question: the models of part a, and an encoder trained on SICK, then on
    HealthVer. Two further judges are trained if their folders exist, and check the claims of the held-out questions:
    - ``healthver_test``, the published test file: SmolLM2 trained on SICK, then on the training part and on pairs of
      the test file about other questions
    - ``healthver_claims``, HealthVer's training claims and documents in SciFact's layout, and ``general``, pairs of
      SNLI, SICK and SciFact: an encoder trained on ``general``, then on all HealthVer pairs
c   PubMedQA, official 500 test questions: no context, retrieved, gold; then QLoRA on the other 500 records
d   verification of PubMedQA answers by the encoder and the adapters of part b; citations of written answers
e   speed of QLoRA with the tutorial's recipe and with medground's, for the same number of steps

Each step is one command whose figures are stored in WORK/STEP.json. Stored steps are not run again, so running the
benchmark again resumes it. Learning rates and checkpoints are chosen on dev pairs; the test pairs are read once, at the
end.
"""

import csv
import json
import os
import random
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import bench
from healthver_pairs import claim_pairs, normalized, published_pair, write_jsonl, write_splits

from chains.answer import Passage
from chains.citations import cite
from chains.config import LLMConfig
from chains.models.local import load_llm
from chains.prompts import answer_statement
from common.atomic_write import write_whole
from corpus.config import DataConfig, PairsConfig, PairSplit
from corpus.inference.pairs import load_pairs
from corpus.load import load_records
from eval.runs import read_run
from eval.stats.calibration import best_threshold, fit_temperature
from eval.stats.estimate import Estimate, proportion
from eval.stats.significance import mean_difference
from retrievers.embedders.minilm import MiniLMEmbedder

MODEL = {"llm.model": "smollm2", "llm.dtype": "float32"}
FOUR_BITS = {"llm.quantization": "4bit", "llm.dtype": "bfloat16"}
ADAPTER = {"rank": 32, "alpha": 64, "learning_rate": 5e-4, "epochs": 2, "report_to": []}
ENCODER = {"learning_rate": 2e-4, "epochs": 3, "report_to": []}
# Settings of train.qlora for each data set; ``every`` is the number of steps between evaluations.
SICK_RECIPE = {"batch_size": 16, "every": 141, "dev_limit": 250}
HEALTHVER_RECIPE = {"batch_size": 8, "every": 84, "epochs": 3}
PAIR_SPLITS: tuple[PairSplit, ...] = ("train", "dev", "test")
QA_LABELS = ("yes", "no", "maybe")
Settings = Mapping[str, Any]
Figures = dict[str, Any]


class Steps:
    """Runs commands of medground and stores the figures of each.

    Args:
        work: the folder of figures, models and results.
        only: run only the steps whose name contains this text.

    Attributes:
        done: the figures of each step, by name.
    """

    def __init__(self, work: Path, only: str = "") -> None:
        self.work = work
        self._only = only
        self.done: dict[str, Figures] = {}
        work.mkdir(parents=True, exist_ok=True)

    def run(self, name: str, command: Sequence[str], settings: Settings, read: Callable[[], Figures]) -> Figures:
        """Run a command of medground unless its figures are stored, and return the figures.

        The figures are the command, its seconds, CPU seconds and peak memory in bytes, and those that ``read`` returns
        after the command. They are empty if ``only`` leaves the step out.
        """
        file = self.work / f"{name}.json"
        if not file.exists():
            if self._only not in name:
                return {}
            options = [word for key, value in settings.items() for word in ("--set", f"{key}={_to_yaml(value)}")]
            arguments = [*command, *options]
            print(f"{name}: medground {shlex.join(arguments)}", file=sys.stderr, flush=True)
            started = time.perf_counter()
            child = subprocess.Popen([sys.executable, "-m", "medground", *arguments], stdout=sys.stderr)
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode:
                sys.exit(f"{name} failed with status {child.returncode}. The same call resumes from this step.")
            figures = {
                "command": f"medground {shlex.join(arguments)}",
                "seconds": round(time.perf_counter() - started, 1),
                "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
                "peak_memory": round(bench.max_rss_mib(usage) * 2**20),
                **read(),
            }
            write_whole(file, json.dumps(figures, indent=1) + "\n")
        self.done[name] = json.loads(file.read_text(encoding="utf-8"))
        return self.done[name]

    def train(self, name: str, kind: str, settings: Settings, recipe: Settings, *options: str) -> Path:
        """Train a model or an adapter and return its folder; ``recipe`` are the settings of section ``train.KIND``."""
        output = self.work / "models" / name
        settings = {**settings, **{f"train.{kind}.{key}": value for key, value in recipe.items()}}
        command = ["train", kind, "--output", str(output), *options]
        self.run(f"train-{name}", command, settings, lambda: _training_figures(output))
        return output

    def evaluate(self, name: str, pairs: Settings, settings: Settings, *options: str) -> Path:
        """Evaluate a model on the test pairs and return the folder of results."""
        output = self.work / "results" / name
        command = ["eval", "nli", "--output", str(output), *options]
        self.run(f"eval-{name}", command, {**pairs, **settings}, lambda: _pair_figures(output, pairs))
        return output


def _to_yaml(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _training_figures(output: Path) -> Figures:
    """Figures of a training run."""
    summary = json.loads((output / "summary.json").read_text(encoding="utf-8"))
    names = ("train_pairs", "dev_accuracy", "examples_per_second", "step", "steps", "seconds_training", "recipe")
    return {name: summary[name] for name in names if name in summary}


def _accuracy_figures(samples: Sequence[Mapping[str, Any]]) -> Figures:
    accuracy = proportion(sum(each["prediction"] == each["target"] for each in samples), len(samples))
    return {"n": len(samples), "accuracy": accuracy.value, "interval": [accuracy.low, accuracy.high]}


def _task_figures(output: Path, task: str) -> Figures:
    """Accuracy with interval, share of the most frequent label, and metrics of a task."""
    run = read_run(output)
    samples = run.samples(task)
    majority = max(Counter(each["target"] for each in samples).values()) / len(samples)
    return {**_accuracy_figures(samples), "majority": majority, "metrics": run.results[task]}


def _pair_figures(output: Path, pairs: Settings) -> Figures:
    """Figures of all test pairs, and the accuracy on those that share no text with the training pairs."""
    figures = _task_figures(output, "nli")
    train = load_pairs(_pairs_config(pairs), "train").pairs
    seen = {normalized(text) for pair in train for text in (pair.premise, pair.hypothesis)}
    samples = read_run(output).samples("nli")
    unseen = [each for each in samples if seen.isdisjoint(normalized(each[key]) for key in ("premise", "hypothesis"))]
    return {**figures, "no_text_in_training": _accuracy_figures(unseen) if unseen else None}


def _pairs_config(pairs: Settings) -> PairsConfig:
    return PairsConfig.model_validate({key.removeprefix("pairs."): value for key, value in pairs.items()})


def train_encoder_twice(steps: Steps, sick: Settings, healthver: Settings) -> None:
    """Part b: train an encoder on SICK, then on HealthVer, whose file is small, and evaluate it."""
    base = steps.train("sick-encoder", "encoder", sick, {**ENCODER, "every": 141})
    recipe = {**ENCODER, "model": str(base), "epochs": 5, "learning_rate": 1e-4, "every": 84}
    model = steps.train("healthver-from-sick", "encoder", healthver, recipe)
    steps.evaluate("healthver-from-sick", healthver, encoder_settings(model))


def train_judge_adapter(steps: Steps, sick: Settings, healthver: Settings, published_test: Path) -> Path:
    """Part b: train an adapter on SICK, then on HealthVer, and check the held-out claims with it.

    The training pairs of HealthVer are its training part, and the pairs of the published test file that share no
    question, evidence or claim with the dev and test parts.

    Returns:
        The folder of one adapter of the pretrained model that combines both trained adapters.
    """
    folder = _write_pairs(steps, healthver, published_test)
    pairs = folder_settings(folder)
    sick_adapter, _ = _train_both(steps, "sick", sick, SICK_RECIPE)
    base = _merge(steps, "sick", sick_adapter, sick)
    recipe = {**ADAPTER, "batch_size": 8, "accumulation": 2, "every": 57, "learning_rate": 2e-4}
    model = {"llm.model": str(base), "llm.dtype": "bfloat16"}
    adapter = steps.train("healthver-more", "qlora", {**model, **pairs}, recipe)
    steps.evaluate("healthver-more", pairs, {**model, "llm.adapter": str(adapter)})
    if not (sick_adapter.exists() and adapter.exists()):  # --only has left out a training step
        return adapter
    combined = _combine((sick_adapter, adapter), steps.work / "models" / "judge")
    check_claims(steps, "healthver", folder, {**MODEL, "llm.dtype": "bfloat16", "nli.adapter": str(combined)})
    return combined


def train_judge_encoder(steps: Steps, general: Path, healthver: Settings, published_test: Path, claims: Path) -> Path:
    """Part b: train an encoder on the pairs in ``general``, then on HealthVer, and check the held-out claims with it.

    The training pairs of HealthVer are those of ``train_judge_adapter`` and ``claim_pairs(claims)``.
    """
    general_recipe = {**ENCODER, "epochs": 2, "every": 300}
    base = steps.train("general-encoder", "encoder", folder_settings(general), general_recipe)
    folder = _write_pairs(steps, healthver, published_test, claims)
    recipe = {**ENCODER, "model": str(base), "learning_rate": 1e-4, "epochs": 4, "every": 120}
    judge = steps.train("judge-encoder", "encoder", folder_settings(folder), recipe)
    steps.evaluate("judge-encoder", folder_settings(folder), encoder_settings(judge))
    check_claims(steps, "judge-encoder", folder, encoder_settings(judge))
    return judge


def check_claims(steps: Steps, name: str, folder: Path, judge: Settings) -> None:
    """Check the claims of the test part; the judge's temperature and threshold are the best on the dev pairs."""
    dev, output = steps.work / "results" / f"dev-{name}", steps.work / "results" / f"check-{name}"

    def calibrate() -> Figures:
        samples = read_run(dev).samples("nli")
        temperature = fit_temperature(samples)
        assert temperature is not None  # None is only for samples without probabilities
        threshold, accuracy = best_threshold(samples, temperature.value)
        return {"temperature": asdict(temperature), "threshold": threshold, "dev_accuracy": asdict(accuracy)}

    command = ["eval", "nli", "--split", "dev", "--output", str(dev)]
    if figures := steps.run(f"calibrate-{name}", command, {**folder_settings(folder), **judge}, calibrate):
        calibrated = {"nli.temperature": figures["temperature"]["value"], "check.threshold": figures["threshold"]}
        steps.run(
            f"check-{name}",
            ["eval", "check", "--data", str(folder / "test.jsonl"), "--output", str(output)],
            {**judge, **calibrated, "store.path": str(steps.work / "store-check")},
            lambda: {task: _task_figures(output, task) for task in read_run(output).tasks},
        )


def folder_settings(folder: Path) -> Settings:
    """Settings for the pairs in ``folder``, which ``_write_pairs`` or a user wrote."""
    return {
        "pairs.path": str(folder),
        "pairs.files": {split: f"{split}.jsonl" for split in PAIR_SPLITS},
        "pairs.columns": {name: name for name in ("id", "premise", "hypothesis", "label")},
    }


def _write_pairs(steps: Steps, healthver: Settings, published_test: Path, claims: Path | None = None) -> Path:
    """Write the train, dev and test pairs of a judge to a folder; with ``claims``, ``claim_pairs`` are added."""
    config = _pairs_config(healthver)
    parts = {split: load_pairs(config, split).pairs for split in PAIR_SPLITS}
    with (Path(str(config.folder)) / "healthver_dev.csv").open(encoding="utf-8", newline="") as lines:
        questions = {row["id"]: normalized(row["question"]) for row in csv.DictReader(lines)}
    held_out = [pair for split in ("dev", "test") for pair in parts[split]]
    held_out_texts = {questions[pair.id] for pair in held_out}
    held_out_texts |= {normalized(text) for pair in held_out for text in (pair.premise, pair.hypothesis)}
    rows = {split: [asdict(pair) for pair in pairs] for split, pairs in parts.items()}
    with published_test.open(encoding="utf-8", newline="") as lines:
        rows["train"] += [
            published_pair(row, "test")
            for row in csv.DictReader(lines)
            if not {normalized(row[key]) for key in ("question", "evidence", "claim")} & held_out_texts
        ]
    if claims is not None:
        held_out_claims = {normalized(pair.hypothesis) for pair in held_out}
        rows["train"] += claim_pairs(
            claims, random.Random(0), held_out_claims, {normalized(pair.premise) for pair in held_out}
        )
    return write_splits(steps.work / ("healthver-pairs" if claims is None else "judge-pairs"), rows)


def _combine(adapters: Sequence[Path], output: Path) -> Path:
    """Write one adapter with the sum of several adapters' weight changes (PEFT's ``cat``); returns ``output``."""
    if not output.exists():
        import torch
        from peft import PeftModel

        base = load_llm(LLMConfig(**{key.removeprefix("llm."): value for key, value in MODEL.items()})).model
        model: Any = PeftModel.from_pretrained(base, str(adapters[0]), adapter_name="trained0")
        for number, adapter in enumerate(adapters[1:], 1):
            model.load_adapter(str(adapter), adapter_name=f"trained{number}")
        names = [f"trained{number}" for number in range(len(adapters))]
        with torch.inference_mode():
            model.add_weighted_adapter(names, [1.0] * len(names), "combined", combination_type="cat")
        model.save_pretrained(output.parent, selected_adapters=["combined"])
        (output.parent / "combined").rename(output)
    return output


def _merge(steps: Steps, name: str, adapter: Path, pairs: Settings) -> Path:
    """Merge an adapter into the pretrained model; returns the folder of the merged model."""
    merged = steps.work / "models" / f"{name}-merged"
    command = ["merge", str(adapter), str(merged), "--limit", "1000"]
    settings = {**MODEL, **pairs}
    steps.run(f"merge-{name}", command, settings, lambda: json.loads((merged / "merge.json").read_text("utf-8")))
    return merged


def _train_both(steps: Steps, name: str, pairs: Settings, recipe: Settings) -> tuple[Path, Path]:
    """Train a QLoRA adapter and an encoder on the pairs; returns the folders of the adapter and the encoder."""
    encoder = steps.train(f"{name}-encoder", "encoder", pairs, {**ENCODER, "every": recipe["every"]})
    adapter = steps.train(f"{name}-qlora", "qlora", {**MODEL, **FOUR_BITS, **pairs}, {**ADAPTER, **recipe})
    return adapter, encoder


def encoder_settings(encoder: Path) -> Settings:
    """Settings for a judge that ``train encoder`` wrote."""
    return {"nli.kind": "encoder", "nli.model": str(encoder)}


def evaluate_inference(steps: Steps, name: str, pairs: Settings, recipe: Settings) -> None:
    """Parts a and b: train an adapter and an encoder, merge the adapter, and evaluate NLI with and without them."""
    adapter, encoder = _train_both(steps, name, pairs, recipe)
    steps.evaluate(f"{name}-encoder", pairs, encoder_settings(encoder))
    steps.evaluate(f"{name}-qlora", pairs, {**MODEL, **FOUR_BITS, "llm.adapter": str(adapter)})
    _merge(steps, name, adapter, pairs)
    steps.evaluate(f"{name}-zero-shot", pairs, MODEL)
    steps.evaluate(f"{name}-3-shot", pairs, {**MODEL, "prompt.shots": 3})
    lora = steps.train(f"{name}-lora", "qlora", {**MODEL, **pairs}, {**ADAPTER, **recipe})
    steps.evaluate(f"{name}-lora", pairs, {**MODEL, "llm.adapter": str(lora)})


def evaluate_questions(steps: Steps, records: Path) -> None:
    """Part c: evaluate question answering, then train an adapter on the other records and evaluate it.

    For training, the context is the premise and the question the hypothesis, labelled yes, no or maybe.
    """
    output = steps.work / "results" / "qa"
    tasks = [
        {"kind": "qa", "context": "none"},
        {"kind": "qa", "context": "gold"},
        {"kind": "qa", "context": "retrieved", "retriever": "dense"},
    ]
    names = ("qa_none", "qa_gold", "qa_retrieved_dense")
    steps.run(
        "eval-qa",
        ["eval", "tasks", "--output", str(output), "--data", str(records)],
        {**MODEL, "eval.tasks": tasks, "store.path": str(steps.work / "store")},
        lambda: {name: _task_figures(output, name) for name in names},
    )
    folder = steps.work / "pubmedqa-pairs"
    folder.mkdir(exist_ok=True)
    for split in PAIR_SPLITS:
        rows = [
            {"pairID": each.id, "sentence1": each.context, "sentence2": each.question, "gold_label": each.label}
            for each in load_records(DataConfig(path=str(records), split=split))
        ]
        write_jsonl(folder / f"{split}.jsonl", rows)
    files = {f"pairs.files.{split}": f"{split}.jsonl" for split in PAIR_SPLITS}
    labels = {"pairs.labels": {label: label for label in QA_LABELS}}
    recipe = {**ADAPTER, "batch_size": 8, "every": 28, "epochs": 4, "learning_rate": 3e-4}
    pairs = {"pairs.path": str(folder), **files, **labels}
    adapter = steps.train("pubmedqa-qlora", "qlora", {**MODEL, **FOUR_BITS, **pairs}, recipe)
    test = {"pairs.path": str(folder / "test.jsonl"), **labels}
    result = steps.work / "results" / "pubmedqa-qlora"
    steps.run(
        "eval-pubmedqa-qlora",
        ["eval", "nli", "--output", str(result)],
        {**MODEL, **FOUR_BITS, **test, "llm.adapter": str(adapter)},
        lambda: _task_figures(result, "nli"),
    )


def evaluate_verification(steps: Steps, records: Path, encoder: Path, adapter: Path) -> None:
    """Part d: evaluate support by quotes, written answers and verified answers, with encoder and adapter as judge."""
    quotes = steps.work / "quotes.jsonl"
    if not quotes.exists():
        write_jsonl(quotes, _quote_pairs(records))
    store = {"store.path": str(steps.work / "store")}
    judges = {"encoder": encoder_settings(encoder), "adapter": {"nli.adapter": str(adapter)}}
    for name, judge in judges.items():
        support = steps.work / "results" / f"support-{name}"
        model = judge if name == "encoder" else {"llm.adapter": str(adapter)}
        steps.run(
            f"support-{name}",
            ["eval", "nli", "--output", str(support)],
            {**MODEL, **model, "llm.dtype": "bfloat16", "pairs.path": str(quotes)},
            partial(_support_figures, support),
        )
        output = steps.work / "results" / f"answers-{name}"
        steps.run(
            f"answers-{name}",
            ["eval", "answers", "--output", str(output), "--data", str(records), "--limit", "100"],
            {**MODEL, **judge, "llm.dtype": "bfloat16", "chat.max_new_tokens": 96, **store},
            partial(_all_metrics, output),
        )
        output = steps.work / "results" / f"verify-{name}"
        tasks = [{"kind": "verified", "context": context} for context in ("gold", "swapped")]
        steps.run(
            f"verify-{name}",
            ["eval", "tasks", "--output", str(output), "--data", str(records)],
            {**MODEL, **judge, "chain.verify": "report", "eval.tasks": tasks},
            partial(_all_metrics, output),
        )


def _quote_pairs(records: Path) -> list[dict[str, Any]]:
    """Pairs of a premise with three quotes for a question, and the question's correct answer as hypothesis.

    The quotes come from the question's own abstract, with the label entailment and an id that ends in ``-own``, or from
    another record's abstract, with the label neutral and an id that ends in ``-other``.
    """
    embedder = MiniLMEmbedder()
    test = [record for record in load_records(DataConfig(path=str(records))) if record.label in ("yes", "no")]
    rows = []
    for number, record in enumerate(test):
        statement = answer_statement(record.question, str(record.label))
        other = test[(number + len(test) // 2) % len(test)]  # half the list away
        for source, name, label in ((record, "own", "entailment"), (other, "other", "neutral")):
            quotes = cite(record.question, [Passage(id=source.id, text=source.context)], embedder)[:3]
            premise = " ".join(quote.quote for quote in quotes)
            if premise:
                texts = {"sentence1": premise, "sentence2": statement}
                rows.append({"pairID": f"{record.id}-{name}", **texts, "gold_label": label})
    return rows


def _all_metrics(output: Path) -> Figures:
    return {"metrics": read_run(output).results}


def _support_figures(output: Path) -> Figures:
    """Shares of entailment and contradiction among the ``_quote_pairs`` of each kind, and their paired differences.

    An abstract without a quote for the question counts as neither.
    """
    figures: Figures = {}
    predictions = {each["id"]: each["prediction"] for each in read_run(output).samples("nli")}
    records = sorted({name.rpartition("-")[0] for name in predictions})

    def add(name: str, share: Estimate) -> None:
        figures[name] = {"share": share.value, "interval": [share.low, share.high], "n": len(records)}

    for label in ("entailment", "contradiction"):
        other, own = (
            [float(predictions.get(f"{record}-{kind}") == label) for record in records] for kind in ("other", "own")
        )
        add(f"other_{label}", proportion(int(sum(other)), len(records)))
        add(f"own_{label}", proportion(int(sum(own)), len(records)))
        add(f"difference_{label}", mean_difference(other, own))
    return figures


def compare_speed(steps: Steps, pairs: Settings, count: int) -> None:
    """Part e: train ``count`` steps of 16 pairs with each recipe, then compare the adapters on 1,000 test pairs."""
    recipes: dict[str, tuple[str, Settings]] = {
        "tutorial": ("tutorial_qlora.yaml", {}),
        "ours": ("qlora.yaml", {**ADAPTER, "answer_pairs": False}),
    }
    results = []
    for name, (config, recipe) in recipes.items():
        limited = {**recipe, "max_steps": count, "every": count, "dev_limit": 16}
        model = {"llm.model": MODEL["llm.model"], **pairs}
        adapter = steps.train(f"speed-{name}", "qlora", model, limited, "--config", str(bench.CONFIGS / config))
        judge = {**MODEL, "llm.adapter": str(adapter)}
        results.append(str(steps.evaluate(f"speed-{name}", pairs, judge, "--limit", "1000")))
    output = steps.work / "results" / "speed"
    steps.run(
        "speed-compare",
        ["compare", *results, "--output", str(output)],
        {},
        lambda: {"comparisons": json.loads((output / "compare.json").read_text(encoding="utf-8"))["comparisons"]},
    )


def format_figures(done: Mapping[str, Figures]) -> str:
    """Lines with the main figures of each step."""
    lines = []
    for name, step in done.items():
        by_task = {name: step} if "majority" in step else step
        tasks = {task: figures for task, figures in by_task.items() if "majority" in _as_dict(figures)}
        for task, figures in tasks.items():
            low, high = figures["interval"]
            line = f"{name}, {task}" if task != name else name
            line += f": n {figures['n']}, accuracy {figures['accuracy']:.3f} ({low:.3f} to {high:.3f})"
            line += f", macro F1 {figures['metrics']['macro_f1']:.3f}, majority {figures['majority']:.3f}"
            if unseen := figures.get("no_text_in_training"):
                line += f"; no text in training: n {unseen['n']}, accuracy {unseen['accuracy']:.3f}"
            lines.append(line)
        if "examples_per_second" in step:
            lines.append(f"{name}: {step['examples_per_second']} examples/s, dev accuracy {step.get('dev_accuracy')}")
        if "compared" in step:
            lines.append(f"{name}: labels agree on {step['compared']['agreement']:.2%} of {step['pairs']} pairs")
        if "own_entailment" in step:
            shares = [f"{kind} {value['share']:.3f}" for kind, value in step.items() if "share" in _as_dict(value)]
            lines.append(f"{name}: {', '.join(shares)}")
        for task, metrics in _as_dict(step.get("metrics")).items() if name.startswith(("verify", "answers")) else ():
            names = ("accuracy", "share_supported", "accuracy_supported", "aurc", "aurc_confidence")
            names += ("citation_precision", "citation_recall", "sentence_support")
            values = ", ".join(f"{key} {metrics[key]:.3f}" for key in names if key in metrics)
            lines.append(f"{name}, {task}: {values}")
        lines.append(f"{name}: {step['peak_memory'] / 1e9:.1f} GB, {step['cpu_seconds'] / 60:.1f} CPU minutes")
    return "\n".join(lines)


def _as_dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def main() -> None:
    """Run the parts that the command line names, print a table and write the figures."""
    parser = bench.make_parser(__doc__)
    parser.add_argument("--part", choices=list("abcde"), nargs="+", required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder with sick, healthver and pubmedqa")
    parser.add_argument("--work", type=Path, required=True, help="folder of figures, models and results")
    parser.add_argument("--only", default="", help="run only the steps whose name contains this, such as encoder")
    parser.add_argument("--steps", type=int, default=60, help="training steps of part e")
    options = parser.parse_args()
    data = options.data.expanduser().absolute()
    sick = {"pairs.path": "sick", "pairs.folder": str(data / "sick")}
    healthver = {"pairs.path": "healthver", "pairs.folder": str(data / "healthver"), "pairs.split_by": "question"}
    records = data / "pubmedqa" / "ori_pqal.json"
    steps = Steps(options.work.expanduser().absolute(), options.only)
    published_test, claims = data / "healthver_test" / "healthver_test.csv", data / "healthver_claims"
    for part in options.part:
        if part == "a":
            evaluate_inference(steps, "sick", sick, SICK_RECIPE)
        elif part == "b":
            evaluate_inference(steps, "healthver", healthver, HEALTHVER_RECIPE)
            train_encoder_twice(steps, sick, healthver)
            if published_test.exists():
                train_judge_adapter(steps, sick, healthver, published_test)
            if claims.exists():
                train_judge_encoder(steps, data / "general", healthver, published_test, claims)
        elif part == "c":
            evaluate_questions(steps, records)
        elif part == "d":
            adapter, encoder = _train_both(steps, "healthver", healthver, HEALTHVER_RECIPE)
            if published_test.exists():
                adapter = train_judge_adapter(steps, sick, healthver, published_test)
            evaluate_verification(steps, records, encoder, adapter)
        else:
            compare_speed(steps, sick, options.steps)
    print(format_figures(steps.done))
    bench.write_report(options.output, {"steps": steps.done})


if __name__ == "__main__":
    bench.run(main)
