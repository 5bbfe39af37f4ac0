"""Loading of models from folders and the hub: safe arguments, and errors as sentences for the user."""

import errno
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal

from common.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CONNECT_SECONDS = 5.0
NAMED = 5  # files of a folder that a message names
SAFE_LOADING: dict[str, Any] = {"trust_remote_code": False, "use_safetensors": True}
"""Arguments of ``from_pretrained`` of a model: code beside the weights is not run, and pickles are not read."""
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")


def special_tokens(tokenizer: "PreTrainedTokenizerBase") -> set[str]:
    """The tokens that a tokenizer names or marks as special."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    return {token for token in (*tokenizer.all_special_tokens, *(str(one) for one in added if one.special)) if token}


def check_tokenizer(name: str, tokenizer: "PreTrainedTokenizerBase", rows: int, used: Sequence[int] = ()) -> None:
    """Check that a model has an embedding for every token that texts may contain.

    Special tokens beyond the embeddings are allowed as long as nothing uses them.

    Args:
        name: the model, for the message.
        tokenizer: its tokenizer.
        rows: the number of the model's embeddings.
        used: token ids that the prompts contain.

    Raises:
        UserError: a token has no embedding.
    """
    if len(tokenizer) <= rows and max(used, default=0) < rows:
        return
    special, of_prompts = special_tokens(tokenizer), set(used)
    without = [
        token
        for token, number in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
        if number >= rows and (token not in special or number in of_prompts)
    ]
    if without:
        raise UserError(
            f"The tokenizer of {name} has {len(tokenizer)} tokens and the model embeddings for {rows}: "
            f"{without[0]!r} has none. Use the tokenizer that the model was trained with, or resize the model's "
            "embeddings and train them."
        )


@contextmanager
def hub_errors(what: str, id: str, *, repo_type: Literal["model", "dataset"] = "model") -> Iterator[None]:
    """Translate errors of loading a model or data set into ``UserError``.

    Wrap only the loading call: each ``OSError``, ``ValueError``, ``KeyError``, httpx or safetensors error is taken to
    be about ``id``, and so is a missing package. Others pass through, such as an out-of-memory ``RuntimeError``.

    A missing path below an existing folder is refused before the call, since the hub may have another model of that
    name. Where the hub cannot be reached only the cache is used, because each request would be repeated for minutes.

    Args:
        what: how messages name it: "Embedder", "Model", "Adapter", "Data set".
        id: the hub id or the folder.
        repo_type: determines the page on the hub that messages name.

    Raises:
        UserError: gated, missing, offline, unreachable, a broken download, a refused token, missing or unreadable
            files, a missing package, or a full disk.
    """
    if repo_type == "model" and not _is_offline() and (mistyped := _missing_below(what, id)):
        raise UserError(mistyped)
    try:
        with _cache_alone() if _needs_hub(id) and not _reaches_hub() else nullcontext():
            yield
    except UserError:
        raise
    except Exception as error:
        message = _explain(error, what, id, repo_type)
        if message is None:
            raise
        raise UserError(message) from error


def _needs_hub(id: str) -> bool:
    return not (_is_offline() or _is_path(id) or Path(id).exists())


def _reaches_hub() -> bool:
    """Whether the hub's port can be connected to; True behind a proxy, which alone could say."""
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
def _cache_alone() -> Iterator[None]:
    """Have huggingface_hub make no requests."""
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = False


def _explain(error: Exception, what: str, id: str, repo_type: Literal["model", "dataset"]) -> str | None:
    """The message for ``error``; None if it is not about the source."""
    if any("trust_remote_code" in str(cause) for cause in _causes(error)):
        return (
            f"{what} {id} needs Python code of its own, and code that comes with a model is never run here. Choose a "
            "model whose architecture is part of transformers or sentence-transformers."
        )
    for cause in _causes(error):
        if isinstance(cause, ImportError):
            return f"{what} {id} needs a package that cannot be used here: {_first_line(cause)}"
    local = _local(error, what, id)
    if local is not None or Path(id).expanduser().exists():
        return local
    return _remote(error, what, id, repo_type)


def _local(error: Exception, what: str, id: str) -> str | None:
    """The message if ``id`` is or must be a local path, or the disk is full."""
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"{what} {id}: the disk is full. Free some space, or set HF_HOME to a folder on another disk."
    path = Path(id).expanduser()
    if path.is_dir():
        return _folder(error, what, id)
    if path.is_file():
        return f"{what} {id} is a file. Give the folder that holds the model's config.json, or a hub id."
    if _is_path(id):
        return f"{what} {id}: there is no such folder. Check the path; a hub id has the form owner/name."
    return None


def _missing_below(what: str, id: str) -> str | None:
    """The message if ``id`` begins with an existing folder, but the rest does not exist in it."""
    first, *rest = PurePath(id).parts or ("",)
    if not rest or PurePath(id).is_absolute() or Path(id).exists() or not Path(first).is_dir():
        return None
    folder = Path(first)
    while (folder / rest[0]).is_dir():
        folder /= rest.pop(0)
    sentence = f"{what} {id}: there is a folder {folder} here, and no {PurePath(*rest)} in it{_held(folder)}. "
    if _is_path(id):
        return f"{sentence}Check the path."
    return f"{sentence}Check the path; if you mean {id} on the hub, start the command where there is no folder {first}."


def _held(folder: Path) -> str:
    """The names in a folder, as part of a message."""
    try:
        names = sorted(one.name for one in folder.iterdir() if not one.name.startswith("."))
    except OSError:
        return ""
    return (
        f" (it holds {', '.join(names[:NAMED])}{', ...' if len(names) > NAMED else ''})" if names else " (it is empty)"
    )


def _is_path(id: str) -> bool:
    """Whether ``id`` cannot be a hub id."""
    return (
        Path(id).expanduser().is_absolute()
        or id.startswith((".", "~"))
        or id.count("/") > 1
        or (os.sep != "/" and os.sep in id)
    )


def _is_offline() -> bool:
    from huggingface_hub import constants

    return constants.is_offline_mode()


def _folder(error: Exception, what: str, id: str) -> str | None:
    from safetensors import SafetensorError

    for cause in _causes(error):
        if isinstance(cause, PermissionError):
            return f"{what} {id}: {cause.filename or 'a file'} may not be read. Check the folder's permissions."
        if isinstance(cause, SafetensorError):
            return f"{what} {id}: its weights file is broken ({_first_line(cause)}). Copy the folder again."
    folder = Path(id).expanduser()
    if pickle := _pickle_alone(folder):
        return refused_pickle(what, id, pickle)
    if what == "Model" and (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        return f"{what} {id}: the folder holds an adapter. Name it in llm.adapter, and its base model in llm.model."
    if isinstance(error, (OSError, ValueError, KeyError)):
        return (
            f"{what} {id}: the folder does not hold a model that can be loaded ({_first_line(error)}). "
            "It needs config.json, the weights (model.safetensors) and the tokenizer's files."
        )
    return None


def refused_pickle(what: str, id: str, file: str) -> str:
    """The sentence for weights that are a pickle."""
    return (
        f"{what} {id} has its weights in {file} alone, a pickle. A pickle may run code when it is loaded, so it is not "
        "read. Where you trust it, load it and save it again with save_pretrained, which writes safetensors."
    )


def _pickle_alone(folder: Path) -> str | None:
    """The name of a folder's pickled weights, where it has no weights as safetensors."""
    if any(folder.glob("*.safetensors")) or not any(folder.glob("*config.json")):
        return None
    names = sorted(path.name for path in folder.glob("*") if path.suffix in _PICKLES)
    return names[0] if names else None


def _remote(error: Exception, what: str, id: str, repo_type: Literal["model", "dataset"]) -> str | None:
    """The message for a source on the hub; the first specific cause decides."""
    import httpx
    from huggingface_hub import constants, errors
    from safetensors import SafetensorError

    hub = constants.ENDPOINT
    page = f"{hub}/datasets/{id}" if repo_type == "dataset" else f"{hub}/{id}"
    causes = list(_causes(error))

    def found(*types: type[BaseException]) -> BaseException | None:
        return next((cause for cause in causes if isinstance(cause, types)), None)

    if found(errors.GatedRepoError):
        return (
            f"{what} {id} is gated: open {page} in a browser, accept its terms with your account, "
            "then log in on this machine with `hf auth login` (or set HF_TOKEN) and try again."
        )
    if constants.is_offline_mode():
        return (_missing_below(what, id) if repo_type == "model" else None) or (
            f"{what} {id} is not in the local cache ({constants.HF_HUB_CACHE}) and HF_HUB_OFFLINE is set. "
            f"Unset it, or run `hf download {id}` where there is a connection and copy the cache here."
        )
    for status in (cause for cause in causes if isinstance(cause, errors.HfHubHTTPError)):
        code = status.response.status_code
        if isinstance(status, errors.RevisionNotFoundError):
            return f"{what} {id} has no such revision on the hub. See {page} for the revisions it has."
        if isinstance(status, errors.RemoteEntryNotFoundError):
            return f"{what} {id} is on the hub, but lacks a file that is needed ({_first_line(error)}). See {page}."
        if isinstance(status, errors.RepositoryNotFoundError) or code == 404:
            return (
                f"{what} {id}: the hub has nothing by this name ({page}) and there is no such folder here. "
                "Check the spelling; if it is private, log in with `hf auth login`."
            )
        if code in (401, 403):
            return f"{what} {id}: the hub refused this machine's token. Log in again with `hf auth login`."
        if code == 429:
            return f"{what} {id}: the hub asks for a pause (too many requests). Log in, or wait some minutes."
        return f"{what} {id}: the hub answered with an error (status {code}). Try again later; see {page}."
    kinds = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)
    if found(errors.OfflineModeIsEnabled, *kinds):
        return (
            f"{what} {id} is not on this machine and the hub ({hub}) cannot be reached. Check the connection, "
            "or give a folder."
        )
    if found(httpx.TransportError, ConnectionError, TimeoutError) or (
        found(OSError) and "Consistency check failed" in str(error)
    ):
        return (
            f"{what} {id}: the connection to the hub ({hub}) broke during the download. Run the same command again: "
            "it goes on where it stopped."
        )
    if broken := found(SafetensorError):
        return f"{what} {id}: its weights file is broken ({_first_line(broken)}). Delete it from the cache; try again."
    if found(PermissionError):
        return f"{what} {id}: the cache {constants.HF_HUB_CACHE} may not be written. Set HF_HOME to another folder."
    if found(errors.LocalEntryNotFoundError):
        return f"{what} {id}: not in the local cache, and the hub ({hub}) did not give it. Check the connection."
    if isinstance(error, (OSError, ValueError, KeyError)):
        needs = " Its weights must be safetensors files." if "containing a file named" in str(error) else ""
        return f"{what} {id} cannot be loaded: {_first_line(error)}{needs}"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes, outermost first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _first_line(error: BaseException) -> str:
    lines = (repr(error) if isinstance(error, KeyError) else str(error)).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
