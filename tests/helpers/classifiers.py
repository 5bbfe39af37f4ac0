"""Tiny random encoders, with and without a classification head, saved to a folder."""

import re
import string
from collections.abc import Sequence
from pathlib import Path

import torch
from checkpoints import TEXT, save_checkpoint
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    ElectraConfig,
    ElectraForPreTraining,
    PreTrainedTokenizerFast,
)

LABELS = ("entailment", "neutral", "contradiction")


SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
_CHARACTERS = string.ascii_lowercase + string.digits
_WORDS = sorted({word for word in re.findall(r"\w+", " ".join(TEXT).lower()) if len(word) > 1})
# A fixed list, because ``WordPieceTrainer`` makes a different vocabulary in each run.
TOKENS = (*SPECIAL, *string.punctuation, *_CHARACTERS, *(f"##{character}" for character in _CHARACTERS), *_WORDS)


def make_wordpiece(window: int = 64, side: str = "right", tokens: Sequence[str] = TOKENS) -> PreTrainedTokenizerFast:
    """BERT's WordPiece tokenizer, which truncates to ``window`` tokens; ``tokens`` begin with ``SPECIAL``.

    The default tokens include the words of ``checkpoints.TEXT``.
    """
    vocabulary = {token: number for number, token in enumerate(tokens)}
    wordpiece = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    wordpiece.normalizer = normalizers.BertNormalizer()
    wordpiece.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    wordpiece.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=wordpiece,
        model_max_length=window,
        truncation_side=side,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def make_classifier(folder: Path, labels: Sequence[str] = LABELS, *, side: str = "right") -> Path:
    """A BERT classifier with random weights so large that different texts have different labels."""
    torch.manual_seed(7)
    tokenizer = make_wordpiece(side=side)
    model = BertForSequenceClassification(
        _bert_config(
            len(tokenizer), id2label=dict(enumerate(labels)), label2id={name: i for i, name in enumerate(labels)}
        )
    )
    torch.nn.init.normal_(model.classifier.weight, std=2.0)
    for layer in model.bert.encoder.layer:
        torch.nn.init.normal_(layer.attention.self.value.weight, std=0.5)
    return save_checkpoint(model, tokenizer, folder)


def make_encoder(folder: Path) -> Path:
    """A BERT without a classification head."""
    torch.manual_seed(8)
    tokenizer = make_wordpiece()
    return save_checkpoint(BertModel(_bert_config(len(tokenizer))), tokenizer, folder)


def make_electra(folder: Path) -> Path:
    """An ELECTRA discriminator, like google/electra-base-discriminator, for 256 tokens."""
    torch.manual_seed(9)
    tokenizer = make_wordpiece(256)
    config = ElectraConfig(vocab_size=len(tokenizer), embedding_size=16, max_position_embeddings=256, **_SIZES)
    return save_checkpoint(ElectraForPreTraining(config), tokenizer, folder)


def _bert_config(vocabulary: int, **labels: object) -> BertConfig:
    return BertConfig(vocab_size=vocabulary, max_position_embeddings=128, initializer_range=0.1, **_SIZES, **labels)
