"""Sequence classifiers of transformers: loading, labels, window and batched inference."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from chains.config import DType, LLMConfig
from chains.encoder.pair_texts import Encoded, PairTexts
from chains.models.batching import in_batches
from chains.models.local import find_device, resolve_dtype
from chains.nli import NLI_LABELS
from common.errors import UserError
from common.fingerprints import content_key, weights_digest
from common.hub import SAFE_LOADING, check_tokenizer, check_weights, hub_errors
from common.logs import no_bars, no_loading_report
from common.result_cache import Batches, CachedResult, ResultCache, get_or_compute

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def model_window(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> int:
    """Maximum number of tokens of a pair: the tokenizer's limit, or the number of the model's positions if smaller."""
    limit = int(min(tokenizer.model_max_length, 10**9))  # transformers sets 10**30 for no limit
    positions = position_count(model)
    return limit if positions is None else min(limit, positions)


def position_count(model: "PreTrainedModel") -> int | None:
    """Maximum number of tokens for which the model has positions; None if its architecture sets no maximum."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if positions is None or positions < 1:  # XLNet has -1
        return None
    embeddings: Any = getattr(model.base_model, "embeddings", None)
    table = getattr(embeddings, "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)  # RoBERTa's positions start after the padding index
    return int(positions) - (0 if padding is None else padding + 1)


@dataclass(frozen=True)
class SequenceClassifier:
    """A loaded classifier with its tokenizer; ``labels`` are in the order of its outputs.

    ``cache``, if set, stores the results. ``fingerprint`` is part of its keys: a hash of everything besides the encoded
    pair that can change the probabilities.
    """

    name: str
    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    labels: tuple[str, ...]
    texts: PairTexts
    batch_tokens: int
    cache: ResultCache | None = None
    fingerprint: str = ""

    def probabilities(self, encoded: Sequence[Encoded]) -> list[dict[str, float]]:
        """The labels' probabilities of each encoded pair; pairs of similar length share a batch."""
        return [result.value for result in self.results(encoded)]

    def results(self, encoded: Sequence[Encoded]) -> list[CachedResult]:
        """The results of ``probabilities``, with a flag for results from the cache."""
        keys = ["" if self.cache is None else content_key(pair=one, model=self.fingerprint) for one in encoded]
        return get_or_compute(self.cache, keys, lambda indices: self._computed(encoded, indices))

    def _computed(self, encoded: Sequence[Encoded], indices: Sequence[int]) -> Batches:
        chosen = [encoded[index] for index in indices]
        lengths = [len(one["input_ids"]) for one in chosen]
        advice = f"Choose a smaller model than {self.name}."
        for batch, rows in in_batches(lengths, self.batch_tokens, partial(self._classify, chosen), advice):
            yield [indices[number] for number in batch], rows

    def _classify(self, encoded: Sequence[Encoded], batch: list[int]) -> list[dict[str, float]]:
        import torch

        with torch.inference_mode():
            inputs = self.tokenizer.pad([dict(encoded[index]) for index in batch], return_tensors="pt")
            rows = self.model(**inputs.to(self.model.device)).logits.float().softmax(-1)
        if not rows.isfinite().all():
            raise UserError(
                f"Model {self.name} returned probabilities that are not finite in {self.model.dtype}. Load it in "
                "float32; if that does not help, its files are damaged."
            )
        return [dict(zip(self.labels, row, strict=True)) for row in rows.tolist()]


def load_sequence_classifier(
    name: str, dtype: DType, device: str, batch_tokens: int, cache: ResultCache | None = None
) -> SequenceClassifier:
    """Load a classifier; see ``chains.encoder.classifier.load_classifier`` for the arguments and errors."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    from retrievers.embedders.cpu_bert import pack_encoder

    if name == "embedded":
        raise UserError(
            "The embedded encoder has no labels. Fine-tune it with `medground train encoder --output DIR` and use that "
            "folder."
        )
    auto: Any = AutoModelForSequenceClassification
    no_classifier = f"Model {name} is not a sequence classifier: {{}}. Choose a model for text classification."
    torch_device = find_device(device)
    with hub_errors("Model", name), no_bars(), no_loading_report():
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
        try:
            model, report = auto.from_pretrained(
                name,
                config=config,
                dtype=resolve_dtype(LLMConfig(dtype=dtype, device_map=torch_device.type)),
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # the errors below name the mismatched weights
                **SAFE_LOADING,
            )
        except ValueError as error:
            if "Unrecognized configuration class" not in str(error):
                raise
            problem = f"transformers has none for {config.model_type}"
            raise UserError(no_classifier.format(problem)) from error
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    if missing := sorted(report["missing_keys"]):
        raise UserError(no_classifier.format(f"its weights have no {missing[0]}"))
    for _, stored, expected in report["mismatched_keys"]:
        if stored[1:] == expected[1:] and expected[0] == config.num_labels:
            problem = f"its weights have {stored[0]} outputs and its config.json {expected[0]} labels (id2label)"
            raise UserError(f"Model {name}: {problem}. Write all labels there, in the order of the outputs.")
    check_weights(name, model, report)
    _check_labels(name, config)
    labels = tuple(label_name(str(model.config.id2label[index])) for index in range(model.config.num_labels))
    if len(set(labels)) < 2 or len(set(labels)) < len(labels):
        raise UserError(no_classifier.format(f"it needs two or more different labels and has {', '.join(labels)}"))
    set_padding(tokenizer, model)
    embeddings: Any = model.get_input_embeddings()
    check_tokenizer(name, tokenizer, embeddings.weight.shape[0])
    model.eval()
    fingerprint = "" if cache is None else _fingerprint(model, torch_device)
    pack_encoder(model.base_model)
    texts = PairTexts(tokenizer, model_window(model, tokenizer))
    with torch.no_grad():
        model = model.to(torch_device)
    return SequenceClassifier(name, model, tokenizer, labels, texts, batch_tokens, cache, fingerprint)


def _fingerprint(model: "PreTrainedModel", device: "torch.device") -> str:
    """A hash of a model before it is packed. The tokenizer is left out, since cache keys contain the encoded pairs."""
    return content_key(
        weights=weights_digest(model),
        architecture=model.config.to_json_string(),
        device=device.type,
        versions={name: version(name) for name in ("medground", "torch", "transformers")},
    )


def set_padding(tokenizer: "PreTrainedTokenizerBase", model: "PreTrainedModel") -> None:
    """Set a missing padding token; any token with an embedding can be used, since padding is masked."""
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    model.config.pad_token_id = tokenizer.pad_token_id


def label_name(name: str) -> str:
    """A checkpoint's label without surrounding white space; the three NLI labels in lower case."""
    name = name.strip()
    return name.lower() if name.lower() in NLI_LABELS else name


def _check_labels(name: str, config: Any) -> None:
    """Raise ``UserError`` if labels are not numbered from 0, or id2label and label2id give them different numbers."""
    if sorted(config.id2label) != list(range(config.num_labels)):
        raise UserError(
            f"Model {name}: its config.json numbers the labels {', '.join(map(str, config.id2label))} in id2label. "
            "Number them from 0 on, in the order of the outputs."
        )
    numbers = {str(label): number for label, number in (config.label2id or {}).items()}
    for number, label in config.id2label.items():
        if numbers.keys() == set(map(str, config.id2label.values())) and int(numbers[str(label)]) != int(number):
            raise UserError(
                f"Model {name}: its config.json gives {label} the number {number} in id2label and "
                f"{numbers[str(label)]} in label2id. Correct it to the order of the model's training."
            )
