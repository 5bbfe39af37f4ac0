"""Tiny random encoders with a classification head, made in a test's own folder."""

from collections.abc import Sequence
from pathlib import Path

import torch
from checkpoints import TEXT
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    ElectraConfig,
    ElectraForPreTraining,
    PreTrainedTokenizerFast,
)

LABELS = ("entailment", "neutral", "contradiction")


def make_wordpiece(window: int = 64, side: str = "right") -> PreTrainedTokenizerFast:
    """BERT's kind of tokenizer, trained on ``checkpoints.TEXT``."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    pieces = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    pieces.normalizer = normalizers.BertNormalizer()
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pieces.train_from_iterator(
        TEXT, trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    )
    pieces.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=pieces,
        model_max_length=window,
        truncation_side=side,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def make_classifier(folder: Path, labels: Sequence[str] = LABELS, *, window: int = 64, side: str = "right") -> Path:
    """A BERT classifier whose random weights are large enough to give different texts different labels."""
    torch.manual_seed(7)
    tokenizer = make_wordpiece(window, side)
    model = BertForSequenceClassification(
        _bert(len(tokenizer), id2label=dict(enumerate(labels)), label2id={name: i for i, name in enumerate(labels)})
    )
    torch.nn.init.normal_(model.classifier.weight, std=2.0)
    for layer in model.bert.encoder.layer:
        torch.nn.init.normal_(layer.attention.self.value.weight, std=0.5)
    return _save(model, tokenizer, folder)


def make_encoder(folder: Path) -> Path:
    """A BERT without any head."""
    torch.manual_seed(8)
    tokenizer = make_wordpiece()
    return _save(BertModel(_bert(len(tokenizer))), tokenizer, folder)


def make_electra(folder: Path) -> Path:
    """An ELECTRA discriminator, as google/electra-base-discriminator is one; it reads 256 tokens."""
    torch.manual_seed(9)
    tokenizer = make_wordpiece(256)
    config = ElectraConfig(
        vocab_size=len(tokenizer),
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=256,
    )
    return _save(ElectraForPreTraining(config), tokenizer, folder)


def _bert(vocabulary: int, **labels: object) -> BertConfig:
    return BertConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        initializer_range=0.1,
        **labels,
    )


def _save(model: torch.nn.Module, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
