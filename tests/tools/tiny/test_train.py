"""The training recipe of medground-tiny, on a few steps of a small model."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from common.errors import UserError
from tools.tiny import train
from tools.tiny.batches import BATCHES_PER_STEP, Curriculum, _row, collate, steps
from tools.tiny.mixtures import Stage
from tools.tiny.readings import Readings
from tools.tiny.tokenizer import train_tokenizer
from tools.tiny.train import Part, TinyRecipe, build_model, loss_of, train_tiny
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
    return train_tokenizer(SMALL.seed, 1024, readings=300, window=1024)


def test_labels_are_single_tokens_and_text_survives_the_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    for label in ("yes", "no", "maybe"):
        assert len(tokenizer.encode(label, add_special_tokens=False)) == 1
    for text in ("Does p = 0.05 hold?", "naïve β-blocker 日本語 \U0001f600", "  two  spaces\n\tand a tab"):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_the_template_writes_what_the_readings_write(tokenizer: PreTrainedTokenizerFast) -> None:
    messages = [{"role": "user", "content": "Is it?"}, {"role": "assistant", "content": "yes"}]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    assert text == "<|begin|><|user|>Is it?<|end|><|assistant|>yes<|end|>"
    asked = tokenizer.apply_chat_template(messages[:1], tokenize=False, add_generation_prompt=True)
    assert asked == "<|begin|><|user|>Is it?<|end|><|assistant|>"


def test_branches_cost_what_they_cost_alone(tokenizer: PreTrainedTokenizerFast) -> None:
    """The loss of a stem with its branches packed is that of each branch in a sequence of its own."""
    model = build_model(replace(SMALL, vocabulary=1024), tokenizer).eval()
    stream = Readings(3)
    packed = [reading for reading in (stream.draw() for _ in range(12)) if len(reading.branches) > 2]
    assert packed
    for reading in packed:
        together = loss_of(model, collate([_row(reading, tokenizer)], tokenizer), 1, 1)[1]
        alone = (collate([_row(Reading(text), tokenizer)], tokenizer) for text in reading.turns())
        assert together == pytest.approx(sum(loss_of(model, batch, 1, 1)[1] for batch in alone), rel=1e-4)


def test_an_answer_weighs_by_the_root_of_its_length(tokenizer: PreTrainedTokenizerFast) -> None:
    reading = Reading("<|begin|><|user|>A?<|end|><|assistant|>no<|end|><|user|>", (("B?", "yes"), ("C?", "C" * 4)))
    batch = collate([_row(reading, tokenizer)], tokenizer)
    answers = tokenizer.decode(batch.ids[0][batch.answer_weights[0] > 0])
    assert answers == "noyesCCCC"
    long = len(tokenizer.encode("CCCC", add_special_tokens=False))
    assert float(batch.answer_weights.sum()) == pytest.approx(2 + long**0.5)


def test_padding_changes_nothing(tokenizer: PreTrainedTokenizerFast) -> None:
    model = build_model(replace(SMALL, vocabulary=1024), tokenizer).eval()
    stream = Readings(4)
    rows = sorted((_row(stream.draw(), tokenizer) for _ in range(2)), key=lambda row: len(row.ids))
    alone, padded = collate(rows[:1], tokenizer), collate(rows, tokenizer)
    n = len(rows[0].ids)
    with torch.inference_mode():
        one = model.model(input_ids=alone.ids, attention_mask=alone.mask, position_ids=alone.positions)
        two = model.model(input_ids=padded.ids, attention_mask=padded.mask, position_ids=padded.positions)
    assert torch.allclose(one.last_hidden_state[0], two.last_hidden_state[0, :n], atol=1e-5)


def test_steps_keep_to_their_size(tokenizer: PreTrainedTokenizerFast) -> None:
    stream = steps(Readings(5), tokenizer, 2048, 700, Curriculum())
    for _ in range(20):
        batches = next(stream)
        assert 2048 <= sum(int(batch.is_target.sum()) + len(batch.ids) for batch in batches) < 2048 + 700
        for batch in batches:
            assert batch.ids.shape[0] == 1 or batch.ids.numel() <= 2048 // BATCHES_PER_STEP
            assert batch.ids.shape[1] <= 700


def test_training_learns_and_leaves_a_model_that_loads(tmp_path: Path) -> None:
    parts = (Part("first", 55, 8e-3, 0.6),)
    recipe = replace(SMALL, parts=parts, embedding_rate_share=1.0, easy_steps=1000, warmup_steps=5)
    losses: list[float] = []
    original = train.loss_of

    def recorded(model, batch, tokens, answers):
        loss, nats = original(model, batch, tokens, answers)
        losses.append(loss.item())
        return loss, nats

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "loss_of", recorded)
        train_tiny(tmp_path / "m", recipe, quiet=True)
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "m", dtype="auto")
    assert model.dtype == torch.bfloat16
    AutoTokenizer.from_pretrained(tmp_path / "m")
    summary = json.loads((tmp_path / "m/training.json").read_text())
    assert summary["recipe"]["parts"][0]["steps"] == 55
    assert summary["tokens"] > 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of an unbroken run."""
    folder = tmp_path_factory.mktemp("whole")
    train_tiny(folder, SMALL, save_every=2, quiet=True)
    return folder


@pytest.mark.parametrize("stop", [2, 4, 5, 7])  # steps: the second, the first of each later part, the last
def test_a_stopped_run_ends_as_the_unbroken_one(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    taken = 0
    original = torch.nn.utils.clip_grad_norm_

    def stopping(*arguments):
        nonlocal taken
        taken += 1
        if taken == stop:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", stopping)
    with pytest.raises(KeyboardInterrupt):
        train_tiny(tmp_path / "broken", SMALL, save_every=2, quiet=True)
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", original)
    train_tiny(tmp_path / "broken", SMALL, save_every=2, quiet=True)
    expected = AutoModelForCausalLM.from_pretrained(whole).state_dict()
    broken = AutoModelForCausalLM.from_pretrained(tmp_path / "broken").state_dict()
    assert all(torch.equal(value, broken[name]) for name, value in expected.items())


def test_a_part_begins_with_the_one_before_it_as_it_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, torch.Tensor]] = []
    stages: list[str] = []
    original = train.loss_of

    def recorded(model, *arguments):
        if len(seen) < len(stages):
            seen.append({name: value.detach().clone() for name, value in model.state_dict().items()})
        return original(model, *arguments)

    def readings(seed: int, stage: Stage) -> Readings:
        stages.append(stage)
        return Readings(seed, stage)

    monkeypatch.setattr(train, "loss_of", recorded)
    monkeypatch.setattr(train, "Readings", readings)
    train_tiny(tmp_path / "m", SMALL, save_every=100, quiet=True)
    assert stages == ["first", "second", "third"]
    for step, begun in ((3, seen[1]), (5, seen[2])):
        stored = AutoModelForCausalLM.from_pretrained(tmp_path / f"m/checkpoint-{step}", dtype=torch.float32)
        assert all(torch.equal(value, begun[name]) for name, value in stored.state_dict().items())


def test_rates_warm_up_and_fall_in_every_part() -> None:
    recipe = TinyRecipe(parts=(Part("first", 1000, 3e-3, 0.6), Part("second", 300, 1e-3, 0.5, planned=600)))
    rates = [recipe.rate(step) for step in range(recipe.steps)]
    assert max(rates[:1000]) == 3e-3
    assert rates[0] < 1e-4 > rates[999]
    assert rates[1000] < 1e-4
    assert rates[1299] == 1e-3  # it ends before its rate was to fall
    longer = TinyRecipe(parts=(Part("first", 1000, 3e-3, 0.6), Part("second", 450, 1e-3, 0.5, planned=600)))
    assert longer.rate(1449) == pytest.approx(1e-3 * 151 / 300)
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
