"""NLI pairs of HealthVer's published files and of claims in SciFact's layout, for the benchmarks that train judges."""

import json
import random
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from corpus.rows import json_lines

HEALTHVER_LABELS = {"Supports": "entailment", "Neutral": "neutral", "Refutes": "contradiction"}
SHORT_SENTENCE = 40  # maximum number of characters of a sentence that two documents may contain by chance


def normalized(text: str) -> str:
    """The text in lower case with single spaces, to find equal texts."""
    return " ".join(text.lower().split())


def published_pair(row: Mapping[str, str], file: str) -> dict[str, str]:
    """The NLI pair of a row of HealthVer's dev or test ``file``."""
    label = HEALTHVER_LABELS[row["label"]]
    return {"id": f"{file}-{row['id']}", "premise": row["evidence"], "hypothesis": row["claim"], "label": label}


def write_splits(folder: Path, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> Path:
    """Write ``SPLIT.jsonl`` for each split; returns the folder."""
    folder.mkdir(exist_ok=True)
    for split, split_rows in rows.items():
        write_jsonl(folder / f"{split}.jsonl", split_rows)
    return folder


def claim_pairs(
    folder: Path, rng: random.Random, held_out_claims: Collection[str], premises: Collection[str] = (), neutral: int = 4
) -> list[dict[str, str]]:
    """NLI pairs of the claims in ``folder`` (SciFact's layout) and labelled sentences of their documents.

    The held-out claims are left out, and documents of which one of ``premises`` quotes a sentence; claims and premises
    are ``normalized``. A document that does not decide a claim gives up to ``neutral`` neutral pairs, with sentences
    that are labelled for other claims.
    """
    labels = {"SUPPORT": "entailment", "CONTRADICT": "contradiction"}
    all_premises = " | ".join(premises)
    documents = {row["doc_id"]: row["abstract"] for _, row in json_lines(folder / "corpus.jsonl")}
    claims = [row for _, row in json_lines(folder / "claims_train.jsonl")]
    quoted_documents = {
        id
        for id, sentences in documents.items()
        if any(len(sentence) > SHORT_SENTENCE and normalized(sentence) in all_premises for sentence in sentences)
        or any(premise in normalized(" ".join(sentences)) for premise in premises)
    }
    # The labelled sets of sentences of each document, as keys in order.
    evidence_sets: dict[int, dict[tuple[int, ...], None]] = {}
    for claim in claims:
        for id, evidence in claim["evidence"].items():
            evidence_sets.setdefault(int(id), {}).update((tuple(each["sentences"]), None) for each in evidence)
    rows = []
    for claim in claims:
        if normalized(claim["claim"]) in held_out_claims:
            continue
        for id in claim["doc_ids"]:
            if evidence := claim["evidence"].get(str(id)):
                labelled = [(tuple(each["sentences"]), labels[each["label"]]) for each in evidence]
            else:
                others = list(evidence_sets.get(id, ()))
                labelled = [(numbers, "neutral") for numbers in rng.sample(others, min(neutral, len(others)))]
            for numbers, label in labelled if id not in quoted_documents else ():
                premise = " ".join(documents[id][number].strip() for number in numbers)
                pair_id = f"claim-{claim['id']}-{id}-{'-'.join(map(str, numbers))}"
                rows.append({"id": pair_id, "premise": premise, "hypothesis": claim["claim"].strip(), "label": label})
    return rows


def write_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one JSON object on each line."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
