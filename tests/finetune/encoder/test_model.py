from pathlib import Path

import checkpoints
import pytest
import torch
from classifiers import make_classifier, make_electra, make_encoder, make_wordpiece
from transformers import AutoModelForSequenceClassification, AutoTokenizer, T5Config, T5Model

from common.errors import UserError
from finetune.config import EncoderConfig
from finetune.encoder.model import load_base

LABELS = ("entailment", "neutral", "contradiction")


def config(folder: Path, **settings: object) -> EncoderConfig:
    return EncoderConfig.model_validate({"model": str(folder), "max_length": 32, **settings})


def test_a_new_head_for_the_labels_on_the_encoders_own_weights(tmp_path: Path) -> None:
    folder = make_encoder(tmp_path)
    classifier = load_base(config(folder), ("yes", "no"))
    plain = load_base(config(folder), ("yes", "no")).model
    assert classifier.labels == ("yes", "no")
    assert classifier.model.config.id2label == {0: "yes", 1: "no"}
    assert classifier.model.config.label2id == {"yes": 0, "no": 1}
    assert classifier.model.classifier.weight.shape[0] == 2
    assert torch.equal(classifier.model.classifier.weight, plain.classifier.weight)
    other = load_base(config(folder, seed=2), ("yes", "no")).model
    assert not torch.equal(classifier.model.classifier.weight, other.classifier.weight)
    assert torch.equal(
        classifier.model.bert.embeddings.word_embeddings.weight, other.bert.embeddings.word_embeddings.weight
    )
    assert all(value.dtype == torch.float32 and value.requires_grad for value in classifier.model.parameters())


def test_a_classifier_of_other_labels_gets_a_new_head(tmp_path: Path) -> None:
    folder = make_classifier(tmp_path, ("yes", "no"))
    model = load_base(config(folder), LABELS).model
    assert model.classifier.weight.shape[0] == 3


def test_a_head_for_the_same_labels_in_another_order_is_not_kept(tmp_path: Path) -> None:
    for number, order in enumerate((LABELS, LABELS[::-1])):
        folder = make_classifier(tmp_path / str(number), order)
        saved = AutoModelForSequenceClassification.from_pretrained(folder)
        model = load_base(config(folder), LABELS).model
        assert torch.equal(model.classifier.weight, saved.classifier.weight) == (order == LABELS)
        assert torch.equal(model.bert.pooler.dense.weight, saved.bert.pooler.dense.weight)


def test_an_electra_discriminator(tmp_path: Path) -> None:
    classifier = load_base(config(make_electra(tmp_path), frozen_layers=1), LABELS)
    assert type(classifier.model).__name__ == "ElectraForSequenceClassification"
    assert not any(value.requires_grad for value in classifier.model.electra.encoder.layer[0].parameters())
    assert all(value.requires_grad for value in classifier.model.electra.encoder.layer[1].parameters())


def test_the_tokenizer_carries_length_and_side(tmp_path: Path) -> None:
    folder = make_encoder(tmp_path / "m")
    for kept, side in (("end", "left"), ("start", "right")):
        classifier = load_base(config(folder, keep_text=kept, max_length=20), LABELS)
        assert classifier.texts.window == 20
        classifier.tokenizer.save_pretrained(tmp_path / "t")
        again = AutoTokenizer.from_pretrained(tmp_path / "t")
        assert (again.model_max_length, again.truncation_side) == (20, side)


def test_the_first_layers_alone(tmp_path: Path) -> None:
    folder = make_encoder(tmp_path)
    whole = load_base(config(folder), LABELS).model
    short = load_base(config(folder, layers=1), LABELS).model
    assert (len(whole.bert.encoder.layer), len(short.bert.encoder.layer)) == (2, 1)
    assert short.config.num_hidden_layers == 1
    for one, other in zip(
        short.bert.encoder.layer[0].parameters(), whole.bert.encoder.layer[0].parameters(), strict=True
    ):
        assert torch.equal(one, other)
    frozen = load_base(config(folder, frozen_layers=1), LABELS).model.train()
    still = [*frozen.bert.embeddings.parameters(), *frozen.bert.encoder.layer[0].parameters()]
    assert not any(value.requires_grad for value in still)
    moving = [
        *frozen.bert.encoder.layer[1].parameters(),
        *frozen.bert.pooler.parameters(),
        *frozen.classifier.parameters(),
    ]
    assert all(value.requires_grad for value in moving)
    ids = torch.arange(5, 12)[None]
    states = [frozen.bert(ids, output_hidden_states=True).hidden_states for _ in range(2)]
    assert torch.equal(states[0][1], states[1][1])
    assert not torch.equal(states[0][2], states[1][2])


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"layers": 3}, r"train\.encoder\.layers is 3, and .* has 2 layers to use"),
        ({"frozen_layers": 3}, r"train\.encoder\.frozen_layers is 3, and .* has 2 layers to use"),
        ({"layers": 1, "frozen_layers": 2}, r"train\.encoder\.frozen_layers is 2, and .* has 1 layers to use"),
        ({"max_length": 65}, r"train\.encoder\.max_length is 65, and the window of .* is 64 tokens"),
    ],
)
def test_settings_that_do_not_suit_the_model(tmp_path: Path, settings: dict[str, int], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        load_base(config(make_encoder(tmp_path), **settings), LABELS)


def test_models_that_cannot_be_had(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such folder"):
        load_base(config(tmp_path / "absent"), LABELS)
    (tmp_path / "vision").mkdir()
    (tmp_path / "vision/config.json").write_text('{"model_type": "clip_vision_model"}')
    with pytest.raises(UserError, match=r"takes no classification head \(clip_vision_model\)"):
        load_base(config(tmp_path / "vision"), LABELS)


def test_a_head_that_reads_the_end_token_needs_one_in_the_texts(tmp_path: Path) -> None:
    tokenizer = make_wordpiece()
    sizes = {"vocab_size": len(tokenizer), "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    for end in (tokenizer.sep_token_id, len(tokenizer) - 1):
        model = T5Model(T5Config(**sizes, decoder_start_token_id=0, eos_token_id=end))
        model.save_pretrained(tmp_path / str(end))
        tokenizer.save_pretrained(tmp_path / str(end))
    assert load_base(config(tmp_path / str(tokenizer.sep_token_id)), LABELS).labels == LABELS
    with pytest.raises(UserError, match=r"cannot classify a pair of texts \(.*<eos>.*\).*train\.encoder\.model"):
        load_base(config(tmp_path / str(len(tokenizer) - 1)), LABELS)


def test_a_causal_model_takes_a_head_too(tmp_path: Path) -> None:
    classifier = load_base(config(checkpoints.make_llama2(tmp_path), max_length=64), LABELS)
    assert classifier.tokenizer.pad_token_id == classifier.model.config.pad_token_id is not None
    found = classifier.probabilities(classifier.texts.encode([("yes", "no"), ("It did reduce it", "maybe")]))
    assert all(sum(one.values()) == pytest.approx(1) for one in found)
