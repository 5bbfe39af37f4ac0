import hashlib
import json
import math

import pytest
from written_runs import nli_task, qa_task

from eval.export.harness import harness_samples

HARNESS_FIELDS = {
    "doc_id",
    "doc",
    "target",
    "arguments",
    "resps",
    "filtered_resps",
    "filter",
    "metrics",
    "doc_hash",
    "prompt_hash",
    "target_hash",
    "acc",
}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_scored_labels_become_choices_with_log_probabilities() -> None:
    first, second = harness_samples(qa_task("qa_gold", ["no", "yes"], ["yes", "yes"]).samples)
    assert set(first) == HARNESS_FIELDS
    assert (first["doc_id"], second["doc_id"]) == (0, 1)
    prompt = "Text 0. Does drug 0 help?"
    assert first["arguments"] == {
        f"gen_args_{index}": {"arg_0": prompt, "arg_1": label} for index, label in enumerate(("yes", "no", "maybe"))
    }
    expected = [[str(math.log(0.1)), "None"], [str(math.log(0.8)), "None"], [str(math.log(0.1)), "None"]]
    assert first["filtered_resps"] == expected
    assert first["resps"] == [[response] for response in expected]
    assert (first["target"], first["acc"], second["acc"]) == ("yes", 0.0, 1.0)
    assert (first["metrics"], first["filter"]) == (["acc"], "none")


def test_hashes_are_computed_as_in_the_harness() -> None:
    sample = harness_samples(qa_task("qa_gold", ["no"], ["yes"]).samples)[0]
    doc = {"id": "100", "question": "Does drug 0 help?\u2028", "target": "yes"}
    assert sample["doc"] == doc
    assert sample["doc_hash"] == _sha256(json.dumps(doc, indent=2, ensure_ascii=False))
    assert sample["prompt_hash"] == _sha256("Text 0. Does drug 0 help?")
    assert sample["target_hash"] == _sha256("yes")


def test_generated_answers_have_their_text_and_their_parsed_label() -> None:
    samples = qa_task("qa_gold", ["no", None], ["yes", "yes"], generated=True).samples
    parsed, unparsed = harness_samples(samples)
    assert parsed["arguments"] == {
        "gen_args_0": {"arg_0": "Text 0. Does drug 0 help?", "arg_1": {"do_sample": False}},
    }
    assert (parsed["resps"], parsed["filtered_resps"]) == ([["No"]], ["no"])
    assert (unparsed["resps"], unparsed["filtered_resps"], unparsed["acc"]) == ([["Hm"]], ["[invalid]"], 0.0)


def test_answers_with_a_missing_score_are_exported_as_generated() -> None:
    samples = [dict(sample) for sample in qa_task("qa_gold", ["no", "yes"], ["yes", "yes"]).samples]
    samples[0]["label_scores"] = {"yes": None, "no": None, "maybe": None}
    assert [sample["filtered_resps"] for sample in harness_samples(samples)] == [["no"], ["yes"]]


def test_a_pair_without_a_prompt_is_exported_with_premise_and_hypothesis_as_prompt() -> None:
    sample = harness_samples(nli_task(["neutral"], ["neutral"], confidence=1.0).samples)[0]
    premise, hypothesis = "Pain fell by 0.", "Pain changed by 0."
    assert sample["doc"] == {"id": "pair0", "premise": premise, "hypothesis": hypothesis, "target": "neutral"}
    assert sample["arguments"]["gen_args_0"] == {"arg_0": f"{premise}\n\n{hypothesis}", "arg_1": "entailment"}
    assert sample["filtered_resps"] == [["-inf", "None"], ["0.0", "None"], ["-inf", "None"]]
    assert [float(value) for value, _ in sample["filtered_resps"]] == pytest.approx([-math.inf, 0, -math.inf])
