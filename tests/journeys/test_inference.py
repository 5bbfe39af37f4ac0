"""NLI on the command line: adapters and encoders are trained, evaluated, merged, and used to verify answers."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
BM25 = ("--set", "retriever=bm25")  # faster than the default, as it embeds nothing
QUESTION = "Should a rise in lung volume be expected with drasegamab?"


@pytest.fixture
def adapter(command: Command, tmp_path: Path) -> Path:
    """An NLI adapter for medground-tiny after two training steps."""
    steps = ("--set", "train.qlora.max_steps=2", "--set", "train.qlora.every=2", "--limit", "12")
    outcome = command("train", "qlora", "--output", "adapter", "--quiet", *steps)
    assert outcome.status == 0, outcome.err
    return tmp_path / "adapter"


def test_adapter_is_evaluated_merged_and_verifies_answers(command: Command, adapter: Path, tmp_path: Path) -> None:
    assert (adapter / "adapter_config.json").is_file()
    options = ("--limit", "4", "--quiet", "--json")
    evaluated = command("eval", "nli", *options)
    assert "best for these pairs: nli.temperature " in evaluated.err
    base = json.loads(evaluated.out)
    adapted = json.loads(command("eval", "nli", *options, "--set", f"llm.adapter={adapter}").out)
    assert base["n"] == adapted["n"] == 4
    assert {"accuracy", "macro_f1", "unparsed", "f1_entailment", "recall_neutral"} <= set(adapted["results"]["nli"])
    samples = [json.loads(line) for line in (tmp_path / "results/nli/samples_nli.jsonl").read_text().splitlines()]
    assert {"premise", "hypothesis", "prompt", "label_scores", "prediction", "target", "key"} <= set(samples[0])

    merged = command("merge", str(adapter), "merged", "--limit", "4", "--quiet", "--set", "llm.dtype=float32")
    assert merged.status == 0, merged.err
    assert "100.00% of the labels agree" in merged.out
    assert command("eval", "nli", "--set", "llm.model=merged", *options).status == 0
    answered = command("ask", QUESTION, *BM25, "--set", "llm.model=merged", "--json", "--quiet")
    assert json.loads(answered.out)["label"] in ("yes", "no", "maybe")

    verification = ("--set", "chain.verify=report", "--set", f"nli.adapter={adapter}")
    answer = json.loads(command("ask", QUESTION, *BM25, *verification, "--json", "--quiet").out)
    assert answer["verdict"] in ("supported", "contradicted", "not enough evidence")
    assert sum(answer["verification"]["scores"].values()) == pytest.approx(1)
    unverified = json.loads(command("ask", QUESTION, *BM25, "--json", "--quiet").out)
    assert answer["label_scores"] == pytest.approx(unverified["label_scores"])  # answers are made without the adapter
    assert "verdict: " in command("ask", QUESTION, *BM25, *verification, "--quiet").out

    figures = json.loads(command("eval", "qa", *options, *BM25, *verification).out)["results"]
    assert {"verified_retrieved_bm25", "verified_gold", "verified_wrong", "verified_swapped"} <= set(figures)
    assert (tmp_path / "results/qa/risk_verified_gold.png").stat().st_size > 1000


def test_trained_encoder_is_evaluated_and_verifies_answers(command: Command) -> None:
    labels = {"Pain rose.": "entailment", "Pain vanished.": "contradiction", "Pain was not asked about.": "neutral"}
    pairs = [{"sentence1": text, "sentence2": "It hurts.", "gold_label": label} for text, label in labels.items()] * 4
    Path("pairs.d").mkdir()
    for split, rows in {"train": pairs[3:], "dev": pairs, "test": pairs}.items():
        Path(f"pairs.d/mli_{split}_v1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ("--set", "train.encoder.epochs=1", "--set", "train.encoder.max_length=32")
    outcome = command("train", "encoder", "--output", "enc", "--data", "pairs.d", "--quiet", *options)
    assert outcome.status == 0, outcome.err
    encoder = ("--set", "nli.kind=encoder", "--set", "nli.model=enc")
    results = json.loads(command("eval", "nli", "--data", "pairs.d", "--json", "--quiet", *encoder).out)
    assert results["n"] == len(pairs)
    outcome = command("ask", QUESTION, *BM25, "--set", "chain.verify=abstain", *encoder, "--json", "--quiet")
    answer = json.loads(outcome.out)
    assert (answer["label"] is None) == (answer["withheld"] is not None)


def test_labels_and_columns_of_pairs_can_be_set(command: Command) -> None:
    Path("claims.csv").write_text("text,claim,verdict\nPain rose.,It hurts.,T\nPain fell.,It hurts.,F\n")
    Path("claims.yaml").write_text(
        "pairs:\n  path: claims.csv\n  columns: {premise: text, hypothesis: claim, label: verdict, id: null}\n"
        "  labels: {T: 'yes', F: 'no'}\n"
    )
    outcome = command("eval", "nli", "--config", "claims.yaml", "--json", "--quiet")
    assert outcome.status == 0, outcome.err
    figures = json.loads(outcome.out)["results"]["nli"]
    assert {name for name in figures if re.fullmatch("f1_[a-z]+", name)} == {"f1_yes", "f1_no"}
