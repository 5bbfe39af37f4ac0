"""The shipped model medground-tiny: size, window and accuracy."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from chains.config import LLMConfig
from chains.models.local import EMBEDDED, load_llm
from chains.prompts import qa_prompt
from corpus.pubmedqa import read_records
from corpus.sample import sample_path


def test_model_is_small_and_has_its_card_and_trained_window() -> None:
    assert (EMBEDDED / "model.safetensors").stat().st_size < 16_000_000
    card = (EMBEDDED / "README.md").read_text()
    for statement in ("make tiny", "not real medicine", "license: mit"):
        assert statement in card
    training = json.loads((EMBEDDED / "training.json").read_text())
    model = load_llm(LLMConfig()).model
    assert sum(value.numel() for value in model.parameters()) <= 8_000_000
    assert model.config.model_type == "llama"
    assert training["recipe"]["window"] == model.config.max_position_embeddings


def test_stored_recipe_is_the_training_recipe_of_the_repository() -> None:
    from dataclasses import asdict

    from tools.tiny.train import TinyRecipe

    stored = json.loads((EMBEDDED / "training.json").read_text())["recipe"]
    assert stored == json.loads(json.dumps(asdict(TinyRecipe())))


def test_longest_prompt_takes_at_most_a_third_of_the_window() -> None:
    llm = load_llm(LLMConfig())
    lengths = []
    for name in ("ori_pqal", "newnames", "newphrases"):
        for record in read_records(sample_path(name)):
            messages = qa_prompt("generic", record.question, record.context)
            prompt = llm.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            lengths.append(len(llm.tokenizer.encode(str(prompt), add_special_tokens=False)))
    assert 3 * max(lengths) <= llm.window


@pytest.mark.parametrize("label", ["yes", "no", "maybe"])
def test_each_label_is_one_token(label: str) -> None:
    assert len(load_llm(LLMConfig()).tokenizer.encode(label, add_special_tokens=False)) == 1


@pytest.mark.slow
def test_accuracy_reaches_the_figures_of_the_model_card(command: Callable[..., Any]) -> None:
    outcome = command("eval", "qa", "--json", "--quiet")
    assert outcome.status == 0, outcome.err
    results = json.loads(outcome.out)["results"]
    accuracy = {task: figures.get("accuracy", figures.get("share_maybe")) for task, figures in results.items()}
    assert accuracy["qa_gold"] >= 0.93
    assert accuracy["qa_retrieved_dense"] >= accuracy["qa_gold"] - 0.05
    assert accuracy["qa_none"] <= 0.65
    assert accuracy["qa_gold_newnames"] >= 0.94
    assert accuracy["qa_gold_newphrases"] >= 0.8
    assert accuracy["qa_wrong"] >= 0.95  # the share of "maybe" if the abstract is about another subject
