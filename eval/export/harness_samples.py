"""Samples in the lm-evaluation-harness's format: a line a record, responses and targets as text."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

INVALID = "[invalid]"  # what the harness's filters put for an answer that they cannot parse
GREEDY = {"do_sample": False}  # the decoding used here


def is_scored(samples: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the labels were scored, as in the harness's ``multiple_choice``; else ``generate_until``."""
    return bool(samples) and all(sample.get("label_scores") for sample in samples)


def harness_samples(samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A task's samples in the harness's form.

    Where labels were scored, the responses are the logarithms of the labels' probabilities. Whether a label is also the
    model's most probable continuation (``is_greedy``) is not known and is written as "None". ``doc`` is the record
    without retrieved or generated text, so a record has the same ``doc_hash`` in every run.
    """
    scored = is_scored(samples)
    return [_sample(number, sample, scored) for number, sample in enumerate(samples)]


def _sample(number: int, sample: Mapping[str, Any], scored: bool) -> dict[str, Any]:
    texts = {name: sample[name] for name in ("question", "premise", "hypothesis") if name in sample}
    doc = {"id": sample["id"], **texts, "target": sample["target"]}
    prompt = sample.get("prompt") or "\n\n".join(texts.values())  # a sequence classifier has no prompt
    if scored:
        scores: Mapping[str, float] = sample["label_scores"]
        requests = [{"arg_0": prompt, "arg_1": label} for label in scores]
        filtered: list[Any] = [[str(_log(score)), "None"] for score in scores.values()]
        responses = [[one] for one in filtered]
    else:
        requests = [{"arg_0": prompt, "arg_1": GREEDY}]
        filtered = [sample["prediction"] or INVALID]
        responses = [[sample.get("output") or ""]]
    return {
        "doc_id": number,
        "doc": doc,
        "target": sample["target"],
        "arguments": {f"gen_args_{place}": request for place, request in enumerate(requests)},
        "resps": responses,
        "filtered_resps": filtered,
        "filter": "none",
        "metrics": ["acc"],
        "doc_hash": digest(json.dumps(doc, indent=2, ensure_ascii=False)),
        "prompt_hash": digest(prompt),
        "target_hash": digest(sample["target"]),
        "acc": float(sample["prediction"] == sample["target"]),
    }


def _log(score: float) -> float:
    return math.log(score) if score > 0 else -math.inf


def digest(text: str) -> str:
    """SHA-256 in hex, which the harness uses for documents, prompts, targets and tasks."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
