"""The embedder that is taught, and its figures on dev questions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from common.errors import UserError
from common.hub import hub_errors
from common.logs import no_bars
from finetune.config import TaughtEmbedderConfig
from finetune.embedder.examples import Example
from retrievers.base import encodable
from retrievers.embedders.packaged import packaged_minilm

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

BATCH = 16


@dataclass(frozen=True)
class Prompts:
    """What the model wants before a question and before a passage; empty where it ships nothing."""

    query: str
    passage: str


def load_untaught(config: TaughtEmbedderConfig) -> "SentenceTransformer":
    """The model in float32, on this machine's accelerator where it has one.

    Raises:
        UserError: the model cannot be had, is no embedding model, or reads fewer tokens than ``config.max_length``.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.util import get_device_name

    source = str(packaged_minilm()) if config.model == "embedded" else config.model
    with hub_errors("Embedder", config.model), no_bars():
        model = SentenceTransformer(source, device=get_device_name(), model_kwargs={"dtype": torch.float32})
    window = model.max_seq_length
    if window is not None and config.max_length > window:
        raise UserError(
            f"train.embedder.max_length is {config.max_length}, and {config.model} reads {window} tokens. Set it lower."
        )
    return model


def prompts_of(model: "SentenceTransformer") -> Prompts:
    """As ``retrievers.embedders.sentence`` puts them in use."""
    passages = (model.prompts.get(name) for name in ("document", "passage", "corpus"))
    default = model.prompts.get(model.default_prompt_name or "") or ""
    return Prompts(
        query=model.prompts.get("query") or default, passage=next((one for one in passages if one), None) or default
    )


def measure(
    model: "SentenceTransformer", dev: Sequence[Example], abstracts: Sequence[str], scale: float
) -> dict[str, float]:
    """How many dev questions bring back their own abstract first, and the mean cross-entropy of that, in nats.

    The cross-entropy is that of the loss, over all ``abstracts`` in place of a batch's.
    """
    prompts = prompts_of(model)
    questions = _encoded(model, [one.text for one in dev], prompts.query)
    scores = questions @ _encoded(model, abstracts, prompts.passage).T
    right = np.array([one.abstract for one in dev])
    own = scores[np.arange(len(dev)), right]
    logits = scores * scale
    highest = logits.max(axis=1)
    total = np.log(np.exp(logits - highest[:, None]).sum(axis=1)) + highest
    return {
        "accuracy": float((scores.argmax(axis=1) == right).mean()),
        "loss": float((total - own * scale).mean()),
    }


def _encoded(model: "SentenceTransformer", texts: Sequence[str], prompt: str) -> np.ndarray:
    vectors: np.ndarray = model.encode(
        [encodable(text) for text in texts],
        prompt=prompt,
        batch_size=BATCH,
        normalize_embeddings=True,
        show_progress_bar=False,
    )
    return vectors.astype(np.float64)
