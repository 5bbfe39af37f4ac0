"""Loading of models from folders and the hub: safe arguments, checks, and error messages."""

import errno
import re
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import AfterValidator

from common.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Cause = TypeVar("Cause", bound=BaseException)

CONNECT_SECONDS = 5.0
MAX_LISTED = 5  # files of a folder in a message


def _expand_home(name: str) -> str:
    try:
        return str(Path(name).expanduser()) if name.startswith("~") else name
    except RuntimeError as error:
        raise ValueError(f"no home folder is known for {PurePath(name).parts[0]}; write the whole path") from error


ModelSource = Annotated[str, AfterValidator(_expand_home)]
"""A setting with the name, hub id or path of a model; ``~`` is the home folder."""
SAFE_LOADING: dict[str, Any] = {"trust_remote_code": False, "use_safetensors": True}
"""Arguments of ``from_pretrained``: no code of the model is run, and no pickles are read."""
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
_hub_lock = threading.RLock()  # one thread at a time loads from the hub, since offline mode affects all threads


def special_tokens(tokenizer: "PreTrainedTokenizerBase") -> set[str]:
    """The special tokens of a tokenizer: tokens with a role, such as BOS, and added tokens marked as special."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    tokens = (*tokenizer.all_special_tokens, *(str(token) for token in added if token.special))
    return {token for token in tokens if token}


def check_tokenizer(name: str, tokenizer: "PreTrainedTokenizerBase", rows: int, prompt_ids: Sequence[int] = ()) -> None:
    """Check that a model has an embedding for every token of its tokenizer.

    Special tokens without an embedding are allowed unless a prompt contains them.

    Args:
        name: the model, for the message.
        tokenizer: its tokenizer.
        rows: number of rows of the model's embedding matrix.
        prompt_ids: token ids that prompts contain.

    Raises:
        UserError: a token has no embedding.
    """
    if len(tokenizer) <= rows and max(prompt_ids, default=0) < rows:
        return
    special = special_tokens(tokenizer)
    without_embedding = [
        token
        for token, id in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
        if id >= rows and (token not in special or id in prompt_ids)
    ]
    if without_embedding:
        raise UserError(
            f"The tokenizer of {name} has {len(tokenizer)} tokens and the model embeddings for {rows}: "
            f"{without_embedding[0]!r} has none. Use the tokenizer that the model was trained with, or resize the "
            "model's embeddings and train them."
        )


def check_weights(name: str, model: "PreTrainedModel", report: Mapping[str, Any]) -> None:
    """Check that the loaded model has all weights of its checkpoint, in the same shapes.

    transformers drops the weights that do not fit config.json, such as further layers, biases or scales, and weights in
    other shapes. A dropped weight is allowed only if the model lacks its whole module, such as another head.

    Args:
        name: the model, for the message.
        model: the loaded model.
        report: the loading information that ``from_pretrained`` returned when called with ``output_loading_info`` and
            ``ignore_mismatched_sizes``.

    Raises:
        UserError: a tensor has another shape than in the model, or the model has its layer without this tensor.
    """
    advice = "config.json and the weights do not belong together. Copy both again from the same checkpoint."
    for tensor, stored, expected in sorted(report["mismatched_keys"], key=str):
        raise UserError(
            f"Model {name}: its weights have {tensor} in the shape {tuple(stored)}, and by its config.json it is "
            f"{tuple(expected)}: {advice}"
        )

    def without_layer_number(tensor: str) -> str:
        return re.sub(r"\.\d+\.", ".N.", tensor)

    leaf_modules = {path for path, module in model.named_modules() if path and not any(module.children())}
    model_tensors = set(map(without_layer_number, model.state_dict()))
    for tensor in sorted(report["unexpected_keys"]):
        if tensor.rpartition(".")[0] in leaf_modules or without_layer_number(tensor) in model_tensors:
            raise UserError(
                f"Model {name}: its weights have {tensor}, and by its config.json the model has none: {advice}"
            )


@contextmanager
def hub_errors(kind: str, id: str) -> Iterator[None]:
    """Translate errors of loading a model or data set into ``UserError``.

    Wrap only the loading call, since each ``OSError``, ``ValueError``, ``KeyError``, ``ImportError``, httpx or
    safetensors error is attributed to ``id``. Other errors pass through, such as an out-of-memory ``RuntimeError``.

    If ``id`` is a missing path below an existing folder, the error is raised before the call, since the hub may have a
    model of that name. If the hub cannot be reached, only the cache is used, because huggingface_hub repeats each
    failed request for minutes. Other threads that load from the hub wait until the block ends.

    Args:
        kind: "Embedder", "Model", "Adapter" or "Data set", for messages; a data set has another address on the hub.
        id: the hub id or the folder.

    Raises:
        UserError: the model or data set is gated, missing, or not in the cache while offline; the hub is unreachable,
            refuses the token, or breaks the download; files are missing or unreadable; a package is missing; or the
            disk is full.
    """
    from huggingface_hub import constants

    is_local = _is_path(id) or Path(id).exists()
    lock: AbstractContextManager[object] = nullcontext() if is_local else _hub_lock
    with lock:
        is_offline = constants.is_offline_mode()
        if not is_offline and (mistyped := _mistyped_path_message(kind, id)):
            raise UserError(mistyped)
        try:
            with nullcontext() if is_local or is_offline or _is_hub_reachable() else _offline_mode():
                yield
        except UserError:
            raise
        except Exception as error:
            message = _message_for(error, kind, id)
            if message is None:
                raise
            raise UserError(message) from error


def _is_hub_reachable() -> bool:
    """Whether the hub accepts connections; True behind a proxy, where this is unknown."""
    from urllib.parse import urlsplit
    from urllib.request import getproxies

    from huggingface_hub import constants

    hub = urlsplit(constants.ENDPOINT)
    if getproxies() or not hub.hostname:
        return True
    try:
        port = hub.port or (80 if hub.scheme == "http" else 443)
        socket.create_connection((hub.hostname, port), CONNECT_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True


@contextmanager
def _offline_mode() -> Iterator[None]:
    """Restrict huggingface_hub to its cache."""
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = False


def _message_for(error: Exception, kind: str, id: str) -> str | None:
    """The message for ``error``; None if the model or data set did not cause it."""
    from huggingface_hub.errors import StrictDataclassError

    path = Path(id).expanduser()
    if any("trust_remote_code" in str(cause) for cause in _causes(error)):
        return (
            f"{kind} {id} needs its own Python code, and code that comes with a model is never run here. Choose one "
            "whose architecture is part of transformers or sentence-transformers."
        )
    if missing := _cause(error, ImportError):
        return f"{kind} {id} needs a package that cannot be used here: {_first_line(missing)}"
    if isinstance(error, StrictDataclassError):  # transformers' configuration classes raise it
        problem = " ".join(str(error).split())[:300]
        return f"{kind} {id}: its config.json has an invalid value ({problem}). Correct it, or copy the file again."
    if any(isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT) for cause in _causes(error)):
        return f"{kind} {id}: the disk is full. Free some space, or set HF_HOME to a folder on another disk."
    if path.is_dir():
        return _folder_message(error, kind, path, id)
    if path.is_file():
        return f"{kind} {id} is a file. Give the folder with the model's config.json, or a hub id."
    if _is_path(id):
        return f"{kind} {id}: there is no such folder. Check the path; a hub id has the form owner/name."
    return _hub_message(error, kind, id)


def _mistyped_path_message(kind: str, id: str) -> str | None:
    """The message if a model's ``id`` begins with an existing folder that lacks the rest of the path."""
    first, *rest = PurePath(id).parts or ("",)
    if kind == "Data set" or not rest or PurePath(id).is_absolute() or Path(id).exists() or not Path(first).is_dir():
        return None
    folder = Path(first)
    while (folder / rest[0]).is_dir():
        folder /= rest.pop(0)
    sentence = f"{kind} {id}: there is a folder {folder} here, and no {PurePath(*rest)} in it{_listing(folder)}. "
    if _is_path(id):
        return f"{sentence}Check the path."
    return f"{sentence}Check the path; if you mean {id} on the hub, start the command where there is no folder {first}."


def _listing(folder: Path) -> str:
    """The names in a folder, in brackets for a message."""
    try:
        names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return ""
    if not names:
        return " (it is empty)"
    return f" (it holds {', '.join(names[:MAX_LISTED])}{', ...' if len(names) > MAX_LISTED else ''})"


def _is_path(id: str) -> bool:
    """Whether ``id`` cannot be a hub id."""
    return Path(id).expanduser().is_absolute() or id.startswith((".", "~")) or id.count("/") > 1


def _folder_message(error: Exception, kind: str, folder: Path, id: str) -> str | None:
    from safetensors import SafetensorError

    files = {path.name: path for path in sorted(folder.glob("*"))}
    if denied := _cause(error, PermissionError):
        return f"{kind} {id}: {denied.filename or 'a file'} may not be read. Check the folder's permissions."
    if link := next((name for name, path in files.items() if path.is_symlink() and not path.exists()), None):
        return f"{kind} {id}: {link} is a link to a file that does not exist. Copy the folder again, with cp -rL."
    if pointer := next((name for name, path in files.items() if _is_lfs_pointer(path)), None):
        return f"{kind} {id}: {pointer} is a pointer of Git LFS, not the file itself. Run `git lfs pull` in the folder."
    if broken := _cause(error, SafetensorError):
        return f"{kind} {id}: its weights file is broken ({_first_line(broken)}). Copy the folder again."
    has_weights = any(name.endswith(".safetensors") for name in files)
    pickle = next((name for name, path in files.items() if path.suffix in _PICKLES), None)
    if pickle and not has_weights and any(name.endswith("config.json") for name in files):
        return pickle_message(kind, id, pickle)
    if kind == "Model" and "adapter_config.json" in files and "config.json" not in files:
        return f"{kind} {id}: the folder has an adapter. Name it in llm.adapter, and its base model in llm.model."
    if not isinstance(error, (OSError, ValueError, KeyError)):
        return None
    problem = _first_line(error)
    advice = "It needs config.json, the weights (model.safetensors) and the tokenizer's files."
    if not files.keys() & {"adapter_config.json", "modules.json"}:  # no adapter and no sentence-transformers model
        if "config.json" not in files:
            problem = "there is no config.json"
        elif not has_weights:
            problem = "there are no weights, *.safetensors"
        elif files.keys().isdisjoint(TOKENIZER_FILES):
            problem = "there is no tokenizer, such as tokenizer.json"
    if "config.json" not in files:
        if gguf := next((path for path in files.values() if path.suffix == ".gguf"), None):
            advice = f"Name its GGUF file: {gguf}"
        elif nested := sorted(folder.glob("*/config.json"), key=lambda path: path.stat().st_mtime) or sorted(
            folder.glob("snapshots/*/config.json")
        ):
            advice = f"Name the model's own folder, such as {nested[-1].parent}"
    return f"{kind} {id}: the folder has no model that can be loaded ({problem}). {advice}"


def _is_lfs_pointer(path: Path) -> bool:
    if path.suffix in (".safetensors", ".json", ".model"):
        with suppress(OSError), path.open("rb") as stream:
            return stream.read(40).startswith(b"version https://git-lfs")
    return False


def pickle_message(kind: str, id: str, file: str) -> str:
    """The message for pickled weights."""
    return (
        f"{kind} {id} has its weights only in {file}, a pickle. A pickle may run code when it is loaded, so it is not "
        "read. If you trust it, load it and save it again with save_pretrained, which writes safetensors."
    )


def _hub_message(error: Exception, kind: str, id: str) -> str | None:
    """The message for a model or data set on the hub, by the most specific exception in the chain of causes."""
    import httpx
    from huggingface_hub import constants, errors
    from safetensors import SafetensorError

    hub = constants.ENDPOINT
    page = f"{hub}/datasets/{id}" if kind == "Data set" else f"{hub}/{id}"
    if _cause(error, errors.GatedRepoError):
        return (
            f"{kind} {id} is gated: open {page} in a browser, accept its terms with your account, "
            "then log in on this machine with `hf auth login` (or set HF_TOKEN) and try again."
        )
    if constants.is_offline_mode():
        return _mistyped_path_message(kind, id) or (
            f"{kind} {id} is not in the local cache ({constants.HF_HUB_CACHE}) and HF_HUB_OFFLINE is set. "
            f"Unset it, or run `hf download {id}` where there is a connection and copy the cache here."
        )
    if status := _cause(error, errors.HfHubHTTPError):
        match status, status.response.status_code:
            case errors.RevisionNotFoundError(), _:
                problem = f" has no such revision on the hub. See {page} for the revisions it has."
            case errors.RemoteEntryNotFoundError(), _:
                problem = f" is on the hub, but lacks a file that is required ({_first_line(error)}). See {page}."
            case (errors.RepositoryNotFoundError(), _) | (_, 404):
                problem = (
                    f": the hub has nothing by this name ({page}) and there is no such folder here. "
                    "Check the spelling; if it is private, log in with `hf auth login`."
                )
            case _, 401 | 403:
                problem = ": the hub refused this machine's token. Log in again with `hf auth login`."
            case _, 429:
                problem = ": the hub asks for a pause (too many requests). Log in, or wait some minutes."
            case _, code:
                problem = f": the hub answered with an error (status {code}). Try again later; see {page}."
        return f"{kind} {id}{problem}"
    unreachable = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)
    if _cause(error, errors.OfflineModeIsEnabled, *unreachable):
        return (
            f"{kind} {id} is not on this machine and the hub ({hub}) cannot be reached. Check the connection, "
            "or give a folder."
        )
    if _cause(error, httpx.TransportError, ConnectionError, TimeoutError) or (
        _cause(error, OSError) and "Consistency check failed" in str(error)
    ):
        return (
            f"{kind} {id}: the connection to the hub ({hub}) broke during the download. Run the same command again to "
            "resume it."
        )
    if broken := _cause(error, SafetensorError):
        return f"{kind} {id}: its weights file is broken ({_first_line(broken)}). Delete it from the cache; try again."
    if _cause(error, PermissionError):
        return f"{kind} {id}: the cache {constants.HF_HUB_CACHE} may not be written. Set HF_HOME to another folder."
    if _cause(error, errors.LocalEntryNotFoundError):
        return f"{kind} {id}: not in the local cache, and the hub ({hub}) did not give it. Check the connection."
    if isinstance(error, (OSError, ValueError, KeyError)):
        needs = " Its weights must be safetensors files." if "containing a file named" in str(error) else ""
        return f"{kind} {id} cannot be loaded: {_first_line(error)}{needs}"
    return None


def _cause(error: BaseException, *types: type[Cause]) -> Cause | None:
    """The first of the error and its causes that has one of these types."""
    return next((cause for cause in _causes(error) if isinstance(cause, types)), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and its chained causes, outermost first; each once, even in a cycle."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _first_line(error: BaseException) -> str:
    lines = (repr(error) if isinstance(error, KeyError) else str(error)).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
