"""tools/tiny: tokenizer, batches and training of medground-tiny, with a few steps of a small model.

A reading is a training text with several questions about it.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from common.errors import UserError
from tools.tiny import train
from tools.tiny.batches import BATCHES_PER_STEP, Curriculum, collate, draw_steps, make_row
from tools.tiny.mixtures import Stage
from tools.tiny.readings import Readings
from tools.tiny.tokenizer import train_tokenizer
from tools.tiny.train import Part, TinyRecipe, build_model, compute_loss, train_tiny
from tools.tiny.wording import Reading

SMALL = TinyRecipe(
    parts=(Part("first", 3, 3e-3, 0.6), Part("second", 2, 1e-3, 0.7, planned=4), Part("third", 2, 1e-3, 0.7)),
    tokens_per_step=512,
    warmup_steps=2,
    easy_steps=3,
    tokenizer_readings=60,
    vocabulary=420,
    width=32,
    layers=2,
    heads=2,
    feed_forward=64,
)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(SMALL.seed, 1024, reading_count=300, window=1024)


def test_labels_are_single_tokens_and_decoding_restores_text(tokenizer: PreTrainedTokenizerFast) -> None:
    for label in ("yes", "no", "maybe"):
        assert len(tokenizer.encode(label, add_special_tokens=False)) == 1
    for text in ("Does p = 0.05 hold?", "naïve β-blocker 日本語 \U0001f600", "  two  spaces\n\tand a tab"):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_the_chat_template_has_the_format_of_the_readings(tokenizer: PreTrainedTokenizerFast) -> None:
    messages = [{"role": "user", "content": "Is it?"}, {"role": "assistant", "content": "yes"}]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    assert text == "<|begin|><|user|>Is it?<|end|><|assistant|>yes<|end|>"
    prompt = tokenizer.apply_chat_template(messages[:1], tokenize=False, add_generation_prompt=True)
    assert prompt == "<|begin|><|user|>Is it?<|end|><|assistant|>"


def test_the_loss_of_a_row_is_the_sum_of_the_losses_of_its_branches_alone(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    model = build_model(replace(SMALL, vocabulary=1024), tokenizer).eval()
    stream = Readings(3)
    readings = [reading for reading in (stream.draw() for _ in range(12)) if len(reading.branches) > 2]
    assert readings

    def answer_loss(reading: Reading) -> float:
        return compute_loss(model, collate([make_row(reading, tokenizer)], tokenizer), 1, 1)[1]

    for reading in readings:
        separate = [answer_loss(Reading(text)) for text in reading.texts()]
        assert answer_loss(reading) == pytest.approx(sum(separate), rel=1e-4)


def test_the_weights_of_an_answer_sum_to_the_root_of_its_length(tokenizer: PreTrainedTokenizerFast) -> None:
    reading = Reading("<|begin|><|user|>A?<|end|><|assistant|>no<|end|><|user|>", (("B?", "yes"), ("C?", "C" * 4)))
    batch = collate([make_row(reading, tokenizer)], tokenizer)
    answers = tokenizer.decode(batch.ids[0][batch.answer_weights[0] > 0])
    assert answers == "noyesCCCC"
    length = len(tokenizer.encode("CCCC", add_special_tokens=False))
    assert float(batch.answer_weights.sum()) == pytest.approx(1 + 1 + length**0.5)


def test_padding_does_not_change_the_hidden_states(tokenizer: PreTrainedTokenizerFast) -> None:
    model = build_model(replace(SMALL, vocabulary=1024), tokenizer).eval()
    stream = Readings(4)
    short, long = sorted((make_row(stream.draw(), tokenizer) for _ in range(2)), key=lambda row: len(row.ids))
    with torch.inference_mode():
        unpadded, padded = (
            model.model(input_ids=batch.ids, attention_mask=batch.mask, position_ids=batch.positions).last_hidden_state
            for batch in (collate([short], tokenizer), collate([short, long], tokenizer))
        )
    assert torch.allclose(unpadded[0], padded[0, : len(short.ids)], atol=1e-5)


def test_steps_have_the_requested_number_of_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    stream = draw_steps(Readings(5), tokenizer, 2048, 700, Curriculum())
    for _ in range(20):
        batches = next(stream)
        # len(batch.ids) adds the first token of each row, which is no target
        assert 2048 <= sum(int(batch.is_target.sum()) + len(batch.ids) for batch in batches) < 2048 + 700
        for batch in batches:
            assert batch.ids.shape[0] == 1 or batch.ids.numel() <= 2048 // BATCHES_PER_STEP
            assert batch.ids.shape[1] <= 700


def test_training_lowers_the_loss_and_saves_model_and_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = replace(
        SMALL, parts=(Part("first", 55, 8e-3, 0.6),), embedding_rate_share=1.0, easy_steps=1000, warmup_steps=5
    )
    losses: list[float] = []

    def record_loss(*arguments):
        result = compute_loss(*arguments)
        losses.append(result[0].item())
        return result

    monkeypatch.setattr(train, "compute_loss", record_loss)
    train_tiny(tmp_path, recipe, quiet=True)
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])
    assert AutoModelForCausalLM.from_pretrained(tmp_path, dtype="auto").dtype == torch.bfloat16
    AutoTokenizer.from_pretrained(tmp_path)
    summary = json.loads((tmp_path / "training.json").read_text())
    assert summary["recipe"]["parts"][0]["steps"] == 55
    assert summary["tokens"] > 0


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    train_tiny(folder, SMALL, save_every=2, quiet=True)
    return folder


# The step at which the run stops. SMALL has parts of 3, 2 and 2 steps, so 4 and 5 are the second part.
@pytest.mark.parametrize("stop", [2, 4, 5, 7])
def test_a_resumed_run_has_the_weights_of_an_uninterrupted_run(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    steps_taken = 0
    original = torch.nn.utils.clip_grad_norm_

    def clip_or_stop(*arguments):
        nonlocal steps_taken
        steps_taken += 1
        if steps_taken == stop:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", clip_or_stop)
    with pytest.raises(KeyboardInterrupt):
        train_tiny(tmp_path, SMALL, save_every=2, quiet=True)
    monkeypatch.undo()
    train_tiny(tmp_path, SMALL, save_every=2, quiet=True)
    expected = AutoModelForCausalLM.from_pretrained(uninterrupted).state_dict()
    resumed = AutoModelForCausalLM.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(weights, resumed[name]) for name, weights in expected.items())


def test_a_part_begins_with_the_stored_weights_of_the_previous_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_weights: list[dict[str, torch.Tensor]] = []  # the weights at the first step of each part
    stages: list[str] = []

    def record_weights(model, *arguments):
        if len(first_weights) < len(stages):
            first_weights.append({name: weights.clone() for name, weights in model.state_dict().items()})
        return compute_loss(model, *arguments)

    def record_stage(seed: int, stage: Stage) -> Readings:
        stages.append(stage)
        return Readings(seed, stage)

    monkeypatch.setattr(train, "compute_loss", record_weights)
    monkeypatch.setattr(train, "Readings", record_stage)
    train_tiny(tmp_path, SMALL, save_every=100, quiet=True)
    assert stages == ["first", "second", "third"]
    for step, weights_at_start in ((3, first_weights[1]), (5, first_weights[2])):
        stored = AutoModelForCausalLM.from_pretrained(tmp_path / f"checkpoint-{step}", dtype=torch.float32)
        assert all(torch.equal(weights, weights_at_start[name]) for name, weights in stored.state_dict().items())


def test_learning_rates_warm_up_and_decay_in_every_part() -> None:
    recipe = TinyRecipe(parts=(Part("first", 1000, 3e-3, 0.6), Part("second", 300, 1e-3, 0.5, planned=600)))
    rates = [recipe.rate(step) for step in range(recipe.steps)]
    assert max(rates[:1000]) == 3e-3
    assert max(rates[0], rates[999], rates[1000]) < 1e-4
    assert rates[1299] == 1e-3  # the part ends before the decay begins
    longer = TinyRecipe(parts=(Part("first", 1000, 3e-3, 0.6), Part("second", 450, 1e-3, 0.5, planned=600)))
    assert longer.rate(1449) == pytest.approx(1e-3 * 151 / 300)  # 151 of the 300 steps of planned decay are left
    with pytest.raises(ValueError, match="1300"):
        recipe.rate(1300)


def test_a_run_of_another_recipe_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        train_tiny(tmp_path, SMALL, save_every=1, quiet=True)
    with pytest.raises(UserError, match="another recipe"):
        train_tiny(tmp_path, replace(SMALL, seed=2), quiet=True)


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(UserError, match="--output"):
        train_tiny(path, SMALL, quiet=True)
