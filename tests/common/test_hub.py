import errno
import socket
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import httpx
import pytest
from huggingface_hub import constants, errors
from safetensors import SafetensorError

from common.errors import UserError
from common.hub import hub_errors


@pytest.fixture(autouse=True)
def proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a proxy, ``hub_errors`` does not test the connection to the hub."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")


def http_error(kind: type[errors.HfHubHTTPError], status: int) -> errors.HfHubHTTPError:
    request = httpx.Request("GET", "https://huggingface.co/owner/name/resolve/main/config.json")
    return kind(f"{status} Client Error.", response=httpx.Response(status, request=request))


def wrapped(cause: Exception) -> OSError:
    """An OSError with this cause, as transformers raises."""
    try:
        try:
            raise cause
        except Exception as inner:
            raise OSError("something went wrong with owner/name") from inner
    except OSError as outer:
        return outer


def message_for(error: Exception, id: str = "owner/name", kind: str = "Model") -> str:
    with pytest.raises(UserError) as raised, hub_errors(kind, id):
        raise error
    assert raised.value.__cause__ is error
    return str(raised.value)


# Errors of loading from the hub, and parts of their messages.
HUB_ERRORS = {
    "gated": (
        http_error(errors.GatedRepoError, 403),
        ["is gated", "/owner/name in a browser", "accept", "hf auth login"],
    ),
    "missing": (http_error(errors.RepositoryNotFoundError, 404), ["nothing by this name", "spelling"]),
    "missing revision": (http_error(errors.RevisionNotFoundError, 404), ["no such revision"]),
    "missing file": (http_error(errors.RemoteEntryNotFoundError, 404), ["lacks a file"]),
    "refused token": (http_error(errors.HfHubHTTPError, 401), ["refused this machine's token"]),
    "rate limit": (http_error(errors.HfHubHTTPError, 429), ["too many requests"]),
    "server error": (http_error(errors.HfHubHTTPError, 503), ["status 503"]),
    "unreachable": (httpx.ConnectError("refused"), ["cannot be reached", constants.ENDPOINT]),
    "dropped connection": (httpx.RemoteProtocolError("peer closed"), ["broke during the download", "to resume it"]),
    "timeout": (httpx.ReadTimeout("slow"), ["broke during the download"]),
    "offline": (errors.OfflineModeIsEnabled("offline"), ["cannot be reached"]),
    "broken weights": (SafetensorError("header too large"), ["weights file is broken", "header too large"]),
    "unrecognized model": (ValueError("Unrecognized model\nmore"), ["cannot be loaded: Unrecognized model"]),
}


@pytest.mark.parametrize("name", HUB_ERRORS)
def test_message_explains_error_of_hub(name: str) -> None:
    error, parts = HUB_ERRORS[name]
    # Only a ValueError itself is explained: of a wrapped one, the message shows the OSError.
    for raised in (error,) if name == "unrecognized model" else (error, wrapped(error)):
        message = message_for(raised)
        assert message.startswith("Model owner/name")
        assert all(part in message for part in parts)


def test_message_about_data_set_links_its_page() -> None:
    assert "/datasets/owner/name in" in message_for(http_error(errors.GatedRepoError, 403), kind="Data set")


def test_message_explains_error_of_local_path(tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(b"")
    assert "no such folder" in message_for(OSError("x"), str(tmp_path / "absent"))
    assert "no such folder" in message_for(errors.HFValidationError("x"), "./absent")
    assert "is a file" in message_for(OSError("x"), str(file))
    assert "has no model that can be loaded" in message_for(ValueError("no model_type"), str(tmp_path))
    assert "may not be read" in message_for(PermissionError(errno.EACCES, "denied", "config.json"), str(tmp_path))
    assert "weights file is broken" in message_for(SafetensorError("short"), str(tmp_path))


@pytest.fixture
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the subfolder adapters/int1."""
    (tmp_path / "adapters" / "int1").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def message_before_loading(id: str) -> str:
    with pytest.raises(UserError) as raised, hub_errors("Adapter", id):
        pytest.fail("the adapter is loaded")
    return str(raised.value)


@pytest.mark.usefixtures("working_folder")
def test_missing_path_below_existing_folder_is_not_loaded_from_hub() -> None:
    message = message_before_loading("adapters/int2")
    assert message.startswith(
        "Adapter adapters/int2: there is a folder adapters here, and no int2 in it (it holds int1). Check the path; "
    )
    assert "if you mean adapters/int2 on the hub, start the command where there is no folder adapters" in message
    assert message_before_loading("adapters/int1/last").endswith("no last in it (it is empty). Check the path.")
    assert "folder adapters here, and no a/b in it" in message_before_loading("./adapters/a/b")
    for number in range(2, 8):
        Path(f"adapters/int{number}").mkdir()
    assert "(it holds int1, int2, int3, int4, int5, ...)" in message_before_loading("adapters/none")


@pytest.mark.parametrize("id", ["owner/name", "adapters/int1", "adapters", "name"])
@pytest.mark.usefixtures("working_folder")
def test_existing_path_and_name_without_folder_are_loaded(id: str) -> None:
    is_loaded = False
    with hub_errors("Adapter", id):
        is_loaded = True
    assert is_loaded


def test_data_set_is_loaded_from_hub_despite_folder_with_name_of_owner(working_folder: Path) -> None:
    (working_folder / "owner").mkdir()
    with hub_errors("Data set", "owner/name"):
        pass


def test_offline_cache_is_tried_before_path_is_reported(working_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (working_folder / "owner").mkdir()
    monkeypatch.setattr(constants, "is_offline_mode", lambda: True)
    with hub_errors("Model", "owner/name"):
        pass  # the cache has the model
    assert "a folder owner here, and no name in it" in message_for(errors.OfflineModeIsEnabled("offline"))
    (working_folder / "owner").rmdir()
    assert "HF_HUB_OFFLINE is set" in message_for(errors.OfflineModeIsEnabled("offline"))


def test_unreachable_hub_gets_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import hf_hub_download

    monkeypatch.delenv("HTTPS_PROXY")
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        with hub_errors("Model", "owner/name"):
            assert not constants.is_offline_mode()
    requests: list[object] = []
    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", lambda *arguments: requests.append(arguments))
    with pytest.raises(UserError, match="not on this machine and the hub") as raised, hub_errors("Model", "owner/name"):
        hf_hub_download("owner/name", "config.json")
    assert "cannot be reached" in str(raised.value)
    assert not requests
    assert not constants.is_offline_mode()
    with hub_errors("Model", "./folder"):
        assert not constants.is_offline_mode()


def test_offline_mode_of_one_thread_does_not_affect_another(monkeypatch: pytest.MonkeyPatch) -> None:
    is_reachable = iter([False, True])  # the answers for the first and the second model
    monkeypatch.setattr("common.hub._is_hub_reachable", lambda: next(is_reachable))

    def is_offline_for_second_model() -> bool:
        with hub_errors("Model", "owner/second"):
            return constants.is_offline_mode()

    with ThreadPoolExecutor() as pool:
        with hub_errors("Model", "owner/first"):
            is_offline = pool.submit(is_offline_for_second_model)
            wait([is_offline], timeout=0.2)  # seconds, enough for the thread to start
            assert constants.is_offline_mode()
        assert not is_offline.result()


def test_full_disk_is_reported_for_every_source(tmp_path: Path) -> None:
    assert "disk is full" in message_for(OSError(errno.ENOSPC, "No space left"))
    assert "disk is full" in message_for(wrapped(OSError(errno.ENOSPC, "No space left")), str(tmp_path))


def test_errors_that_need_no_message_pass_through_unchanged() -> None:
    for error in (RuntimeError("CUDA out of memory"), AttributeError("bug"), UserError("message")):
        with pytest.raises(type(error)) as raised, hub_errors("Model", "owner/name"):
            raise error
        assert raised.value is error


def test_programming_error_in_offline_mode_is_not_reported_as_missing_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "is_offline_mode", lambda: True)
    with pytest.raises(AttributeError), hub_errors("Model", str(tmp_path)):
        raise AttributeError("bug")


def test_message_names_missing_package(tmp_path: Path) -> None:
    missing = ImportError("Loading a GPTQ model requires optimum (`pip install optimum`)\nmore")
    for id in ("owner/name", str(tmp_path)):
        assert (
            message_for(missing, id)
            == f"Model {id} needs a package that cannot be used here: {str(missing).splitlines()[0]}"
        )


def test_adapter_folder_as_model_gets_advice(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "Name it in llm.adapter" in message_for(OSError("no config.json"), str(tmp_path))


def test_broken_link_in_folder_is_reported(tmp_path: Path) -> None:
    """A snapshot folder of the hub's cache, copied without the files that its links point to."""
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).symlink_to(f"../../blobs/{name}")
    assert "config.json is a link to a file that does not exist" in message_for(OSError("no file"), str(tmp_path))


def test_cycle_of_causes_ends() -> None:
    first, second = OSError("a"), OSError("b")
    first.__cause__, second.__cause__ = second, first
    assert "cannot be loaded: a" in message_for(first)
