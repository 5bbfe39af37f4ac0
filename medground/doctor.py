"""Checks of the machine and the settings, without network access and without changing files.

PyTorch takes seconds to import, so it is imported only if a GPU driver is installed.
"""

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from ctypes import CDLL
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.errors import UserError
from medground.settings import Settings


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report; the state ``failed`` means that a command with these settings cannot work."""

    name: str
    state: Literal["ok", "note", "failed"]
    value: str


def examine(settings: Settings) -> Iterator[Check]:
    """Check the machine, and the models and folders of the settings."""
    from eval.results import versions

    packages = versions()
    python = packages.pop("python")
    yield Check("python", "ok", f"{python}, {platform.platform()}")
    yield Check("packages", "ok", ", ".join(f"{name} {version}" for name, version in packages.items()))
    yield from _processor()
    yield from _gpus()
    yield _llamacpp(settings)
    yield _memory()
    yield from _embedders(settings)
    yield _language_model(settings)
    yield _hub()
    yield _telemetry()
    yield from _store(settings)


def _processor() -> Iterator[Check]:
    from common.cpu import FLAGS, cpu_flags, usable_cores

    threads = os.environ.get("OMP_NUM_THREADS")
    limit = f"; OMP_NUM_THREADS limits the threads to {threads}" if threads else ""
    yield Check("cores", "ok", f"{usable_cores()} usable of {os.cpu_count()}{limit}")
    flags = cpu_flags()
    listed = "unknown instructions" if flags is None else ", ".join(sorted(flags & FLAGS)) or "no vector instructions"
    yield Check("processor", "ok", f"{platform.machine()}: {listed}")


def _gpus() -> Iterator[Check]:
    if not _has_gpu_driver():
        yield Check("graphics card", "note", "no driver is installed: everything runs on the processor")
        return
    import torch

    if not torch.cuda.is_available():
        yield Check("graphics card", "note", "none that PyTorch can use: everything runs on the processor")
    for index in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(index)
        yield Check(f"graphics card {index}", "ok", f"{gpu.name}, {_in_gib(gpu.total_memory)}")


def _has_gpu_driver() -> bool:
    """Whether NVIDIA's driver can be loaded, or AMD's has its device file."""
    try:
        CDLL("libcuda.so.1")
    except OSError:
        return Path("/dev/kfd").exists()
    return True


def _llamacpp(settings: Settings) -> Check:
    """Whether xllamacpp, which ``llm.kind: llamacpp`` needs, can be imported; the import is fast."""
    try:
        import xllamacpp
    except ImportError as error:
        state: Literal["note", "failed"] = "failed" if settings.llm.kind == "llamacpp" else "note"
        reason = "" if isinstance(error, ModuleNotFoundError) else f" ({error})"
        return Check("llama.cpp", state, f"absent{reason}; `pip install 'medground[llamacpp]'` installs xllamacpp")
    devices = (device["name"] for device in xllamacpp.get_device_info())
    return Check("llama.cpp", "ok", f"xllamacpp {xllamacpp.__version__}, for {', '.join(devices)}")


def _memory() -> Check:
    known = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in known or "SC_AVPHYS_PAGES" not in known:
        return Check("memory", "note", "this system does not report it")
    page_size, pages, free_pages = map(os.sysconf, ("SC_PAGE_SIZE", "SC_PHYS_PAGES", "SC_AVPHYS_PAGES"))
    return Check("memory", "ok", f"{_in_gib(page_size * pages)}, {_in_gib(page_size * free_pages)} of it free")


def _embedders(settings: Settings) -> Iterator[Check]:
    from retrievers.embedders.packaged import packaged_minilm

    for name, config in settings.embedders.items():
        if config.model == "embedded":
            try:
                yield Check(f"embedder {name}", "ok", f"{packaged_minilm()}: the weights are the official ones")
            except UserError as error:
                yield Check(f"embedder {name}", "failed", str(error))
        else:
            yield _model_source(f"embedder {name}", config.model)


def _model_source(name: str, model: str, file: str = "config.json") -> Check:
    """Whether a model is a folder, is in the hub's cache, or must be downloaded; ``file`` is one of its files."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    if Path(model).expanduser().is_dir():
        return Check(name, "ok", f"{model}: a folder")
    try:
        cached = isinstance(try_to_load_from_cache(model, file), str)
    except HFValidationError:
        return Check(name, "failed", f"{model} is neither a folder nor a hub id; correct the setting")
    if cached:
        return Check(name, "note", f"{model}: in the hub's cache")
    return _absent(name, model, "downloaded from the hub on first use")


def _absent(name: str, model: str, remedy: str) -> Check:
    """The check of a model that is not on this machine. ``remedy`` says how to get the model if the hub is online."""
    from huggingface_hub import constants

    if constants.is_offline_mode():
        return Check(name, "failed", f"{model}: not on this machine, and HF_HUB_OFFLINE is set")
    return Check(name, "note", f"{model}: {remedy}")


def _language_model(settings: Settings) -> Check:
    from chains.models.fetch import find_local
    from chains.models.known import known_model
    from chains.models.local import EMBEDDED

    if settings.llm.kind == "extractive":
        return Check("language model", "note", "none: answers quote the passages (llm.kind is extractive)")
    if settings.llm.kind == "openai":
        return Check("language model", "note", f"{settings.llm.model}, on the server at {settings.llm.base_url}")
    if (known := known_model(settings.llm.model)) is not None:
        model = f"{known.name} ({known.hub})"
        if (local := find_local(known)) is None:
            return _absent("language model", model, f"`medground models get {known.name}` fetches it")
        return Check("language model", "ok", f"{model}: at {local.folder}")
    if settings.llm.gguf_file is None and settings.llm.model.lower().endswith(".gguf"):
        exists = Path(settings.llm.model).expanduser().is_file()
        value = "a GGUF file" if exists else "the file does not exist"
        return Check("language model", "ok" if exists else "failed", f"{settings.llm.model}: {value}")
    if settings.llm.model != "embedded":
        return _model_source("language model", settings.llm.model, settings.llm.gguf_file or "config.json")
    weights = EMBEDDED / "model.safetensors"
    if not weights.is_file():
        return Check("language model", "failed", f"medground-tiny is not at {EMBEDDED}; install medground again")
    return Check("language model", "ok", f"medground-tiny, {weights.stat().st_size / 1e6:.1f} MB, at {EMBEDDED}")


def _hub() -> Check:
    from huggingface_hub import constants, get_token

    state = "offline (HF_HUB_OFFLINE)" if constants.is_offline_mode() else "may be asked"
    login = "logged in" if get_token() else "not logged in (gated models need `hf auth login`)"
    return Check("model hub", "note", f"{constants.ENDPOINT}: {state}, {login}; cache {constants.HF_HUB_CACHE}")


def _telemetry() -> Check:
    """Whether environment variables turn on telemetry or tracing in a library."""
    causes = [name for name in ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING_V2") if _is_true(name)]
    causes += [] if _is_true("HF_HUB_DISABLE_TELEMETRY") else ["HF_HUB_DISABLE_TELEMETRY"]
    causes += ["ANONYMIZED_TELEMETRY"] if _is_true("ANONYMIZED_TELEMETRY") else []
    if causes:
        return Check("telemetry", "note", f"turned on by {', '.join(causes)}")
    return Check("telemetry", "ok", "off: Chroma, Hugging Face, LangChain tracing")


def _is_true(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() in ("1", "true", "yes", "on")


def _store(settings: Settings) -> Iterator[Check]:
    if settings.store.url is not None:
        yield Check("store", "note", f"a Chroma server: {settings.store.url}")
    path = Path(settings.store.path).expanduser().absolute()
    try:
        existing = next(folder for folder in (path, *path.parents) if folder.exists())
        with tempfile.TemporaryFile(dir=existing):
            pass
        free = shutil.disk_usage(existing).free
        yield Check("store", "ok", f"{path} can be written; {_in_gib(free)} free on its disk")
    except OSError as error:
        yield Check("store", "failed", f"{path} cannot be written ({error.strerror}); set store.path to another folder")


def _in_gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
