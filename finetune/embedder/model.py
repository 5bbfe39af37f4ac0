"""The base model of an embedder run, and its figures on dev questions."""

from collections.abc import Sequence
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
from retrievers.embedders.sentence import shipped_passage_prompt

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_EVALUATION_BATCH = 16  # texts


def load_base(config: EmbedderTrainConfig) -> "SentenceTransformer":
    """Load the base model in float32, on this machine's accelerator if it has one.

    Raises:
        UserError: the model cannot be loaded, is no embedding model, or its window is below ``config.max_length``.
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


def prompts_of(model: "SentenceTransformer") -> tuple[str, str]:
    """The prompts that ``retrievers.embedders.sentence`` puts before a question and a passage; empty if there is none.

    ``default_prompt_name`` is ignored, since the prompts "query" and "document" precede it and every model has them.
    """
    return model.prompts.get("query") or "", shipped_passage_prompt(model) or ""


def evaluate_embedder(
    model: "SentenceTransformer", dev: Sequence[Example], abstracts: Sequence[str], scale: float
) -> dict[str, float]:
    """Accuracy@1 and mean cross-entropy (nats) of the dev texts; empty without dev texts.

    The candidates of a text are its abstract and its negatives, or all ``abstracts`` if it has no negatives. The
    cross-entropy is the training loss over the candidates, with cosines multiplied by ``scale``.
    """
    if not dev:
        return {}
    query_prompt, passage_prompt = prompts_of(model)
    columns: Sequence[int] = range(len(abstracts))  # the index of the abstract of each column of ``scores``
    if all(example.negatives for example in dev):
        columns = sorted({index for example in dev for index in (example.abstract, *example.negatives)})
    texts = _encode(model, [example.text for example in dev], query_prompt)
    scores = texts @ _encode(model, [abstracts[index] for index in columns], passage_prompt).T
    for row, example in zip(scores, dev, strict=True):
        if example.negatives:
            row[~np.isin(columns, [example.abstract, *example.negatives])] = -np.inf
    gold_columns = np.searchsorted(columns, [example.abstract for example in dev])
    gold_scores = scores[np.arange(len(dev)), gold_columns]
    return {
        "accuracy": float((scores.argmax(axis=1) == gold_columns).mean()),
        "loss": float((logsumexp(scores * scale, axis=1) - gold_scores * scale).mean()),
    }


def _encode(model: "SentenceTransformer", texts: Sequence[str], prompt: str) -> np.ndarray:
    vectors: np.ndarray = model.encode(
        [encodable(text) for text in texts],
        prompt=prompt,
        batch_size=_EVALUATION_BATCH,
        normalize_embeddings=True,
        show_progress_bar=False,
    )
    return vectors.astype(np.float64)
