"""The base model of an embedder run, and its figures on dev questions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

from common.errors import UserError
from common.hub import hub_errors
from common.logs import no_bars
from finetune.config import EmbedderTrainConfig
from finetune.embedder.data import Example
from retrievers.base import encodable
from retrievers.embedders.packaged import packaged_minilm

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

BATCH = 16


@dataclass(frozen=True)
class Prompts:
    """The model's prompts for a question and for a passage; empty where it has none."""

    query: str
    passage: str


def load_base(config: EmbedderTrainConfig) -> "SentenceTransformer":
    """Load the base model in float32, on this machine's accelerator where it has one.

    Raises:
        UserError: the model cannot be loaded, is no embedding model, or has a window below ``config.max_length``.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.util import get_device_name

    source = str(packaged_minilm()) if config.model == "embedded" else config.model
    with hub_errors("Embedder", source), no_bars():
        model = SentenceTransformer(
            source,
            device=get_device_name(),
            model_kwargs={"dtype": torch.float32, "use_safetensors": True},
            trust_remote_code=False,
        )
    window = model.max_seq_length
    if window is not None and config.max_length > window:
        raise UserError(
            f"train.embedder.max_length is {config.max_length}, and the window of {config.model} is {window} tokens. "
            "Set it lower."
        )
    return model


def prompts_of(model: "SentenceTransformer") -> Prompts:
    """The prompts that ``retrievers.embedders.sentence`` uses."""
    passages = (model.prompts.get(name) for name in ("document", "passage", "corpus"))
    default = model.prompts.get(model.default_prompt_name or "") or ""
    return Prompts(
        query=model.prompts.get("query") or default, passage=next((one for one in passages if one), None) or default
    )


def evaluate_embedder(
    model: "SentenceTransformer", dev: Sequence[Example], abstracts: Sequence[str], scale: float
) -> dict[str, float]:
    """Accuracy@1 of the dev texts, and the mean cross-entropy in nats; empty without dev texts.

    A text is ranked against its negatives, or against all ``abstracts`` if it has none. The cross-entropy is that of
    the training loss, with these in place of a batch's.
    """
    if not dev:
        return {}
    prompts = prompts_of(model)
    ranked = [(one.abstract, *one.negatives) if one.negatives else range(len(abstracts)) for one in dev]
    places = sorted({place for some in ranked for place in some})
    questions = _encode(model, [one.text for one in dev], prompts.query)
    scores = questions @ _encode(model, [abstracts[place] for place in places], prompts.passage).T
    for row, some in zip(scores, ranked, strict=True):
        row[~np.isin(places, list(some))] = -np.inf
    right = np.searchsorted(places, [one.abstract for one in dev])
    gold = scores[np.arange(len(dev)), right]
    return {
        "accuracy": float((scores.argmax(axis=1) == right).mean()),
        "loss": float((logsumexp(scores * scale, axis=1) - gold * scale).mean()),
    }


def _encode(model: "SentenceTransformer", texts: Sequence[str], prompt: str) -> np.ndarray:
    vectors: np.ndarray = model.encode(
        [encodable(text) for text in texts],
        prompt=prompt,
        batch_size=BATCH,
        normalize_embeddings=True,
        show_progress_bar=False,
    )
    return vectors.astype(np.float64)
