"""Users and tokens: authentication by header, and rejected settings."""

from pathlib import Path

import pytest

from common.errors import UserError
from medground.service.config import ServeConfig
from medground.service.users import Users, load_users

ANN_TOKEN, BOB_TOKEN = "a" * 20, "b" * 20


def test_without_tokens_every_client_is_the_local_user() -> None:
    users = Users({}, "local")
    assert not users.has_tokens
    assert [users.of_header(header) for header in (None, "", "Bearer x")] == ["local"] * 3


@pytest.mark.parametrize(("header", "user"), [(f"Bearer {ANN_TOKEN}", "ann"), (f"bearer  {BOB_TOKEN} ", "bob")])
def test_bearer_token_identifies_its_user(header: str, user: str) -> None:
    assert Users({"ann": ANN_TOKEN, "bob": BOB_TOKEN}, "local").of_header(header) == user


def test_other_authorization_headers_identify_no_user() -> None:
    users = Users({"ann": ANN_TOKEN, "bob": BOB_TOKEN}, "local")
    invalid = [ANN_TOKEN, f"Basic {ANN_TOKEN}", f"Bearer {ANN_TOKEN}x", f"Bearer {ANN_TOKEN[:-1]}", "Bearer ä\ud800"]
    for header in (*invalid, None, "", "Bearer", "Bearer "):
        assert users.of_header(header) is None, header


def test_tokens_of_the_settings_and_of_the_file_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_text(f"bob: {BOB_TOKEN}\n")
    path.chmod(0o600)
    users = load_users(ServeConfig(host="0.0.0.0", tokens={"ann": ANN_TOKEN}, tokens_file=str(path)), "local")
    assert (users.of_token(ANN_TOKEN), users.of_token(BOB_TOKEN), users.of_token("")) == ("ann", "bob", None)


def error_message(tmp_path: Path, tokens_yaml: str | None = None, **config: object) -> str:
    """The error for a section ``serve``, with the content of the tokens file if there is one."""
    if tokens_yaml is not None:
        path = tmp_path / "tokens.yaml"
        path.write_text(tokens_yaml)
        path.chmod(0o600)
        config["tokens_file"] = str(path)
    with pytest.raises(UserError) as caught:
        load_users(ServeConfig(**config), "local")
    return str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "medground.example"])
def test_hosts_that_other_machines_can_reach_need_tokens(tmp_path: Path, host: str) -> None:
    message = error_message(tmp_path, host=host)
    assert f"serve.host is {host}, which other machines can reach, and there are no tokens" in message


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.9"])
def test_loopback_hosts_need_no_tokens(host: str) -> None:
    assert not load_users(ServeConfig(host=host), "local").has_tokens


def test_invalid_tokens_are_reported(tmp_path: Path) -> None:
    assert "The token of ann must have 16 or more" in error_message(tmp_path, tokens={"ann": "short"})
    assert "must have 16" in error_message(tmp_path, f"ann: {'ä' * 20}\n")
    assert "Two users have the same token" in error_message(tmp_path, f"bob: {ANN_TOKEN}\n", tokens={"ann": ANN_TOKEN})
    assert "ann also has a token in serve.tokens" in error_message(
        tmp_path, f"ann: {BOB_TOKEN}\n", tokens={"ann": ANN_TOKEN}
    )
    assert "the token of ann is not text" in error_message(tmp_path, "ann: 1234567890123456\n")
    assert "tokens.yaml: it has no tokens" in error_message(tmp_path, "# ann: removed\n")
    assert "a user has no name" in error_message(tmp_path, tokens={" ": ANN_TOKEN})
    assert "nothing.yaml" in error_message(tmp_path, tokens_file=str(tmp_path / "nothing.yaml"))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o777])
def test_tokens_file_with_permissions_for_other_users_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_text(f"bob: {BOB_TOKEN}\n")
    path.chmod(mode)
    with pytest.raises(UserError, match=rf"tokens\.yaml: other users .* Run: chmod 600 {path}"):
        load_users(ServeConfig(tokens_file=str(path)), "local")


def test_tokens_are_not_in_the_printed_or_dumped_settings() -> None:
    config = ServeConfig(tokens={"ann": ANN_TOKEN})
    assert ANN_TOKEN not in f"{config!r} {config.model_dump(mode='json')} {config.model_dump_json()}"
