"""The training recipe of medground-tiny, on a few steps of a small model."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from corpus.errors import UserError
from finetune.tiny import train
from finetune.tiny.batches import Ease, _row, collate, steps
from finetune.tiny.readings import Reading, Readings
from finetune.tiny.tokenizer import train_tokenizer
from finetune.tiny.train import TinyRecipe, build_model, loss_of, train_tiny

SMALL = TinyRecipe(
    steps=6,
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
    answers = tokenizer.decode(batch.ids[0][batch.answers[0] > 0])
    assert answers == "noyesCCCC"
    long = len(tokenizer.encode("CCCC", add_special_tokens=False))
    assert float(batch.answers.sum()) == pytest.approx(2 + long**0.5)


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
    stream = steps(Readings(5), tokenizer, 2048, 700, Ease())
    for _ in range(20):
        parts = next(stream)
        assert 2048 <= sum(int(part.predicted.sum()) + len(part.ids) for part in parts) < 2048 + 700
        for part in parts:
            assert part.ids.shape[0] == 1 or part.ids.numel() <= 2048 // 4
            assert part.ids.shape[1] <= 700


def test_training_learns_and_leaves_a_model_that_loads(tmp_path: Path) -> None:
    recipe = replace(SMALL, steps=100, learning_rate=8e-3, embedding_rate_share=1.0, easy_steps=1000, warmup_steps=5)
    losses: list[float] = []
    original = train.loss_of

    def recorded(model, batch, tokens, answers):
        loss, nats = original(model, batch, tokens, answers)
        losses.append(loss.item())
        return loss, nats

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "loss_of", recorded)
        train_tiny(tmp_path / "m", recipe, quiet=True)
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "m", dtype="auto")
    assert model.dtype == torch.bfloat16
    AutoTokenizer.from_pretrained(tmp_path / "m")
    summary = json.loads((tmp_path / "m/training.json").read_text())
    assert summary["recipe"]["steps"] == 100
    assert summary["tokens"] > 0


def test_a_stopped_run_ends_as_the_unbroken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_tiny(tmp_path / "whole", SMALL, save_every=2, quiet=True)
    calls = 0
    original = train.loss_of

    def stopping(*arguments):
        nonlocal calls
        calls += 1
        if calls == 12:  # some parts into the third or fourth step
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(train, "loss_of", stopping)
    with pytest.raises(KeyboardInterrupt):
        train_tiny(tmp_path / "broken", SMALL, save_every=2, quiet=True)
    monkeypatch.setattr(train, "loss_of", original)
    train_tiny(tmp_path / "broken", SMALL, save_every=2, quiet=True)
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "whole").state_dict()
    broken = AutoModelForCausalLM.from_pretrained(tmp_path / "broken").state_dict()
    assert all(torch.equal(value, broken[name]) for name, value in whole.items())


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
