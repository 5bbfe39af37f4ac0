"""Chroma's default embedding function as a LangChain embedder."""

from functools import cached_property

from common.errors import UserError
from corpus.documents.passages import Window
from retrievers.base import encodable
from retrievers.embedders.base import BatchEmbedder, tokens_window, untruncated


class ChromaDefaultEmbedder(BatchEmbedder):
    """all-MiniLM-L6-v2 as an ONNX file, which Chroma downloads once (79 MB) and verifies by its SHA-256."""

    def __init__(self) -> None:
        """Download the file unless it is in Chroma's cache."""
        import httpx
        from chromadb.utils.embedding_functions.onnx_mini_lm_l6_v2 import ONNXMiniLM_L6_V2

        self._function = ONNXMiniLM_L6_V2()
        self.fingerprint = f"{ONNXMiniLM_L6_V2.MODEL_NAME} onnx {ONNXMiniLM_L6_V2._MODEL_SHA256}"
        try:
            self._function._download_model_if_not_exists()
        except (httpx.HTTPError, OSError, ValueError) as error:
            raise UserError(
                f"Embedder chroma-default: its model could not be fetched from {ONNXMiniLM_L6_V2.MODEL_DOWNLOAD_URL} "
                f"({error}). Try again with a connection, or use model: embedded, the same network without a download."
            ) from error

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector for each passage."""
        if not texts:
            return []
        return [vector.tolist() for vector in self._function([encodable(text) for text in texts])]

    def embed_queries(self, texts: list[str]) -> list[list[float]]:
        """One vector for each question; this model embeds questions like passages."""
        return self.embed_documents(texts)

    @cached_property
    def window(self) -> Window:
        """The model's window in tokens."""
        from tokenizers import Tokenizer

        truncating = self._function.tokenizer
        tokenizer = Tokenizer.from_str(truncating.to_str())  # a copy, since Chroma's function needs truncation
        encode = untruncated(tokenizer)
        return tokens_window(int(truncating.truncation["max_length"]), encode, "", tokenizer.to_str())
