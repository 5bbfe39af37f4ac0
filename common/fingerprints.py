"""Hashes of everything that determines a result."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from langchain_core.documents import Document


def content_key(**content: Any) -> str:
    """SHA-256 in hex of ``content`` as canonical JSON, independent of the order of keys."""
    text = json.dumps(to_jsonable(content), sort_keys=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def documents_digest(documents: "Iterable[Document]", *, metadata: bool = False) -> str:
    """SHA-256 in hex of the documents' ids and texts, in order; with ``metadata``, of their metadata too."""
    digest = hashlib.sha256()
    for document in documents:
        content: list[Any] = [document.id, document.page_content]
        if metadata:
            content.append(document.metadata)
        digest.update(json.dumps(content, sort_keys=True, default=str).encode("ascii"))
    return digest.hexdigest()


def file_digest(file: Path) -> str:
    """SHA-256 in hex of a file's bytes, at about 1 GB a second."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def weights_digest(model: "torch.nn.Module") -> str:
    """SHA-256 in hex of a model's parameters and buffers: names, dtypes, shapes and values, at about 1 GB a second.

    The digest distinguishes models with the same path or hub id but another training run, revision, adapter, dtype or
    quantization.
    """
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def to_jsonable(value: Any) -> Any:
    """``value`` in JSON types: arrays as lists, paths as strings, NaN and infinity as None.

    Raises:
        TypeError: an object has no JSON form.
    """
    match value:
        case None | bool() | str():
            return value
        case int():
            return int(value)
        case float():
            return float(value) if math.isfinite(value) else None
        case Mapping():
            return {str(key): to_jsonable(item) for key, item in value.items()}
        case list() | tuple():
            return [to_jsonable(item) for item in value]
        case Path():
            return str(value)
        case _ if hasattr(value, "tolist"):  # numpy scalars and arrays, torch tensors
            return to_jsonable(value.tolist())
        case _:
            raise TypeError(f"{type(value).__name__} cannot be written as JSON")
