"""Reranking of a retriever's first candidates by a cross-encoder."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr

from common.errors import UserError
from common.fingerprints import content_key, weights_digest
from common.hub import ModelSource, hub_errors
from common.logs import no_bars
from retrievers.base import Hit, Retriever, WrappingRetriever, encodable
from retrievers.config import Count, Dtype, RetrieverConfig, WrappingConfig

if TYPE_CHECKING:
    import numpy as np

    from retrievers.registry import Context

BATCH = 32  # pairs per forward pass
_AGAINST = ("maybe", "neutral")  # label of undecided questions in task qa, and of undecided pairs in task nli


class Reranker:
    """A cross-encoder that scores how well a passage answers a question.

    The score of a model with one output is this output. The score of a classifier with several labels is 1 minus the
    probability of the labels ``against``. Pairs longer than the model's window are truncated at the longer text's end.
    """

    def __init__(self, model: str, dtype: Dtype = "auto", against: Sequence[str] = ()) -> None:
        """Load ``model`` (a hub id or a folder)."""
        from sentence_transformers import CrossEncoder
        from sentence_transformers.util import get_device_name

        from retrievers.embedders.sentence import resolve_dtype

        device = get_device_name()
        self._name = model
        _check_head(model)
        with hub_errors("Cross-encoder", model), no_bars():
            self._model: Any = CrossEncoder(
                model,
                device=device,
                model_kwargs={"dtype": resolve_dtype(dtype, device), "use_safetensors": True},
                trust_remote_code=False,
            )
        self._against = [] if self._model.num_labels == 1 else _label_indices(model, self._model, against)
        window, modules = self._model.max_seq_length, repr(self._model)
        self.fingerprint = content_key(
            weights=weights_digest(self._model), against=self._against, window=window, modules=modules
        )

    def scores(self, pairs: Sequence[tuple[str, str]], activation: Any = None) -> "np.ndarray":
        """The score of each (question, passage), (pairs,); ``activation`` replaces the model's activation function.

        Raises:
            UserError: a score is not finite.
        """
        import numpy as np

        if not pairs:
            return np.zeros(0)
        pairs = [(encodable(question), encodable(passage)) for question, passage in pairs]
        options = {"activation_fn": activation, "apply_softmax": bool(self._against), "show_progress_bar": False}
        outputs = self._model.predict(pairs, batch_size=BATCH, **options)
        rows = np.asarray(outputs, dtype=np.float64).reshape(len(pairs), -1)
        if not np.isfinite(rows).all():
            raise UserError(
                f"Cross-encoder {self._name} returned scores that are not finite. Load it in float32; if that does not "
                "help, its files are damaged."
            )
        return 1 - rows[:, self._against].sum(axis=1) if self._against else rows[:, 0]

    def relevance(self, question: str, texts: Sequence[str]) -> list[float]:
        """The score of each text, from 0 to 1. The score of a model with one output is the sigmoid of its logit."""
        from torch.nn import Sigmoid

        activation = None if self._against else Sigmoid()
        relevances: list[float] = self.scores([(question, text) for text in texts], activation).tolist()
        return relevances


load_reranker = cache(Reranker)
"""A ``Reranker``; equal arguments share one object, so a model is loaded once."""


class RerankConfig(WrappingConfig):
    """Reranking by a cross-encoder, which reads question and passage together."""

    kind: Literal["rerank"] = "rerank"
    model: ModelSource = Field(
        min_length=1,
        description="Cross-encoder or sequence classifier: a hub id or a folder, such as train encoder makes.",
    )
    dtype: Dtype = Field(default="auto", description="Data type of the weights, as for an embedder.")
    against: tuple[str, ...] = Field(
        default=_AGAINST,
        description=(
            "Labels of a classifier that speak against a passage; its score is 1 minus their probability."
            " A model of one output scores by that."
        ),
    )
    candidates: Count = Field(default=20, description="Minimum number of candidates.")


class RerankRetriever(WrappingRetriever):
    """Sorts an inner retriever's first candidates by the cross-encoder's scores."""

    config_class: ClassVar[type[RetrieverConfig]] = RerankConfig

    _reranker: Reranker = PrivateAttr()

    def __init__(self, retriever: Retriever, reranker: Reranker, config: RerankConfig) -> None:
        super().__init__(retriever, config)
        self._reranker = reranker

    @classmethod
    def build(cls, config: RerankConfig, context: "Context") -> Self:
        reranker = load_reranker(config.model, config.dtype, config.against)
        return cls(context.retriever(config.retriever), reranker, config)

    @classmethod
    def identity(cls, config: RerankConfig, context: "Context") -> dict[str, Any]:
        reranker = load_reranker(config.model, config.dtype, config.against)
        return {**super().identity(config, context), "model": reranker.fingerprint}

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        results = self._retriever.search(questions, max(k, self._config.candidates))
        pairs = [
            (question, candidate.page_content)
            for question, candidates in zip(questions, results, strict=True)
            for candidate in candidates
        ]
        scores = iter(self._reranker.scores(pairs).tolist())
        return [[Hit(candidate, next(scores)) for candidate in candidates] for candidates in results]


def _check_head(name: str) -> None:
    """Reject an encoder without a scoring head; sentence-transformers would add a head with random weights."""
    from transformers import AutoConfig

    with hub_errors("Cross-encoder", name):
        architectures = AutoConfig.from_pretrained(name, trust_remote_code=False).architectures or []
    heads = ("SequenceClassification", "CausalLM")  # parts of the names of supported architectures
    if architectures and not any(head in architecture for architecture in architectures for head in heads):
        raise UserError(
            f"{name} is no cross-encoder ({architectures[0]} has nothing that scores a pair). Name one, such as "
            "cross-encoder/ms-marco-MiniLM-L6-v2, or a folder that `medground train encoder` has made."
        )


def _label_indices(name: str, model: Any, against: Sequence[str]) -> list[int]:
    """The indices of those labels ``against`` that the model has."""
    labels = {str(label).lower(): int(index) for index, label in model.config.id2label.items()}
    indices = sorted(labels[label.lower()] for label in against if label.lower() in labels)
    if not indices or len(indices) == len(labels):
        raise UserError(
            f"Cross-encoder {name} has the labels {', '.join(labels)}. One or more, not all, must speak against a "
            f"passage, by default {' and '.join(_AGAINST)}. Name others in retrievers.NAME.against; for "
            "chain.quote_cross_encoder, train with the label neutral (pairs.labels) or choose a model of one output."
        )
    return indices
