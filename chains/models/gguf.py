"""Conversion of GGUF files to model folders for transformers, which load faster and can be quantised."""

import contextlib
import hashlib
import io
import json
import mmap
import os
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

from filelock import FileLock

from chains.config import LLMConfig
from chains.models.known import known_model
from common.errors import UserError
from common.hub import hub_errors

MANIFEST = "medground.json"
# Value types of GGUF metadata; numbers with their format in ``struct``.
_NUMBER_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9
_MAX_FLOAT32_WEIGHTS = 10**9  # larger models are stored in bfloat16, which rounds the file's values


def cache_folder() -> Path:
    """Folder of downloaded and converted models: ``MEDGROUND_CACHE``, else ``medground`` in the user's cache."""
    if configured := os.environ.get("MEDGROUND_CACHE"):
        return Path(configured).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or "~/.cache"
    return Path(base).expanduser() / "medground"


def gguf_path(config: LLMConfig) -> Path | None:
    """The GGUF file that ``llm.model`` and ``llm.gguf_file`` name, downloaded if necessary; None if they name none."""
    if config.gguf_file is None:
        return Path(config.model).expanduser() if config.model.lower().endswith(".gguf") else None
    known = known_model(config.model)
    source = config.model if known is None else known.hub
    if Path(source).expanduser().is_dir():
        return Path(source).expanduser() / config.gguf_file
    from huggingface_hub import hf_hub_download

    with hub_errors("Model", source):
        return Path(hf_hub_download(source, config.gguf_file))


def read_metadata(file: Path) -> dict[str, Any]:
    """The metadata of a GGUF file by key.

    ``gguf.GGUFReader`` is not used, since it takes seconds for large vocabularies.
    """
    try:
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            header = _Header(data)
            magic, version, _, count = data[:4], *(header.number(format) for format in "IQQ")  # _: number of tensors
            if magic != b"GGUF" or version not in (2, 3):
                raise ValueError("it does not begin as GGUF version 2 or 3 does")
            return {header.text(): header.value(header.number("I")) for _ in range(count)}
    except FileNotFoundError as error:
        raise _missing_error(file) from error
    except (OSError, RecursionError, ValueError, LookupError, struct.error) as error:
        raise UserError(
            f"Model {file}: this is not a complete GGUF file ({error}). Download it again, or correct llm.model."
        ) from error


class _Header:
    """Reads the little-endian values of a GGUF file one after the other."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._offset = data, 4  # after the magic number

    def number(self, format: str) -> Any:
        return self._numbers(1, format)[0]

    def text(self) -> str:
        size = self.number("Q")
        if self._offset + size > len(self._data):
            raise ValueError("it ends within its header")
        start, self._offset = self._offset, self._offset + size
        return self._data[start : self._offset].decode(errors="replace")

    def value(self, value_type: int) -> Any:
        if value_type == _TEXT:
            return self.text()
        if value_type != _ARRAY:
            return self.number(_NUMBER_FORMATS[value_type])
        item_type, count = self.number("I"), self.number("Q")
        if item_type in _NUMBER_FORMATS:
            return self._numbers(count, _NUMBER_FORMATS[item_type])
        return [self.value(item_type) for _ in range(count)]

    def _numbers(self, count: int, format: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{count}{format}", self._data, self._offset)
        self._offset += struct.calcsize(f"<{count}{format}")
        return values


def converted_folder(file: Path) -> Path:
    """The model folder of a GGUF file, converted on the first call and again after the file has changed.

    Raises:
        UserError: the file is missing or damaged, transformers does not support its architecture, or the disk is full.
    """
    if not file.is_file():
        raise _missing_error(file)
    state = file.stat()
    key = hashlib.sha256(f"{file.resolve()}\n{state.st_size}\n{state.st_mtime_ns}".encode()).hexdigest()[:16]
    folder = cache_folder() / "gguf" / f"{file.stem}-{key}"
    if not (folder / MANIFEST).is_file():
        with new_model_folder(folder) as scratch:
            if scratch is not None:
                convert(file, scratch, {"file": str(file.resolve())})
    return folder


@contextmanager
def new_model_folder(folder: Path, is_complete: Callable[[Path], bool] | None = None) -> Iterator[Path | None]:
    """A scratch folder that becomes ``folder`` if the block ends without an error, else is removed.

    Processes wait for each other. The value is None if ``folder`` is already complete, according to ``is_complete`` or,
    by default, because it has a manifest. Leftovers of an interrupted process are removed.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{folder.name}.lock"):
            for leftover in folder.parent.glob(f".{escape(folder.name)}-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            if is_complete(folder) if is_complete else (folder / MANIFEST).is_file():
                yield None
                return
            with tempfile.TemporaryDirectory(
                prefix=f".{folder.name}-", dir=folder.parent, ignore_cleanup_errors=True
            ) as scratch:
                new = Path(scratch) / folder.name
                new.mkdir()
                yield new
                if folder.exists():
                    folder.rename(Path(scratch) / "replaced")
                new.rename(folder)
    except UserError:
        raise
    except Exception as error:
        if "No space left" in str(error) or "quota exceeded" in str(error):  # safetensors sets no errno
            raise UserError(
                f"{folder}: the disk is full. Free some space, or set MEDGROUND_CACHE to a folder on another disk."
            ) from error
        if isinstance(error, OSError):
            raise UserError(
                f"{folder} cannot be written ({error.strerror or error}). Set MEDGROUND_CACHE to another folder."
            ) from error
        raise


def convert(file: Path, folder: Path, about: dict[str, Any]) -> None:
    """Write the model of a GGUF file into ``folder``: safetensors, tokenizer with chat template, and a manifest.

    The manifest has the entries of ``about`` and the dtype: float32, or bfloat16 above a billion weights.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from common.logs import no_bars

    parent, auto = str(file.parent), AutoModelForCausalLM
    try:
        with no_bars(), contextlib.redirect_stderr(io.StringIO()):  # one progress bar on stderr ignores no_bars
            architecture = AutoConfig.from_pretrained(parent, gguf_file=file.name, trust_remote_code=False)
            dtype = torch.float32 if _count_weights(file) <= _MAX_FLOAT32_WEIGHTS else torch.bfloat16
            model: Any = auto.from_pretrained(
                parent, gguf_file=file.name, trust_remote_code=False, dtype=dtype, config=architecture
            )
            tokenizer: Any = AutoTokenizer.from_pretrained(parent, gguf_file=file.name, trust_remote_code=False)
    except (ArithmeticError, ImportError, LookupError, OSError, RuntimeError, ValueError, struct.error) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UserError(
            f"Model {file}: transformers cannot read this GGUF file ({reason}). Download it again if it is incomplete, "
            "or set llm.model to the model's original on the hub, which needs no GGUF."
        ) from error
    vars(model.config).pop("quantization_config", None)  # transformers has dequantized the weights
    for name in ("hf_quantizer", "quantization_method", "is_quantized"):
        vars(model).pop(name, None)
    window = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if window and tokenizer.model_max_length > window:
        tokenizer.model_max_length = window
    with no_bars():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    (folder / MANIFEST).write_text(json.dumps({**about, "dtype": str(dtype).split(".")[1]}, indent=1) + "\n")


def _count_weights(file: Path) -> int:
    from gguf import GGUFReader

    return sum(int(tensor.n_elements) for tensor in GGUFReader(file).tensors)


def _missing_error(file: Path) -> UserError:
    return UserError(f"Model {file}: there is no such file. Check the path.")
