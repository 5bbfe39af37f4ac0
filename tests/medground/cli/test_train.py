"""Output of ``medground train``: the figures, and a printed command that uses the result."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

VERBS = (*[("rose", "entailment"), ("vanished", "contradiction"), ("was not asked about", "neutral")] * 4,)
ENCODER_OPTIONS = ("--quiet", "--set", "train.encoder.epochs=1", "--set", "train.encoder.max_length=32")


def _write_records(path: Path) -> None:
    """Write 40 records, and beside them the file that makes ten of them the test split."""
    records = {
        str(n): {
            "QUESTION": f"Does compound {n} help?",
            "CONTEXTS": [f"Compound {n} was given to {n + 20} patients."],
            "LONG_ANSWER": f"Compound {n} helps.",
            "final_decision": ("yes", "no")[n % 2],
        }
        for n in range(40)
    }
    path.write_text(json.dumps(records))
    (path.parent / "test_ground_truth.json").write_text(json.dumps({str(n): ("yes", "no")[n % 2] for n in range(10)}))


def _run_printed_command(command: Callable[..., Any], printed: str) -> Mapping[str, Any]:
    """The results of the command after "Use it:"."""
    arguments = printed.split("Use it: medground ")[1].split()
    outcome = command(*arguments, "--quiet", "--json")
    assert outcome.status == 0, outcome.err
    results: Mapping[str, Any] = json.loads(outcome.out)["results"]
    return results


def test_qlora_prints_the_adapter_and_the_command_that_evaluates_it(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text("train: {qlora: {every: 2}}\n")
    options = ("--config", "config.yaml", "--set", "train.qlora.max_steps=2", "--set", "llm.batch_tokens=2048")
    outcome = command("train", "qlora", "--output", "adapters/nli", "--limit", "12", "--quiet", *options)
    assert outcome.status == 0, outcome.err
    dev = json.loads((tmp_path / "adapters/nli/summary.json").read_text())["dev_accuracy"]["result"]
    assert outcome.out == f"adapter: ./adapters/nli, step 2 of 2, dev accuracy {dev:.3f}\n"
    assert outcome.err.endswith(
        "Use it: medground eval nli --config config.yaml --set llm.batch_tokens=2048 --set llm.adapter=./adapters/nli\n"
    )


def test_encoder_for_pairs_prints_leakage_and_a_command_that_runs(command: Callable[..., Any], tmp_path: Path) -> None:
    rows = [{"sentence1": f"Pain {verb}.", "sentence2": "It hurts.", "gold_label": label} for verb, label in VERBS]
    (tmp_path / "pairs.d").mkdir()
    for split, split_rows in {"train": rows[::-1], "dev": rows, "test": rows}.items():
        lines = "".join(json.dumps(row) + "\n" for row in split_rows)
        (tmp_path / f"pairs.d/mli_{split}_v1.jsonl").write_text(lines)
    arguments = ("train", "encoder", "--output", str(tmp_path / "enc"), "--data", "pairs.d", *ENCODER_OPTIONS)
    outcome = command(*arguments)
    assert outcome.status == 0, outcome.err
    assert re.fullmatch(r"classifier: /.*/enc, step 1 of 1, dev accuracy \d\.\d{3}\n", outcome.out)
    assert "repeated in other splits (3 in dev, 3 in test), whose figures are too high." in outcome.err
    assert "medground eval nli --data pairs.d --set nli.kind=encoder --set nli.model=/" in outcome.err
    assert "nli" in _run_printed_command(command, outcome.err)
    again = command(*[argument for argument in arguments if argument != "--quiet"])
    assert again.out == outcome.out
    assert "already holds the result of this run" in again.err


def test_encoder_for_questions_prints_the_python_call_that_uses_it(command: Callable[..., Any], tmp_path: Path) -> None:
    from chains.encoder.classifier import classifier_chain

    _write_records(tmp_path / "records.json")
    task = ("--set", "train.encoder.task=qa", "--set", "train.encoder.teach_dev=true")
    outcome = command("train", "encoder", "--output", "enc", "--data", "records.json", *ENCODER_OPTIONS, *task)
    assert outcome.status == 0, outcome.err
    assert outcome.out == "classifier: ./enc, step 2 of 2, not measured on a dev split\n"
    assert "Use it in Python: chains.encoder.classifier.classifier_chain('./enc')" in outcome.err
    answer = classifier_chain("./enc").invoke({"question": "Does it help?", "context": "It was given."})
    assert answer.label in ("yes", "no")


@pytest.mark.parametrize(
    ("method", "setting"), [("qlora", "train.encoder.epochs=1"), ("encoder", "train.embedder={epochs: 1}")]
)
def test_settings_of_another_training_command_are_refused(
    command: Callable[..., Any], tmp_path: Path, method: str, setting: str
) -> None:
    outcome = command("train", method, "--output", "out", "--set", setting)
    assert outcome.status == 1
    key = setting.split("=")[0]
    assert f"--set {key} has no effect on `medground train {method}`." in outcome.err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_embedder_prints_a_command_that_runs(command: Callable[..., Any], tmp_path: Path) -> None:
    _write_records(tmp_path / "records.json")
    options = ("--quiet", "--set", "train.embedder.epochs=1", "--set", "train.embedder.batch_size=8")
    outcome = command("train", "embedder", "--output", "emb", "--data", "records.json", *options)
    assert outcome.status == 0, outcome.err
    assert re.fullmatch(r"embedder: \./emb, step \d+ of \d+, dev accuracy \d\.\d{3}\n", outcome.out)
    use = "medground eval retrieval --split test --data records.json --set embedders.minilm.model=./emb"
    assert use in outcome.err
    assert "retrieval_dense" in _run_printed_command(command, outcome.err)
