"""A pretrained 135M language model and a small encoder on real data, through medground's own commands.

    python benchmarks/real_models.py --part a --data DIR --work DIR

``--data`` has the folders ``sick``, ``healthver`` and ``pubmedqa`` with the files as their authors publish them
(``medground eval nli --set pairs.path=sick`` reports where to get them).

a   SICK, official split: zero-shot, 3 examples of each label, QLoRA, LoRA, merged, MiniLM encoder
b   HealthVer's dev file, divided by question: the same, and an encoder trained on SICK first. If the folder
    ``healthver_test`` has the published test file, too: SmolLM2 trained on SICK and then on the training part and the
    test file's pairs about other questions; claims of the held-out questions checked with it. If ``healthver_claims``
    has its training claims and documents in SciFact's layout, too: an encoder trained on these, and checks with it
c   PubMedQA, official 500 test questions: no context, retrieved, gold; then trained on the other 500 records
d   verification of PubMedQA answers by the encoder and the adapters of part b; citations of written answers
e   speed: the tutorial's recipe and ours, the same number of steps

Each step is one command whose figures are stored in WORK/STEP.json. Stored steps are not run again, so the same call
resumes. Learning rates and checkpoints are chosen on dev pairs; the test pairs are read once, at the end.
"""

import csv
import json
import os
import random
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import bench

from chains.answer import Passage
from chains.citations import cite
from chains.config import LLMConfig
from chains.models.local import load_llm
from chains.prompts import answer_statement
from corpus.config import DataConfig, PairsConfig, PairSplit
from corpus.inference.pairs import NLIPair, load_pairs
from corpus.load import load_records
from corpus.rows import json_lines
from eval.stats.calibration import best_threshold, fit_temperature
from eval.stats.estimate import proportion
from eval.stats.significance import mean_difference
from retrievers.embedders.minilm import MiniLMEmbedder

MODEL = {"llm.model": "smollm2", "llm.dtype": "float32"}
FOUR_BITS = {"llm.quantization": "4bit", "llm.dtype": "bfloat16"}
ADAPTER = {"rank": 32, "alpha": 64, "learning_rate": 5e-4, "epochs": 2, "report_to": []}
ENCODER = {"learning_rate": 2e-4, "epochs": 3, "report_to": []}
HEALTHVER_LABELS = {"Supports": "entailment", "Neutral": "neutral", "Refutes": "contradiction"}
OF_SICK = {"batch_size": 16, "every": 141, "dev_limit": 250}
OF_HEALTHVER = {"batch_size": 8, "every": 84, "epochs": 3}
PAIR_SPLITS: tuple[PairSplit, ...] = ("train", "dev", "test")
SHORT = 40  # characters of a sentence that may stand in two documents by chance
QA_LABELS = ("yes", "no", "maybe")
Settings = Mapping[str, Any]
Figures = dict[str, Any]


class Steps:
    """Runs commands of medground and stores the figures of each.

    Args:
        work: the folder of figures, models and results.
        only: run only the steps whose name contains this text.
    """

    def __init__(self, work: Path, only: str = "") -> None:
        self.work = work
        self._only = only
        self.done: dict[str, Figures] = {}
        work.mkdir(parents=True, exist_ok=True)

    def run(self, name: str, command: Sequence[str], settings: Settings, read: Callable[[], Figures]) -> Figures:
        """Run a command unless its figures are stored, and return them.

        They are the command, its time, processor time and peak memory, and the figures that ``read`` returns.
        """
        file = self.work / f"{name}.json"
        if not file.exists():
            if self._only not in name:
                return {}
            sets = [part for key, value in settings.items() for part in ("--set", f"{key}={_written(value)}")]
            words = [*command, *sets]
            print(f"{name}: medground {shlex.join(words)}", file=sys.stderr, flush=True)
            started = time.perf_counter()
            child = subprocess.Popen([sys.executable, "-m", "medground", *words], stdout=sys.stderr)
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode:
                sys.exit(f"{name} failed with status {child.returncode}. The same call resumes from this step.")
            figures = {
                "command": f"medground {shlex.join(words)}",
                "seconds": round(time.perf_counter() - started, 1),
                "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
                "peak_memory": usage.ru_maxrss * 1024,
                **read(),
            }
            unfinished = file.with_suffix(".partial")
            unfinished.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
            unfinished.replace(file)
        self.done[name] = json.loads(file.read_text(encoding="utf-8"))
        return self.done[name]

    def train(self, name: str, kind: str, settings: Settings, *options: str) -> Path:
        """Train a model or an adapter with these settings and command-line options."""
        output = self.work / "models" / name
        self.run(
            f"train-{name}", ["train", kind, "--output", str(output), *options], settings, lambda: _summary(output)
        )
        return output

    def evaluate(self, name: str, pairs: Settings, settings: Settings, *options: str) -> Path:
        """Evaluate a model on the test pairs."""
        output = self.work / "results" / name
        command = ["eval", "nli", "--output", str(output), *options]
        self.run(f"eval-{name}", command, {**pairs, **settings}, lambda: _pair_figures(output, pairs))
        return output


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _summary(output: Path) -> Figures:
    summary = json.loads((output / "summary.json").read_text(encoding="utf-8"))
    names = ("train_pairs", "dev_accuracy", "examples_per_second", "step", "steps", "seconds_training", "recipe")
    return {name: summary[name] for name in names if name in summary}


def _samples(output: Path, task: str) -> list[dict[str, Any]]:
    with (output / f"samples_{task}.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _accuracy(samples: Sequence[Mapping[str, Any]]) -> Figures:
    right = sum(one["prediction"] == one["target"] for one in samples)
    found = proportion(right, len(samples))
    return {"n": len(samples), "accuracy": found.value, "interval": [found.low, found.high]}


def _task_figures(output: Path, task: str) -> Figures:
    results = json.loads((output / "results.json").read_text(encoding="utf-8"))["results"][task]
    samples = _samples(output, task)
    labels = sorted({one["target"] for one in samples})
    share = max(sum(one["target"] == label for one in samples) for label in labels) / len(samples)
    return {**_accuracy(samples), "majority": share, "metrics": results}


def _pair_figures(output: Path, pairs: Settings) -> Figures:
    """Figures of all test pairs, and of those that share no text with the training pairs."""
    task = next(iter(json.loads((output / "results.json").read_text(encoding="utf-8"))["results"]))
    figures = _task_figures(output, task)
    config = PairsConfig.model_validate({key.removeprefix("pairs."): value for key, value in pairs.items()})
    seen = {_folded(text) for pair in load_pairs(config, "train").pairs for text in (pair.premise, pair.hypothesis)}
    new = [one for one in _samples(output, task) if not {_folded(one["premise"]), _folded(one["hypothesis"])} & seen]
    return {**figures, "no_text_in_training": _accuracy(new) if new else None}


def _folded(text: str) -> str:
    return " ".join(text.lower().split())


def transfer(steps: Steps, sick: Settings, healthver: Settings) -> None:
    """Part b: an encoder trained on SICK first, since HealthVer's file is small."""
    first = {f"train.encoder.{key}": value for key, value in {**ENCODER, "every": 141}.items()}
    base = steps.train("sick-encoder", "encoder", {**sick, **first})
    then = {**ENCODER, "model": str(base), "epochs": 5, "learning_rate": 1e-4, "every": 84}
    recipe = {f"train.encoder.{key}": value for key, value in then.items()}
    model = steps.train("healthver-from-sick", "encoder", {**healthver, **recipe})
    steps.evaluate("healthver-from-sick", healthver, _classifier(model))


def judge_adapter(steps: Steps, sick: Settings, healthver: Settings, published: Path) -> Path:
    """Part b: an adapter trained on SICK, then on HealthVer's pairs about other questions than the held-out ones.

    Those are the training part and the published test file's pairs that share no question, evidence or claim with the
    dev and test parts.

    Returns:
        The adapter for the pretrained model, which holds both trained adapters.
    """
    folder = _more_pairs(steps, healthver, published)
    pairs = _in_folder(folder)
    sick_adapter, _ = _trained(steps, "sick", sick, OF_SICK)
    base = _merged(steps, "sick", sick_adapter, sick)
    sizes = {"batch_size": 8, "accumulation": 2, "every": 57, "learning_rate": 2e-4}
    recipe = {f"train.qlora.{key}": value for key, value in {**ADAPTER, **sizes}.items()}
    model = {"llm.model": str(base), "llm.dtype": "bfloat16"}
    adapter = steps.train("healthver-more", "qlora", {**model, **pairs, **recipe})
    steps.evaluate("healthver-more", pairs, {**model, "llm.adapter": str(adapter)})
    if not (sick_adapter.exists() and adapter.exists()):  # steps that --only leaves out
        return adapter
    both = _joined((sick_adapter, adapter), steps.work / "models" / "judge")
    _check(steps, "healthver", folder, {**MODEL, "llm.dtype": "bfloat16", "nli.adapter": str(both)})
    return both


def judge_encoder(steps: Steps, general: Path, healthver: Settings, published: Path, claims: Path) -> Path:
    """Part b: an encoder trained on SNLI, SICK and SciFact, then on pairs of ``judge_adapter`` and ``_claim_pairs``."""

    def trained(name: str, folder: Path, **recipe: object) -> Path:
        settings = {f"train.encoder.{key}": value for key, value in {**ENCODER, **recipe}.items()}
        return steps.train(name, "encoder", {**_in_folder(folder), **settings})

    base = trained("general-encoder", general, epochs=2, every=300)
    folder = _more_pairs(steps, healthver, published, claims)
    judge = trained("judge-encoder", folder, model=str(base), learning_rate=1e-4, epochs=4, every=120)
    steps.evaluate("judge-encoder", _in_folder(folder), _classifier(judge))
    _check(steps, "judge-encoder", folder, _classifier(judge))
    return judge


def _check(steps: Steps, name: str, folder: Path, judge: Settings) -> None:
    """Check the claims of the test part, with the temperature and the threshold that are best for the dev pairs."""
    dev, output = steps.work / "results" / f"dev-{name}", steps.work / "results" / f"check-{name}"

    def calibrated() -> Figures:
        samples = _samples(dev, "nli")
        temperature = fit_temperature(samples)
        assert temperature is not None  # the judge gives probabilities
        threshold, accuracy = best_threshold(samples, temperature.value)
        return {"temperature": asdict(temperature), "threshold": threshold, "dev_accuracy": asdict(accuracy)}

    command = ["eval", "nli", "--split", "dev", "--output", str(dev)]
    if found := steps.run(f"calibrate-{name}", command, {**_in_folder(folder), **judge}, calibrated):
        chosen = {"nli.temperature": found["temperature"]["value"], "check.threshold": found["threshold"]}
        steps.run(
            f"check-{name}",
            ["eval", "check", "--data", str(folder / "test.jsonl"), "--output", str(output)],
            {**judge, **chosen, "store.path": str(steps.work / "store-check")},
            partial(_check_figures, output),
        )


def _in_folder(folder: Path) -> Settings:
    return {
        "pairs.path": str(folder),
        "pairs.files": {split: f"{split}.jsonl" for split in PAIR_SPLITS},
        "pairs.columns": {name: name for name in ("id", "premise", "hypothesis", "label")},
    }


def _more_pairs(steps: Steps, healthver: Settings, published: Path, claims: Path | None = None) -> Path:
    """A folder with the pairs of ``judge_adapter``, and of ``claims`` if given, in train, dev and test."""
    config = PairsConfig.model_validate({key.removeprefix("pairs."): value for key, value in healthver.items()})
    parts = {split: load_pairs(config, split).pairs for split in PAIR_SPLITS}
    with (Path(str(config.folder)) / "healthver_dev.csv").open(encoding="utf-8", newline="") as lines:
        questions = {row["id"]: _folded(row["question"]) for row in csv.DictReader(lines)}
    held_out = [pair for split in ("dev", "test") for pair in parts[split]]
    seen = {questions[pair.id] for pair in held_out}
    seen |= {_folded(text) for pair in held_out for text in (pair.premise, pair.hypothesis)}
    rows = {split: [asdict(pair) for pair in pairs] for split, pairs in parts.items()}
    with published.open(encoding="utf-8", newline="") as lines:
        rows["train"] += [
            {
                "id": f"test-{row['id']}",
                "premise": row["evidence"],
                "hypothesis": row["claim"],
                "label": HEALTHVER_LABELS[row["label"]],
            }
            for row in csv.DictReader(lines)
            if not {_folded(row[key]) for key in ("question", "evidence", "claim")} & seen
        ]
    if claims is not None:
        rows["train"] += _claim_pairs(claims, held_out)
    folder = steps.work / ("healthver-pairs" if claims is None else "judge-pairs")
    folder.mkdir(exist_ok=True)
    for split, those in rows.items():
        _write(folder / f"{split}.jsonl", those)
    return folder


def _claim_pairs(folder: Path, held_out: Sequence[NLIPair]) -> list[dict[str, str]]:
    """Pairs of the claims in ``folder`` (SciFact's layout) and labelled sentences of their documents.

    Documents of which a held-out pair quotes a sentence are left out, and the held-out claims. A document that does not
    decide a claim gives up to four neutral pairs, with sentences that are labelled for other claims.
    """
    labels = {"SUPPORT": "entailment", "CONTRADICT": "contradiction"}
    texts = {_folded(pair.premise) for pair in held_out}
    quoted, known = " | ".join(texts), {_folded(pair.hypothesis) for pair in held_out}
    documents = {row["doc_id"]: row["abstract"] for _, row in json_lines(folder / "corpus.jsonl")}
    claims = [row for _, row in json_lines(folder / "claims_train.jsonl")]
    left_out = {
        id
        for id, sentences in documents.items()
        if any(len(one) > SHORT and _folded(one) in quoted for one in sentences)
        or any(text in _folded(" ".join(sentences)) for text in texts)
    }
    labelled: dict[int, dict[tuple[int, ...], None]] = {}  # by document: the sets of sentences
    for claim in claims:
        for id, evidence in claim["evidence"].items():
            labelled.setdefault(int(id), {}).update((tuple(one["sentences"]), None) for one in evidence)
    rng = random.Random(0)
    rows = []
    for claim in claims:
        if _folded(claim["claim"]) in known:
            continue
        for id in claim["doc_ids"]:
            if evidence := claim["evidence"].get(str(id)):
                found = [(tuple(one["sentences"]), labels[one["label"]]) for one in evidence]
            else:
                others = list(labelled.get(id, ()))
                found = [(one, "neutral") for one in rng.sample(others, min(4, len(others)))]
            for numbers, label in found if id not in left_out else ():
                premise = " ".join(documents[id][number].strip() for number in numbers)
                key = f"claim-{claim['id']}-{id}-{'-'.join(map(str, numbers))}"
                rows.append({"id": key, "premise": premise, "hypothesis": claim["claim"].strip(), "label": label})
    return rows


def _joined(adapters: Sequence[Path], output: Path) -> Path:
    """One adapter of the pretrained model with the sum of the weight changes of several (PEFT's ``cat``)."""
    if not output.exists():
        import torch
        from peft import PeftModel

        base = load_llm(LLMConfig(**{key.removeprefix("llm."): value for key, value in MODEL.items()})).model
        model: Any = PeftModel.from_pretrained(base, str(adapters[0]), adapter_name="trained0")
        for number, one in enumerate(adapters[1:], 1):
            model.load_adapter(str(one), adapter_name=f"trained{number}")
        names = [f"trained{number}" for number in range(len(adapters))]
        with torch.inference_mode():
            model.add_weighted_adapter(names, [1.0] * len(names), "joined", combination_type="cat")
        model.save_pretrained(output.parent, selected_adapters=["joined"])
        (output.parent / "joined").rename(output)
    return output


def _merged(steps: Steps, name: str, adapter: Path, pairs: Settings) -> Path:
    """The pretrained model with an adapter merged into it."""
    merged = steps.work / "models" / f"{name}-merged"
    command = ["merge", str(adapter), str(merged), "--limit", "1000"]
    settings = {**MODEL, **pairs}
    steps.run(f"merge-{name}", command, settings, lambda: json.loads((merged / "merge.json").read_text("utf-8")))
    return merged


def _trained(steps: Steps, name: str, pairs: Settings, sizes: Settings) -> tuple[Path, Path]:
    """Train the QLoRA adapter and the encoder on a set of pairs and return both folders."""
    recipe = {f"train.qlora.{key}": value for key, value in {**ADAPTER, **sizes}.items()}
    encoder = {f"train.encoder.{key}": value for key, value in {**ENCODER, "every": sizes["every"]}.items()}
    model = steps.train(f"{name}-encoder", "encoder", {**pairs, **encoder})
    return steps.train(f"{name}-qlora", "qlora", {**MODEL, **FOUR_BITS, **pairs, **recipe}), model


def _classifier(encoder: Path) -> Settings:
    return {"nli.kind": "encoder", "nli.model": str(encoder)}


def inference(steps: Steps, name: str, pairs: Settings, sizes: Settings) -> None:
    """Parts a and b."""
    adapter, encoder = _trained(steps, name, pairs, sizes)
    steps.evaluate(f"{name}-encoder", pairs, _classifier(encoder))
    steps.evaluate(f"{name}-qlora", pairs, {**MODEL, **FOUR_BITS, "llm.adapter": str(adapter)})
    _merged(steps, name, adapter, pairs)
    steps.evaluate(f"{name}-zero-shot", pairs, MODEL)
    steps.evaluate(f"{name}-3-shot", pairs, {**MODEL, "prompt.shots": 3})
    recipe = {f"train.qlora.{key}": value for key, value in {**ADAPTER, **sizes}.items()}
    lora = steps.train(f"{name}-lora", "qlora", {**MODEL, **pairs, **recipe})
    steps.evaluate(f"{name}-lora", pairs, {**MODEL, "llm.adapter": str(lora)})


def questions(steps: Steps, records: Path) -> None:
    """Part c. The trained model reads question and context as a pair with the labels yes, no and maybe."""
    output = steps.work / "results" / "qa"
    contexts = [{"kind": "qa", "context": one} for one in ("none", "gold")]
    tasks = [*contexts, {"kind": "qa", "context": "retrieved", "retriever": "dense"}]
    names = ("qa_none", "qa_gold", "qa_retrieved_dense")
    steps.run(
        "eval-qa",
        ["eval", "tasks", "--output", str(output), "--data", str(records)],
        {**MODEL, "eval.tasks": tasks, "store.path": str(steps.work / "store")},
        lambda: {name: _task_figures(output, name) for name in names},
    )
    folder = steps.work / "pubmedqa-pairs"
    folder.mkdir(exist_ok=True)
    for split in ("train", "dev", "test"):
        rows = [
            {"pairID": one.id, "sentence1": one.context, "sentence2": one.question, "gold_label": one.label}
            for one in load_records(DataConfig(path=str(records), split=split))
        ]
        _write(folder / f"{split}.jsonl", rows)
    files = {f"pairs.files.{split}": f"{split}.jsonl" for split in ("train", "dev", "test")}
    pairs = {"pairs.path": str(folder), **files, "pairs.labels": {label: label for label in QA_LABELS}}
    sizes = {"batch_size": 8, "every": 28, "epochs": 4, "learning_rate": 3e-4}
    recipe = {f"train.qlora.{key}": value for key, value in {**ADAPTER, **sizes}.items()}
    adapter = steps.train("pubmedqa-qlora", "qlora", {**MODEL, **FOUR_BITS, **pairs, **recipe})
    plain = {"pairs.path": str(folder / "test.jsonl"), "pairs.labels": pairs["pairs.labels"]}
    result = steps.work / "results" / "pubmedqa-qlora"
    steps.run(
        "eval-pubmedqa-qlora",
        ["eval", "nli", "--output", str(result)],
        {**MODEL, **FOUR_BITS, **plain, "llm.adapter": str(adapter)},
        lambda: _task_figures(result, "nli"),
    )


def verification(steps: Steps, records: Path, encoder: Path, adapter: Path) -> None:
    """Part d: support of answers by quotes of a record's own abstract and of another's; citations; verified answers."""
    file = steps.work / "quotes.jsonl"
    if not file.exists():
        _write(file, _quoted(records))
    judges = {"encoder": _classifier(encoder), "adapter": {"nli.adapter": str(adapter)}}
    for name, judge in judges.items():
        support = steps.work / "results" / f"support-{name}"
        model = judge if name == "encoder" else {"llm.adapter": str(adapter)}
        steps.run(
            f"support-{name}",
            ["eval", "nli", "--output", str(support)],
            {**MODEL, **model, "llm.dtype": "bfloat16", "pairs.path": str(file)},
            partial(_support, support),
        )
        output = steps.work / "results" / f"answers-{name}"
        steps.run(
            f"answers-{name}",
            ["eval", "answers", "--output", str(output), "--data", str(records), "--limit", "100"],
            {
                **MODEL,
                **judge,
                "llm.dtype": "bfloat16",
                "chat.max_new_tokens": 96,
                "store.path": str(steps.work / "store"),
            },
            partial(_all_metrics, output),
        )
        output = steps.work / "results" / f"verify-{name}"
        tasks = [{"kind": "verified", "context": one} for one in ("gold", "swapped")]
        steps.run(
            f"verify-{name}",
            ["eval", "tasks", "--output", str(output), "--data", str(records)],
            {**MODEL, **judge, "chain.verify": "report", "eval.tasks": tasks},
            partial(_all_metrics, output),
        )


def _quoted(records: Path) -> list[dict[str, Any]]:
    """Pairs of three quotes for a question, from its own abstract and from another's, and the right answer."""
    embedder = MiniLMEmbedder()
    test = [one for one in load_records(DataConfig(path=str(records))) if one.label in ("yes", "no")]
    rows = []
    for number, one in enumerate(test):
        statement = answer_statement(one.question, str(one.label))
        others = {"own": one, "other": test[(number + len(test) // 2) % len(test)]}
        for name, record in others.items():
            quotes = cite(one.question, [Passage(id=record.id, text=record.context)], embedder)[:3]
            premise = " ".join(quote.quote for quote in quotes)
            if premise:
                rows.append({"pairID": f"{one.id}-{name}", "sentence1": premise, "sentence2": statement})
    return [{**row, "gold_label": "entailment" if row["pairID"].endswith("own") else "neutral"} for row in rows]


def _check_figures(output: Path) -> Figures:
    tasks = json.loads((output / "results.json").read_text(encoding="utf-8"))["results"]
    return {task: _task_figures(output, task) for task in tasks}


def _all_metrics(output: Path) -> Figures:
    return {"metrics": json.loads((output / "results.json").read_text(encoding="utf-8"))["results"]}


def _support(output: Path) -> Figures:
    """Shares of entailment and contradiction by kind of abstract, and their paired differences.

    An abstract without a quote for the question supports nothing.
    """
    figures: Figures = {}
    predictions = {one["id"]: one["prediction"] for one in _samples(output, "nli")}
    records = sorted({name.rpartition("-")[0] for name in predictions})
    for label in ("entailment", "contradiction"):
        found = {
            kind: [float(predictions.get(f"{record}-{kind}") == label) for record in records]
            for kind in ("other", "own")
        }
        for kind, values in found.items():
            share = proportion(int(sum(values)), len(values))
            figures[f"{kind}_{label}"] = {"share": share.value, "interval": [share.low, share.high], "n": len(values)}
        difference = mean_difference(found["other"], found["own"])
        figures[f"difference_{label}"] = {
            "share": difference.value,
            "interval": [difference.low, difference.high],
            "n": len(found["own"]),
        }
    return figures


def speed(steps: Steps, pairs: Settings, count: int) -> None:
    """Part e: ``count`` steps of 16 pairs by each recipe, then both on the same 1,000 test pairs."""
    recipe = {f"train.qlora.{key}": value for key, value in ADAPTER.items()}
    runs = {
        "tutorial": ("tutorial_qlora.yaml", {}),
        "ours": ("qlora.yaml", {**recipe, "train.qlora.answer_pairs": False}),
    }
    results = []
    for name, (config, settings) in runs.items():
        few = {"train.qlora.max_steps": count, "train.qlora.every": count, "train.qlora.dev_limit": 16}
        model = {"llm.model": MODEL["llm.model"], **pairs, **settings, **few}
        adapter = steps.train(f"speed-{name}", "qlora", model, "--config", str(bench.CONFIGS / config))
        judge = {**MODEL, "llm.adapter": str(adapter)}
        results.append(str(steps.evaluate(f"speed-{name}", pairs, judge, "--limit", "1000")))
    output = steps.work / "results" / "speed"
    steps.run(
        "speed-compare",
        ["compare", *results, "--output", str(output)],
        {},
        lambda: {"comparisons": json.loads((output / "compare.json").read_text(encoding="utf-8"))["comparisons"]},
    )


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def table(done: Mapping[str, Figures]) -> str:
    """A line for each evaluation and each training run."""
    lines = []
    for name, one in done.items():
        measured = (
            {name: one} if "majority" in one else {key: value for key, value in one.items() if _is_measured(value)}
        )
        for task, figures in measured.items():
            low, high = figures["interval"]
            line = f"{name}, {task}" if task != name else name
            line += f": n {figures['n']}, accuracy {figures['accuracy']:.3f} ({low:.3f} to {high:.3f})"
            line += f", macro F1 {figures['metrics']['macro_f1']:.3f}, majority {figures['majority']:.3f}"
            if new := figures.get("no_text_in_training"):
                line += f"; no text in training: n {new['n']}, accuracy {new['accuracy']:.3f}"
            lines.append(line)
        if "examples_per_second" in one:
            lines.append(f"{name}: {one['examples_per_second']} examples/s, dev accuracy {one.get('dev_accuracy')}")
        if "compared" in one:
            lines.append(f"{name}: labels agree on {one['compared']['agreement']:.2%} of {one['pairs']} pairs")
        if "own_entailment" in one:
            shares = ", ".join(f"{kind} {value['share']:.3f}" for kind, value in one.items() if "share" in _dict(value))
            lines.append(f"{name}: {shares}")
        for task, metrics in _dict(one.get("metrics")).items() if name.startswith(("verify", "answers")) else ():
            names = ("accuracy", "share_supported", "accuracy_supported", "aurc", "aurc_confidence")
            names += ("citation_precision", "citation_recall", "sentence_support")
            found = ", ".join(f"{key} {metrics[key]:.3f}" for key in names if key in metrics)
            lines.append(f"{name}, {task}: {found}")
        lines.append(f"{name}: {one['peak_memory'] / 1e9:.1f} GB, {one['cpu_seconds'] / 60:.1f} CPU minutes")
    return "\n".join(lines)


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_measured(value: object) -> bool:
    return "majority" in _dict(value)


def main() -> None:
    """Run the parts of the command line and print a table."""
    parser = bench.parser(__doc__)
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
    published, claims = data / "healthver_test" / "healthver_test.csv", data / "healthver_claims"
    for part in options.part:
        if part == "a":
            inference(steps, "sick", sick, OF_SICK)
        elif part == "b":
            inference(steps, "healthver", healthver, OF_HEALTHVER)
            transfer(steps, sick, healthver)
            if published.exists():
                judge_adapter(steps, sick, healthver, published)
            if claims.exists():
                judge_encoder(steps, data / "general", healthver, published, claims)
        elif part == "c":
            questions(steps, records)
        elif part == "d":
            adapter, encoder = _trained(steps, "healthver", healthver, OF_HEALTHVER)
            if published.exists():
                adapter = judge_adapter(steps, sick, healthver, published)
            verification(steps, records, encoder, adapter)
        else:
            speed(steps, sick, options.steps)
    print(table(steps.done))
    bench.write_report(options.output, {"steps": steps.done})


if __name__ == "__main__":
    bench.run(main)
