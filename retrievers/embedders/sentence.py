"""Embedder with a sentence-transformers model."""

import hashlib
import json
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from common.cpu import bfloat16_is_faster
from common.fingerprints import weights_digest
from common.hub import hub_errors
from common.logs import no_bars
from corpus.documents.passages import Window
from retrievers.base import encodable
from retrievers.config import Dtype
from retrievers.embedders.base import BatchEmbedder, embed_by_length, tokens_window

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

# Maximum tokens of a batch with padding: enough for efficient matrix products, and on a CPU few enough for its cache.
CPU_TOKENS = 4096
GPU_TOKENS = 131_072


class SentenceEmbedder(BatchEmbedder):
    """Embeds with a sentence-transformers model, including its pooling, normalisation and length limit.

    Texts are embedded in order of length, in batches of about equally many tokens. If the model has prompts, a question
    is embedded under the model's prompt ``query``, and a passage under its prompt ``document``, ``passage`` or
    ``corpus``. The arguments override these prompts.
    """

    def __init__(
        self,
        model: str,
        *,
        dtype: Dtype = "auto",
        query_prompt: str | None = None,
        passage_prompt: str | None = None,
        device: str | None = None,
    ) -> None:
        """Load ``model`` (a hub id or a folder)."""
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.util import get_device_name

        from retrievers.embedders.cpu_bert import pack_encoder

        device = device or get_device_name()
        resolved = resolve_dtype(dtype, device)
        with hub_errors("Embedder", model), no_bars():
            self.model = SentenceTransformer(
                model, device=device, model_kwargs={"dtype": resolved, "use_safetensors": True}, trust_remote_code=False
            )
        self.model.eval()
        self._weights_digest = weights_digest(self.model)
        backend = getattr(self.model.tokenizer, "backend_tokenizer", None)
        # Made now, for the fingerprint: the tokenizer's first call changes its truncation and padding.
        self._tokenizer_text = repr(self.model.tokenizer) if backend is None else backend.to_str()
        # Made now, for the fingerprint: ``pack_encoder`` replaces a module, but does not change the vectors.
        self._modules_text = repr(self.model)
        pack_encoder(self.model.transformers_model)
        self._query_prompt = query_prompt
        self._passage_prompt = shipped_passage_prompt(self.model) if passage_prompt is None else passage_prompt

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector for each passage."""
        return self._embed(texts, self.model.encode_document, self._passage_prompt)

    def embed_queries(self, texts: list[str]) -> list[list[float]]:
        """One vector for each question."""
        return self._embed(texts, self.model.encode_query, self._query_prompt)

    @property
    def fingerprint(self) -> str:
        """A digest of everything that determines the vectors: weights, dtype, modules, tokenizer, prompts, window."""
        model, prompts = self.model, sorted(self.model.prompts.items())
        parts = (
            self._weights_digest,
            self._modules_text,
            model.max_seq_length,
            prompts,
            model.default_prompt_name,
            self._query_prompt,
            self._passage_prompt,
            self._tokenizer_text,
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    @cached_property
    def window(self) -> Window | None:
        """The model's window in tokens."""
        from transformers import PreTrainedTokenizerBase

        model, tokenizer = self.model, self.model.tokenizer
        if model.max_seq_length is None or not isinstance(tokenizer, PreTrainedTokenizerBase):
            return None
        prompt = self._passage_prompt
        if prompt is None:
            prompt = model.prompts.get(model.default_prompt_name or "") or ""

        def encode(texts: list[str]) -> list[list[int]]:
            ids: list[list[int]] = tokenizer(texts, truncation=False, padding=False, verbose=False)["input_ids"]
            return ids

        identity = json.dumps([prompt, type(tokenizer).__name__, sorted(tokenizer.get_vocab().items())])
        return tokens_window(int(model.max_seq_length), encode, prompt, identity)

    def _embed(self, texts: list[str], encode: Callable[..., Any], prompt: str | None) -> list[list[float]]:
        encodable_texts = [encodable(text) for text in texts]

        def embed(batch: list[str]) -> Any:
            return encode(batch, prompt=prompt, batch_size=len(batch), show_progress_bar=False)

        budget = CPU_TOKENS if self.model.device.type == "cpu" else GPU_TOKENS
        return embed_by_length(encodable_texts, self.model.max_seq_length or budget, budget, embed)


def shipped_passage_prompt(model: "SentenceTransformer") -> str | None:
    """A model's prompt for passages; None if it has none."""
    # Not left to encode_document: it would use the prompt "document" even if that is empty, as it is by default.
    prompts = (model.prompts.get(name) for name in ("document", "passage", "corpus"))
    return next((prompt for prompt in prompts if prompt), None)


def resolve_dtype(dtype: Dtype, device: str) -> "torch.dtype":
    """The torch dtype for ``dtype``; ``auto`` is bfloat16 if the device is faster in bfloat16, else float32."""
    import torch

    if dtype != "auto":
        named: torch.dtype = getattr(torch, dtype)
        return named
    if device.startswith("cuda"):
        prefers_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        prefers_bfloat16 = device == "cpu" and bfloat16_is_faster()
    return torch.bfloat16 if prefers_bfloat16 else torch.float32
