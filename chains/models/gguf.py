"""GGUF files for transformers: converted once to a folder of safetensors, which loads faster and can be quantised."""

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
from pathlib import Path
from typing import Any

from filelock import FileLock

from chains.config import LLMConfig
from chains.models.known import known_model
from common.errors import UserError
from common.hub import hub_errors

MANIFEST = "medground.json"
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9
_SMALL = 10**9  # maximum number of weights for float32, which represents the file's values exactly


def cache_folder() -> Path:
    """Folder of downloaded and converted models: ``MEDGROUND_CACHE``, else ``medground`` in the user's cache."""
    if given := os.environ.get("MEDGROUND_CACHE"):
        return Path(given).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or "~/.cache"
    return Path(base).expanduser() / "medground"


def gguf_path(config: LLMConfig) -> Path | None:
    """The GGUF file of ``llm.model`` and ``llm.gguf_file``, downloaded from the hub if necessary; None without one."""
    if config.gguf_file is None:
        return Path(config.model).expanduser() if config.model.lower().endswith(".gguf") else None
    known = known_model(config.model)
    source = config.model if known is None else known.hub
    if Path(source).expanduser().is_dir():
        return Path(source).expanduser() / config.gguf_file
    from huggingface_hub import hf_hub_download

    with hub_errors("Model", source):
        return Path(hf_hub_download(source, config.gguf_file))


def metadata(file: Path) -> dict[str, Any]:
    """The metadata of a GGUF file by key; ``gguf.GGUFReader`` would need seconds for large vocabularies."""
    try:
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            header = _Header(data)
            magic, version, _, count = data[:4], *(header.number(kind) for kind in "IQQ")
            if magic != b"GGUF" or version not in (2, 3):
                raise ValueError("it does not begin as GGUF version 2 or 3 does")
            return {header.text(): header.value(header.number("I")) for _ in range(count)}
    except FileNotFoundError as error:
        raise _missing(file) from error
    except (OSError, RecursionError, ValueError, LookupError, struct.error) as error:
        raise UserError(
            f"Model {file}: this is no whole GGUF file ({error}). Download it again, or correct llm.model."
        ) from error


class _Header:
    """Reader of the values of a GGUF file in order, little-endian, after the magic number."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._place = data, 4

    def number(self, format: str) -> Any:
        return self._numbers(1, format)[0]

    def text(self) -> str:
        size = self.number("Q")
        if self._place + size > len(self._data):
            raise ValueError("it ends within its header")
        start, self._place = self._place, self._place + size
        return self._data[start : self._place].decode(errors="replace")

    def value(self, kind: int) -> Any:
        if kind == _TEXT:
            return self.text()
        if kind != _ARRAY:
            return self.number(_NUMBERS[kind])
        of, count = self.number("I"), self.number("Q")
        return self._numbers(count, _NUMBERS[of]) if of in _NUMBERS else [self.value(of) for _ in range(count)]

    def _numbers(self, count: int, format: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{count}{format}", self._data, self._place)
        self._place += struct.calcsize(f"<{count}{format}")
        return values


def converted(file: Path) -> Path:
    """The model folder made from a GGUF file; made on the first call, and again if the file has changed.

    Raises:
        UserError: the file is missing or damaged, transformers does not support its architecture, or the disk is full.
    """
    if not file.is_file():
        raise _missing(file)
    state = file.stat()
    key = hashlib.sha256(f"{file.resolve()}\n{state.st_size}\n{state.st_mtime_ns}".encode()).hexdigest()[:16]
    folder = cache_folder() / "gguf" / f"{file.stem}-{key}"
    if not (folder / MANIFEST).is_file():
        with new_model_folder(folder) as scratch:
            if scratch is not None:
                convert(file, scratch, {"file": str(file.resolve())})
    return folder


@contextmanager
def new_model_folder(folder: Path, is_whole: Callable[[Path], bool] | None = None) -> Iterator[Path | None]:
    """A scratch folder that becomes ``folder`` if the block ends without an error, else is removed.

    Only one process at a time; the value is None if another has made the folder in the meantime, which ``is_whole``
    checks, by default by the manifest. Leftovers of an interrupted process are removed.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{folder.name}.lock"):
            for left in folder.parent.glob(f".{folder.name}-*"):
                shutil.rmtree(left, ignore_errors=True)
            if (is_whole or (lambda there: (there / MANIFEST).is_file()))(folder):
                yield None
                return
            with tempfile.TemporaryDirectory(
                prefix=f".{folder.name}-", dir=folder.parent, ignore_cleanup_errors=True
            ) as scratch:
                made = Path(scratch) / folder.name
                made.mkdir()
                yield made
                if folder.exists():
                    folder.rename(Path(scratch) / "replaced")
                made.rename(folder)
    except Exception as error:
        if "No space left" in str(error) or "quota" in str(error):  # safetensors sets no errno
            raise UserError(
                f"{folder}: the disk is full. Free some space, or set MEDGROUND_CACHE to a folder on another disk."
            ) from error
        if isinstance(error, OSError) and not isinstance(error, UserError):
            raise UserError(
                f"{folder} cannot be written ({error.strerror or error}). Set MEDGROUND_CACHE to another folder."
            ) from error
        raise


def convert(file: Path, folder: Path, about: dict[str, Any]) -> None:
    """Write the model of a GGUF file into ``folder``: safetensors, tokenizer with chat template, and a manifest.

    The weights are stored in float32, above a billion weights in bfloat16.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from common.logs import no_bars

    where, auto = str(file.parent), AutoModelForCausalLM
    try:
        with no_bars(), contextlib.redirect_stderr(io.StringIO()):  # it shows a progress bar regardless of settings
            architecture = AutoConfig.from_pretrained(where, gguf_file=file.name, trust_remote_code=False)
            dtype = torch.float32 if _size(file) <= _SMALL else torch.bfloat16
            model: Any = auto.from_pretrained(
                where, gguf_file=file.name, trust_remote_code=False, dtype=dtype, config=architecture
            )
            tokenizer: Any = AutoTokenizer.from_pretrained(where, gguf_file=file.name, trust_remote_code=False)
    except OSError as error:
        if error.errno is not None:
            raise
        raise _unreadable(file, error) from error
    except (ArithmeticError, ImportError, LookupError, RuntimeError, ValueError, struct.error) as error:
        raise _unreadable(file, error) from error
    vars(model.config).pop("quantization_config", None)  # the weights are not quantized
    for name in ("hf_quantizer", "quantization_method", "is_quantized"):
        vars(model).pop(name, None)
    window = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if window and tokenizer.model_max_length > window:
        tokenizer.model_max_length = window
    with no_bars():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    (folder / MANIFEST).write_text(json.dumps({**about, "dtype": str(dtype).split(".")[1]}, indent=1) + "\n")


def _size(file: Path) -> int:
    """The number of weights in a GGUF file."""
    from gguf import GGUFReader

    return sum(int(tensor.n_elements) for tensor in GGUFReader(file).tensors)


def _missing(file: Path) -> UserError:
    return UserError(f"Model {file}: there is no such file. Check the path.")


def _unreadable(file: Path, error: Exception) -> UserError:
    said = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return UserError(
        f"Model {file}: transformers cannot read this GGUF file ({said}). Download it again if it is incomplete, "
        "or set llm.model to the model's original on the hub, which needs no GGUF."
    )
