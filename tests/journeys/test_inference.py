"""Inference on the command line: measured, taught, measured again, merged, and put to use on answers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
BM25 = ("--set", "retriever=bm25")  # which has nothing to embed
QUESTION = "Should a rise in lung volume be expected with drasegamab?"


@pytest.fixture
def adapter(command: Command, tmp_path: Path) -> Path:
    """An adapter after two steps."""
    steps = ("--set", "train.qlora.max_steps=2", "--set", "train.qlora.every=2", "--limit", "12")
    outcome = command("train", "qlora", "--output", "adapter", "--quiet", *steps)
    assert outcome.status == 0, outcome.err
    return tmp_path / "adapter"


def test_an_adapter_is_taught_measured_merged_and_checks_answers(
    command: Command, adapter: Path, tmp_path: Path
) -> None:
    assert (adapter / "adapter_config.json").is_file()
    options = ("--limit", "4", "--quiet", "--json")
    evaluated = command("eval", "nli", *options)
    assert "best for these pairs: nli.temperature " in evaluated.err
    before = json.loads(evaluated.out)
    after = json.loads(command("eval", "nli", *options, "--set", f"llm.adapter={adapter}").out)
    assert before["n"] == after["n"] == 4
    assert {"accuracy", "macro_f1", "unparsed", "f1_entailment", "recall_neutral"} <= set(after["results"]["nli"])
    samples = [json.loads(line) for line in (tmp_path / "results/nli/samples_nli.jsonl").read_text().splitlines()]
    assert {"premise", "hypothesis", "prompt", "label_scores", "prediction", "target", "key"} <= set(samples[0])

    merged = command("merge", str(adapter), "merged", "--limit", "4", "--quiet", "--set", "llm.dtype=float32")
    assert merged.status == 0, merged.err
    assert "100.00% of the labels agree" in merged.out
    assert command("eval", "nli", "--set", "llm.model=merged", *options).status == 0
    answered = command("ask", QUESTION, *BM25, "--set", "llm.model=merged", "--json", "--quiet")
    assert json.loads(answered.out)["label"] in ("yes", "no", "maybe")

    verified = ("--set", "chain.verify=report", "--set", f"nli.adapter={adapter}")
    answer = json.loads(command("ask", QUESTION, *BM25, *verified, "--json", "--quiet").out)
    assert answer["verdict"] in ("supported", "contradicted", "not enough evidence")
    assert sum(answer["verification"]["scores"].values()) == pytest.approx(1)
    plain = json.loads(command("ask", QUESTION, *BM25, "--json", "--quiet").out)
    assert answer["label_scores"] == pytest.approx(plain["label_scores"])  # the adapter is off while it answers
    assert "verdict: " in command("ask", QUESTION, *BM25, *verified, "--quiet").out

    measured = json.loads(command("eval", "qa", *options, *BM25, *verified).out)["results"]
    assert {"verified_retrieved_bm25", "verified_gold", "verified_wrong", "verified_swapped"} <= set(measured)
    assert (tmp_path / "results/qa/risk_verified_gold.png").stat().st_size > 1000


def test_an_encoder_is_taught_and_judges(command: Command) -> None:
    rows = [{"sentence1": f"Pain {word}.", "sentence2": "It hurts.", "gold_label": label} for word, label in WORDS]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    Path("pairs.d").mkdir()
    for split in ("train", "dev", "test"):
        Path(f"pairs.d/mli_{split}_v1.jsonl").write_text(lines)
    options = ("--set", "train.encoder.epochs=1", "--set", "train.encoder.max_length=32")
    outcome = command("train", "encoder", "--output", "enc", "--data", "pairs.d", "--quiet", *options)
    assert outcome.status == 0, outcome.err
    encoder = ("--set", "nli.kind=encoder", "--set", "nli.model=enc")
    measured = json.loads(command("eval", "nli", "--data", "pairs.d", "--json", "--quiet", *encoder).out)
    assert measured["n"] == len(WORDS)
    answer = json.loads(
        command("ask", QUESTION, *BM25, "--set", "chain.verify=abstain", *encoder, "--json", "--quiet").out
    )
    assert (answer["label"] is None) == (answer["withheld"] is not None)


WORDS = (*[("rose", "entailment"), ("vanished", "contradiction"), ("was not asked about", "neutral")] * 4,)


def test_other_labels_and_columns_by_settings(command: Command) -> None:
    Path("mine.csv").write_text("text,claim,verdict\nPain rose.,It hurts.,T\nPain fell.,It hurts.,F\n")
    Path("mine.yaml").write_text(
        "pairs:\n  path: mine.csv\n  columns: {premise: text, hypothesis: claim, label: verdict, id: null}\n"
        "  labels: {T: 'yes', F: 'no'}\n"
    )
    outcome = command("eval", "nli", "--config", "mine.yaml", "--json", "--quiet")
    assert outcome.status == 0, outcome.err
    figures = json.loads(outcome.out)["results"]["nli"]
    scored = {name for name in figures if name.startswith("f1_") and not name.endswith("_stderr")}
    assert scored == {"f1_yes", "f1_no"}  # and none of the default labels
