"""Each way that a model can fail to load has its own sentence."""

import errno
import socket
from pathlib import Path

import httpx
import pytest
from huggingface_hub import constants, errors
from safetensors import SafetensorError

from common.errors import UserError
from common.hub import hub_errors


@pytest.fixture(autouse=True)
def proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a proxy the hub is not connected to before a call."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")


def answer(kind: type[errors.HfHubHTTPError], status: int) -> errors.HfHubHTTPError:
    request = httpx.Request("GET", "https://huggingface.co/owner/name/resolve/main/config.json")
    return kind(f"{status} Client Error.", response=httpx.Response(status, request=request))


def wrapped(cause: Exception) -> OSError:
    """The cause inside an OSError, as transformers passes it on."""
    try:
        try:
            raise cause
        except Exception as inner:
            raise OSError("something went wrong with owner/name") from inner
    except OSError as outer:
        return outer


def sentence(error: Exception, id: str = "owner/name", **options: str) -> str:
    with pytest.raises(UserError) as raised, hub_errors("Model", id, **options):  # type: ignore[arg-type]
        raise error
    assert raised.value.__cause__ is error
    return str(raised.value)


REMOTE = {
    "gated": (answer(errors.GatedRepoError, 403), ["is gated", "/owner/name in a browser", "accept", "hf auth login"]),
    "absent": (answer(errors.RepositoryNotFoundError, 404), ["nothing by this name", "spelling"]),
    "revision": (answer(errors.RevisionNotFoundError, 404), ["no such revision"]),
    "file": (answer(errors.RemoteEntryNotFoundError, 404), ["lacks a file"]),
    "token": (answer(errors.HfHubHTTPError, 401), ["refused this machine's token"]),
    "busy": (answer(errors.HfHubHTTPError, 429), ["too many requests"]),
    "broken hub": (answer(errors.HfHubHTTPError, 503), ["status 503"]),
    "unreachable": (httpx.ConnectError("refused"), ["cannot be reached", constants.ENDPOINT]),
    "dropped": (httpx.RemoteProtocolError("peer closed"), ["broke during the download", "to resume it"]),
    "slow": (httpx.ReadTimeout("slow"), ["broke during the download"]),
    "not connected": (errors.OfflineModeIsEnabled("offline"), ["cannot be reached"]),
    "weights": (SafetensorError("header too large"), ["weights file is broken", "header too large"]),
    "other": (ValueError("Unrecognized model\nmore"), ["cannot be loaded: Unrecognized model"]),
}


@pytest.mark.parametrize("kind", REMOTE)
def test_each_trouble_with_the_hub(kind: str) -> None:
    error, parts = REMOTE[kind]
    for shape in (error, wrapped(error)):
        if kind == "other" and shape is not error:
            continue
        message = sentence(shape)
        assert message.startswith("Model owner/name")
        assert all(part in message for part in parts)


def test_a_data_sets_page_is_another() -> None:
    assert "/datasets/owner/name in" in sentence(answer(errors.GatedRepoError, 403), repo_type="dataset")


def test_paths(tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(b"")
    assert "no such folder" in sentence(OSError("x"), str(tmp_path / "absent"))
    assert "no such folder" in sentence(errors.HFValidationError("x"), "./absent")
    assert "is a file" in sentence(OSError("x"), str(file))
    assert "has no model that can be loaded" in sentence(ValueError("no model_type"), str(tmp_path))
    assert "may not be read" in sentence(PermissionError(errno.EACCES, "denied", "config.json"), str(tmp_path))
    assert "weights file is broken" in sentence(SafetensorError("short"), str(tmp_path))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "adapters" / "int1").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(id: str) -> str:
    """What is said before the hub is asked."""
    with pytest.raises(UserError) as raised, hub_errors("Adapter", id):
        pytest.fail("the hub is asked")
    return str(raised.value)


@pytest.mark.usefixtures("here")
def test_a_name_below_a_folder_that_is_here_is_not_asked_of_the_hub() -> None:
    told = refusal("adapters/int2")
    assert told.startswith(
        "Adapter adapters/int2: there is a folder adapters here, and no int2 in it (it holds int1). Check the path; "
    )
    assert "if you mean adapters/int2 on the hub, start the command where there is no folder adapters" in told
    assert refusal("adapters/int1/last").endswith("no last in it (it is empty). Check the path.")
    assert "folder adapters here, and no a/b in it" in refusal("./adapters/a/b")
    for number in range(2, 8):
        Path(f"adapters/int{number}").mkdir()
    assert "(it holds int1, int2, int3, int4, int5, ...)" in refusal("adapters/none")


@pytest.mark.parametrize("id", ["owner/name", "adapters/int1", "adapters", "name"])
@pytest.mark.usefixtures("here")
def test_other_names_are(id: str) -> None:
    asked = False
    with hub_errors("Adapter", id):
        asked = True
    assert asked


def test_a_data_set_has_names_of_the_hub_only(here: Path) -> None:
    (here / "owner").mkdir()
    with hub_errors("Data set", "owner/name", repo_type="dataset"):
        pass


def test_offline_the_cache_is_asked_first(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "owner").mkdir()
    monkeypatch.setattr(constants, "is_offline_mode", lambda: True)
    with hub_errors("Model", "owner/name"):
        pass  # it is there
    assert "a folder owner here, and no name in it" in sentence(errors.OfflineModeIsEnabled("offline"))
    (here / "owner").rmdir()
    assert "HF_HUB_OFFLINE is set" in sentence(errors.OfflineModeIsEnabled("offline"))


def test_a_hub_that_cannot_be_reached_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import hf_hub_download

    monkeypatch.delenv("HTTPS_PROXY")
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        with hub_errors("Model", "owner/name"):
            assert not constants.is_offline_mode()
    asked: list[object] = []
    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", lambda *given: asked.append(given))
    with pytest.raises(UserError, match="not on this machine and the hub") as raised, hub_errors("Model", "owner/name"):
        hf_hub_download("owner/name", "config.json")
    assert "cannot be reached" in str(raised.value)
    assert not asked
    assert not constants.is_offline_mode()
    with hub_errors("Model", "./folder"):
        assert not constants.is_offline_mode()


def test_a_full_disk_comes_before_all_else(tmp_path: Path) -> None:
    assert "disk is full" in sentence(OSError(errno.ENOSPC, "No space left"))
    assert "disk is full" in sentence(wrapped(OSError(errno.ENOSPC, "No space left")), str(tmp_path))


def test_what_is_not_about_the_source_passes_through() -> None:
    for error in (RuntimeError("CUDA out of memory"), AttributeError("a mistake of ours"), UserError("mine")):
        with pytest.raises(type(error)) as raised, hub_errors("Model", "owner/name"):
            raise error
        assert raised.value is error


def test_offline_a_mistake_of_ours_is_not_a_missing_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "is_offline_mode", lambda: True)
    with pytest.raises(AttributeError), hub_errors("Model", str(tmp_path)):
        raise AttributeError("a mistake of ours")


def test_a_package_that_a_model_needs_is_named(tmp_path: Path) -> None:
    missing = ImportError("Loading a GPTQ model requires optimum (`pip install optimum`)\nmore")
    for id in ("owner/name", str(tmp_path)):
        told = sentence(missing, id)
        assert told == f"Model {id} needs a package that cannot be used here: {str(missing).splitlines()[0]}"


def test_an_adapter_named_as_a_model(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "Name it in llm.adapter" in sentence(OSError("no config.json"), str(tmp_path))


def test_a_circle_of_causes_ends() -> None:
    first, second = OSError("a"), OSError("b")
    first.__cause__, second.__cause__ = second, first
    assert "cannot be loaded: a" in sentence(first)
