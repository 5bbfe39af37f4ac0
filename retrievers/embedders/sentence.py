"""An embedder on sentence-transformers: a hub id or a folder."""

import hashlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from langchain_core.embeddings import Embeddings

from common.cpu import bfloat16_is_faster
from common.fingerprints import weights_digest
from common.hub import hub_errors
from common.logs import no_bars
from retrievers.base import encodable
from retrievers.config import Dtype

if TYPE_CHECKING:
    import torch

# Maximum tokens of a batch with padding: large enough for efficient products, small enough for the cache.
CPU_TOKENS = 4096
GPU_TOKENS = 131_072
CHARACTERS_A_TOKEN = 4  # in English; it affects speed only


class SentenceEmbedder(Embeddings):
    """Embeds with a sentence-transformers model, including its pooling, normalisation and length limit.

    Texts are embedded in order of length, in batches of about equal cost. A question is embedded under the model's
    ``query`` prompt, a passage under its ``document``, ``passage`` or ``corpus`` prompt, if it has one; the arguments
    override them.
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
        """Load ``model`` (a hub id or a folder).

        Raises:
            UserError: it is absent, gated, unreachable or not an embedding model.
        """
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
        self._weights = weights_digest(self.model)
        backend = getattr(self.model.tokenizer, "backend_tokenizer", None)
        # before first use, which changes its truncation and padding
        self._tokenizer = repr(self.model.tokenizer) if backend is None else backend.to_str()
        self._modules = repr(self.model)  # before packing, which does not change the vectors
        pack_encoder(self.model.transformers_model)
        self._query_prompt = query_prompt
        self._passage_prompt = self._shipped_passage_prompt() if passage_prompt is None else passage_prompt

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector for each passage."""
        return self._embed(texts, self.model.encode_document, self._passage_prompt)

    def embed_queries(self, texts: list[str]) -> list[list[float]]:
        """One vector for each question."""
        return self._embed(texts, self.model.encode_query, self._query_prompt)

    def embed_query(self, text: str) -> list[float]:
        """The vector of one question."""
        return self.embed_queries([text])[0]

    @property
    def fingerprint(self) -> str:
        """A digest of everything that determines the vectors: weights, dtype, modules, tokenizer, prompts, length."""
        parts = (
            self._weights,
            self._modules,
            self.model.max_seq_length,
            sorted(self.model.prompts.items()),
            self.model.default_prompt_name,
            self._query_prompt,
            self._passage_prompt,
            self._tokenizer,
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def _shipped_passage_prompt(self) -> str | None:
        # encode_document uses its default, an empty "document" prompt, and ignores prompts with other names.
        shipped = (self.model.prompts.get(name) for name in ("document", "passage", "corpus"))
        return next((prompt for prompt in shipped if prompt), None)

    def _embed(self, texts: list[str], encode: Callable[..., Any], prompt: str | None) -> list[list[float]]:
        import numpy as np

        if not texts:
            return []
        clean = [encodable(text) for text in texts]
        vectors = np.empty((len(clean), 0), dtype=np.float32)
        for batch in self._batches(clean):
            found = encode(
                [clean[i] for i in batch], prompt=prompt, batch_size=len(batch), show_progress_bar=False
            ).astype(np.float32)
            if not vectors.size:
                vectors = np.empty((len(clean), found.shape[1]), dtype=np.float32)
            vectors[batch] = found
        return vectors.tolist()

    def _batches(self, texts: list[str]) -> Iterator[list[int]]:
        """Indices of ``texts``, longest first, in batches of about equal cost."""
        budget = CPU_TOKENS if self.model.device.type == "cpu" else GPU_TOKENS
        limit = self.model.max_seq_length or budget
        batch: list[int] = []
        size = 0
        for index in sorted(range(len(texts)), key=lambda i: -len(texts[i])):
            if batch and (len(batch) + 1) * size > budget:
                yield batch
                batch = []
            if not batch:
                size = min(limit, len(texts[index]) // CHARACTERS_A_TOKEN + 3)
            batch.append(index)
        yield batch


def resolve_dtype(dtype: Dtype, device: str) -> "torch.dtype":
    """The torch type for ``dtype``; ``auto`` is bfloat16 if the device is faster in it, else float32."""
    import torch

    if dtype != "auto":
        named: torch.dtype = getattr(torch, dtype)
        return named
    if device.startswith("cuda"):
        capable = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capable = device == "cpu" and bfloat16_is_faster()
    return torch.bfloat16 if capable else torch.float32
