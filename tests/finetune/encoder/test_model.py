from pathlib import Path

import checkpoints
import pytest
import torch
from classifiers import make_classifier, make_electra, make_encoder, make_wordpiece
from transformers import AutoModelForSequenceClassification, AutoTokenizer, T5Config, T5Model, XLNetConfig, XLNetModel

from common.errors import UserError
from finetune.config import EncoderConfig
from finetune.encoder.model import load_base

LABELS = ("entailment", "neutral", "contradiction")


def config(folder: Path, **settings: object) -> EncoderConfig:
    return EncoderConfig.model_validate({"model": str(folder), "max_length": 32, **settings})


def test_the_seed_determines_the_new_head_on_the_pretrained_encoder(tmp_path: Path) -> None:
    folder = make_encoder(tmp_path)
    classifier = load_base(config(folder), ("yes", "no"))
    model = classifier.model
    assert classifier.labels == ("yes", "no")
    assert model.config.id2label == {0: "yes", 1: "no"}
    assert model.config.label2id == {"yes": 0, "no": 1}
    assert model.classifier.weight.shape[0] == 2
    same_seed, other_seed = (load_base(config(folder, seed=seed), ("yes", "no")).model for seed in (1, 2))
    assert torch.equal(model.classifier.weight, same_seed.classifier.weight)
    assert not torch.equal(model.classifier.weight, other_seed.classifier.weight)
    assert torch.equal(model.bert.embeddings.word_embeddings.weight, other_seed.bert.embeddings.word_embeddings.weight)
    assert all(weights.dtype == torch.float32 and weights.requires_grad for weights in model.parameters())


@pytest.mark.parametrize(
    ("stored_labels", "same_head"), [(LABELS, True), (LABELS[::-1], False), (("yes", "no"), False)]
)
def test_only_a_head_with_the_labels_in_the_same_order_is_loaded(
    tmp_path: Path, stored_labels: tuple[str, ...], same_head: bool
) -> None:
    folder = make_classifier(tmp_path, stored_labels)
    stored = AutoModelForSequenceClassification.from_pretrained(folder)
    model = load_base(config(folder), LABELS).model
    assert model.classifier.weight.shape[0] == 3
    assert torch.equal(model.classifier.weight, stored.classifier.weight) == same_head
    assert torch.equal(model.bert.pooler.dense.weight, stored.bert.pooler.dense.weight)


def test_layers_of_an_electra_discriminator_are_frozen(tmp_path: Path) -> None:
    classifier = load_base(config(make_electra(tmp_path), frozen_layers=1), LABELS)
    assert type(classifier.model).__name__ == "ElectraForSequenceClassification"
    first, second = classifier.model.electra.encoder.layer
    assert not any(weights.requires_grad for weights in first.parameters())
    assert all(weights.requires_grad for weights in second.parameters())


@pytest.mark.parametrize(("keep_text", "side"), [("end", "left"), ("start", "right")])
def test_the_saved_tokenizer_has_max_length_and_truncation_side(tmp_path: Path, keep_text: str, side: str) -> None:
    classifier = load_base(config(make_encoder(tmp_path / "base"), keep_text=keep_text, max_length=20), LABELS)
    assert classifier.texts.window == 20
    classifier.tokenizer.save_pretrained(tmp_path / "saved")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert (tokenizer.model_max_length, tokenizer.truncation_side) == (20, side)


def test_a_trained_encoder_can_be_trained_further_with_a_larger_max_length(tmp_path: Path) -> None:
    trained = load_base(config(make_encoder(tmp_path / "base"), max_length=20), LABELS)
    trained.model.save_pretrained(tmp_path / "trained")
    trained.tokenizer.save_pretrained(tmp_path / "trained")
    assert load_base(config(tmp_path / "trained", max_length=128), LABELS).texts.window == 128


def test_max_length_has_no_limit_for_relative_positions(tmp_path: Path) -> None:
    tokenizer = make_wordpiece(64)
    sizes = {"vocab_size": len(tokenizer), "d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 16}
    XLNetModel(XLNetConfig(**sizes)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert load_base(config(tmp_path, max_length=128), LABELS).texts.window == 128


def test_layers_limits_the_encoder_to_its_first_layers(tmp_path: Path) -> None:
    folder = make_encoder(tmp_path)
    all_layers = load_base(config(folder), LABELS).model
    first_layer = load_base(config(folder, layers=1), LABELS).model
    assert (len(all_layers.bert.encoder.layer), len(first_layer.bert.encoder.layer)) == (2, 1)
    assert first_layer.config.num_hidden_layers == 1
    stored, loaded = all_layers.bert.encoder.layer[0].state_dict(), first_layer.bert.encoder.layer[0].state_dict()
    assert all(torch.equal(weights, stored[name]) for name, weights in loaded.items())


def test_frozen_layers_freezes_embeddings_and_first_layers_with_their_dropout(tmp_path: Path) -> None:
    model = load_base(config(make_encoder(tmp_path), frozen_layers=1), LABELS).model.train()
    first, second = model.bert.encoder.layer
    for frozen in (model.bert.embeddings, first):
        assert not any(weights.requires_grad for weights in frozen.parameters())
    for trained in (second, model.bert.pooler, model.classifier):
        assert all(weights.requires_grad for weights in trained.parameters())
    ids = torch.arange(5, 12)[None]
    one_pass, another_pass = (model.bert(ids, output_hidden_states=True).hidden_states for _ in range(2))
    assert torch.equal(one_pass[1], another_pass[1])  # the output of the first layer, which has no dropout
    assert not torch.equal(one_pass[2], another_pass[2])  # the output of the second layer


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"layers": 3}, r"train\.encoder\.layers is 3, and .* has 2 layers to use"),
        ({"frozen_layers": 3}, r"train\.encoder\.frozen_layers is 3, and .* has 2 layers to use"),
        ({"layers": 1, "frozen_layers": 2}, r"train\.encoder\.frozen_layers is 2, and .* has 1 layers to use"),
        ({"max_length": 129}, r"train\.encoder\.max_length is 129, and .* has positions for 128 tokens"),
    ],
    ids=["layers", "frozen_layers", "frozen_layers above layers", "max_length"],
)
def test_settings_beyond_the_model_size_are_refused(tmp_path: Path, settings: dict[str, int], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        load_base(config(make_encoder(tmp_path), **settings), LABELS)


def test_missing_models_and_models_without_a_head_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such folder"):
        load_base(config(tmp_path / "absent"), LABELS)
    (tmp_path / "vision").mkdir()
    (tmp_path / "vision/config.json").write_text('{"model_type": "clip_vision_model"}')
    with pytest.raises(UserError, match=r"takes no classification head \(clip_vision_model\)"):
        load_base(config(tmp_path / "vision"), LABELS)


def test_t5_is_refused_unless_the_tokenizer_adds_its_end_token(tmp_path: Path) -> None:
    tokenizer = make_wordpiece()
    sizes = {"vocab_size": len(tokenizer), "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    for name, eos_token_id in (("added", tokenizer.sep_token_id), ("absent", len(tokenizer) - 1)):
        model = T5Model(T5Config(**sizes, decoder_start_token_id=0, eos_token_id=eos_token_id))
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    assert load_base(config(tmp_path / "added"), LABELS).labels == LABELS
    with pytest.raises(UserError, match=r"cannot classify a pair of texts \(.*<eos>.*\).*train\.encoder\.model"):
        load_base(config(tmp_path / "absent"), LABELS)


def test_a_causal_model_gets_a_head_and_a_padding_token(tmp_path: Path) -> None:
    classifier = load_base(config(checkpoints.make_llama2(tmp_path), max_length=64), LABELS)
    assert classifier.tokenizer.pad_token_id == classifier.model.config.pad_token_id is not None
    encoded = classifier.texts.encode([("yes", "no"), ("It did reduce it", "maybe")])
    assert all(sum(scores.values()) == pytest.approx(1) for scores in classifier.probabilities(encoded))
