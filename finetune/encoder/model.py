"""The base model of an encoder run: a pretrained encoder with a new classification head."""

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from chains.encoder.pair_texts import PairTexts
from chains.encoder.sequence import SequenceClassifier, label_name, position_count, set_padding
from chains.models.local import find_device
from common.errors import UserError
from common.hub import SAFE_LOADING, check_tokenizer, hub_errors
from common.logs import no_bars, no_loading_report
from finetune.config import EncoderConfig
from retrievers.embedders.packaged import packaged_minilm

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_MODEL_ADVICE = "Set train.encoder.model to an encoder such as google/electra-base-discriminator."
_EVALUATION_TOKENS = 4096  # tokens of a batch in evaluation


def load_base(config: EncoderConfig, labels: tuple[str, ...]) -> SequenceClassifier:
    """Load the encoder in float32 with a new head for ``labels``, on this machine's accelerator if it has one.

    The head's weights are random, with seed ``config.seed``. If the checkpoint already has a head for the same labels
    in the same order, that head is kept. The tokenizer's ``model_max_length`` and ``truncation_side`` are set according
    to ``config.max_length`` and ``config.keep_text``, so that the saved model encodes texts as in training.

    Raises:
        UserError: the model cannot be loaded, cannot classify pairs, or has fewer layers or positions than the
            settings need.
    """
    source = str(packaged_minilm()) if config.model == "embedded" else config.model
    auto: Any = AutoModelForSequenceClassification
    with hub_errors("Model", source), no_bars(), no_loading_report():
        architecture = AutoConfig.from_pretrained(source, trust_remote_code=False)
        stored_labels = [label_name(label) for _, label in sorted(architecture.id2label.items())]
        architecture.id2label = dict(enumerate(labels))
        architecture.label2id = {label: number for number, label in enumerate(labels)}
        _set_layers(architecture, config)
        torch.manual_seed(config.seed)
        try:
            model = auto.from_pretrained(
                source, config=architecture, dtype=torch.float32, ignore_mismatched_sizes=True, **SAFE_LOADING
            )
        except ValueError as error:
            if "Unrecognized configuration class" not in str(error):
                raise
            raise UserError(
                f"Model {config.model} takes no classification head ({architecture.model_type}). {_MODEL_ADVICE}"
            ) from error
        if stored_labels != list(labels):
            model = _with_new_head(auto, model)
        side = "left" if config.keep_text == "end" else "right"
        tokenizer = AutoTokenizer.from_pretrained(source, truncation_side=side, trust_remote_code=False)
    set_padding(tokenizer, model)
    check_tokenizer(config.model, tokenizer, model.get_input_embeddings().weight.shape[0])
    positions = position_count(model)  # not the tokenizer's limit, which may be the max_length of an earlier training
    if positions is not None and config.max_length > positions:
        raise UserError(
            f"train.encoder.max_length is {config.max_length}, and {config.model} has positions for {positions} "
            "tokens. Set it lower."
        )
    tokenizer.model_max_length = config.max_length
    _freeze(model, config)
    classifier = SequenceClassifier(
        name=config.model,
        model=model.to(find_device("auto")),
        tokenizer=tokenizer,
        labels=labels,
        texts=PairTexts(tokenizer, config.max_length),
        batch_tokens=_EVALUATION_TOKENS,
    )
    try:  # some heads need a token that the tokenizer does not add, such as T5's end token
        classifier.probabilities(classifier.texts.encode([("a", "b"), ("a", "b c")]))
    except (ValueError, RuntimeError, IndexError) as error:
        raise UserError(f"Model {config.model} cannot classify a pair of texts ({error}). {_MODEL_ADVICE}") from error
    return classifier


def _with_new_head(auto: Any, model: "PreTrainedModel") -> "PreTrainedModel":
    """A classifier with the encoder of ``model`` and a new random head."""
    classifier: PreTrainedModel = auto.from_config(model.config, dtype=torch.float32)
    classifier.base_model.load_state_dict(model.base_model.state_dict())
    classifier.eval()
    return classifier


def _set_layers(architecture: Any, config: EncoderConfig) -> None:
    """Set the number of layers to ``config.layers``, so that ``from_pretrained`` loads only these."""
    available = int(architecture.num_hidden_layers)
    used = config.layers or available
    for name, value, limit in (("layers", used, available), ("frozen_layers", config.frozen_layers, used)):
        if value > limit:
            raise UserError(
                f"train.encoder.{name} is {value}, and {config.model} has {limit} layers to use. Set it lower."
            )
    architecture.num_hidden_layers = used


def _freeze(model: "PreTrainedModel", config: EncoderConfig) -> None:
    """Freeze the embeddings and the first layers, and turn off their dropout."""
    if not config.frozen_layers:
        return
    base: Any = model.base_model
    depth = model.config.num_hidden_layers
    module_lists = (module for module in base.modules() if isinstance(module, nn.ModuleList))
    layers = next((modules for modules in module_lists if len(modules) == depth), None)
    if layers is None:
        raise UserError(
            f"train.encoder.frozen_layers is {config.frozen_layers}, and the layers of {config.model} cannot be "
            "found. Set it to 0."
        )
    embeddings = getattr(base, "embeddings", None) or model.get_input_embeddings()
    for frozen in (embeddings, *layers[: config.frozen_layers]):
        frozen.requires_grad_(False)
        for module in frozen.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
