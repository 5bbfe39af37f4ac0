"""medground/cli/train.py: what a training tells at its end."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

WORDS = (*[("rose", "entailment"), ("vanished", "contradiction"), ("was not asked about", "neutral")] * 4,)
ENCODER = ("--quiet", "--set", "train.encoder.epochs=1", "--set", "train.encoder.max_length=32")


def _records(path: Path) -> None:
    """Forty records, ten of them test, beside a split file."""
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


def _used(command: Callable[..., Any], told: str) -> Mapping[str, Any]:
    """What comes of the command that was told."""
    words = told.split("Use it: medground ")[1].split()
    outcome = command(*words, "--quiet", "--json")
    assert outcome.status == 0, outcome.err
    results: Mapping[str, Any] = json.loads(outcome.out)["results"]
    return results


def test_an_adapter(command: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("train: {qlora: {every: 2}}\n")
    options = ("--config", "mine.yaml", "--set", "train.qlora.max_steps=2", "--set", "llm.batch_tokens=2048")
    outcome = command("train", "qlora", "--output", "adapters/nli", "--limit", "12", "--quiet", *options)
    assert outcome.status == 0, outcome.err
    dev = json.loads((tmp_path / "adapters/nli/summary.json").read_text())["dev_accuracy"]["result"]
    assert outcome.out == f"adapter: ./adapters/nli, step 2 of 2, dev accuracy {dev:.3f}\n"
    assert outcome.err.endswith(
        "Use it: medground eval nli --config mine.yaml --set llm.batch_tokens=2048 --set llm.adapter=./adapters/nli\n"
    )


def test_a_classifier_of_pairs(command: Callable[..., Any], tmp_path: Path) -> None:
    rows = [{"sentence1": f"Pain {word}.", "sentence2": "It hurts.", "gold_label": label} for word, label in WORDS]
    (tmp_path / "pairs.d").mkdir()
    for split in ("train", "dev", "test"):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"pairs.d/mli_{split}_v1.jsonl").write_text(lines)
    words = ("train", "encoder", "--output", str(tmp_path / "enc"), "--data", "pairs.d", *ENCODER)
    outcome = command(*words)
    assert outcome.status == 0, outcome.err
    assert re.fullmatch(r"classifier: /.*/enc, step 1 of 1, dev accuracy \d\.\d{3}\n", outcome.out)
    assert "too: 3 of the dev split's and 3 of the test split's. Their figures flatter." in outcome.err
    assert "medground eval nli --data pairs.d --set nli.kind=encoder --set nli.model=/" in outcome.err
    assert "nli" in _used(command, outcome.err)
    again = command(*[word for word in words if word != "--quiet"])
    assert again.out == outcome.out
    assert "of this very run already" in again.err


def test_a_classifier_of_questions(command: Callable[..., Any], tmp_path: Path) -> None:
    from chains.encoder.classifier import classifier_chain

    _records(tmp_path / "mine.json")
    taught = ("--set", "train.encoder.task=qa", "--set", "train.encoder.teach_dev=true")
    outcome = command("train", "encoder", "--output", "enc", "--data", "mine.json", *ENCODER, *taught)
    assert outcome.status == 0, outcome.err
    assert outcome.out == "classifier: ./enc, step 2 of 2, not measured on a dev split\n"
    assert "Use it in Python: chains.encoder.classifier.classifier_chain('./enc')" in outcome.err
    answer = classifier_chain("./enc").invoke({"question": "Does it help?", "context": "It was given."})
    assert answer.label in ("yes", "no")


@pytest.mark.slow
def test_an_embedder(command: Callable[..., Any], tmp_path: Path) -> None:
    _records(tmp_path / "mine.json")
    options = ("--quiet", "--set", "train.embedder.epochs=1", "--set", "train.embedder.batch_size=8")
    outcome = command("train", "embedder", "--output", "emb", "--data", "mine.json", *options)
    assert outcome.status == 0, outcome.err
    assert re.fullmatch(r"embedder: \./emb, step \d+ of \d+, dev accuracy \d\.\d{3}\n", outcome.out)
    use = "medground eval retrieval --split test --data mine.json --set embedders.minilm.model=./emb"
    assert use in outcome.err
    assert "retrieval_dense" in _used(command, outcome.err)
