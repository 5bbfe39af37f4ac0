from pathlib import Path

import pytest

from common.errors import UserError
from medground.service.config import ServeConfig
from medground.service.users import Users, load_users

A, B = "a" * 20, "b" * 20


def test_without_tokens_everyone_is_the_local_user() -> None:
    users = Users({}, "local")
    assert not users.has_tokens
    assert [users.of_header(header) for header in (None, "", "Bearer x")] == ["local"] * 3


@pytest.mark.parametrize(
    ("header", "user"),
    [
        (f"Bearer {A}", "ann"), (f"bearer  {B} ", "bob"), (None, None), ("", None), ("Bearer", None), ("Bearer ", None),
        (f"Basic {A}", None), (A, None), (f"Bearer {A}x", None), (f"Bearer {A[:-1]}", None), ("Bearer ä\ud800", None),
    ],
)  # fmt: skip
def test_a_token_is_one_users(header: str | None, user: str | None) -> None:
    assert Users({"ann": A, "bob": B}, "local").of_header(header) == user


def test_tokens_come_from_the_settings_and_a_file(tmp_path: Path) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_text(f"bob: {B}\n")
    path.chmod(0o600)
    users = load_users(ServeConfig(host="0.0.0.0", tokens={"ann": A}, tokens_file=str(path)), "local")
    assert (users.of_token(A), users.of_token(B), users.of_token("")) == ("ann", "bob", None)


def refusal(tmp_path: Path, text: str | None = None, **config: object) -> str:
    if text is not None:
        (tmp_path / "t.yaml").write_text(text)
        (tmp_path / "t.yaml").chmod(0o600)
        config["tokens_file"] = str(tmp_path / "t.yaml")
    with pytest.raises(UserError) as caught:
        load_users(ServeConfig(**config), "local")
    return str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "medground.example"])
def test_other_addresses_need_tokens(tmp_path: Path, host: str) -> None:
    assert f"serve.host is {host}, which other machines can reach, and there are no tokens" in refusal(
        tmp_path, host=host
    )
    for own in ("127.0.0.1", "localhost", "::1", "127.0.0.9"):
        assert not load_users(ServeConfig(host=own), "local").has_tokens


def test_tokens_that_are_not_fit(tmp_path: Path) -> None:
    assert "The token of ann must have 16 or more" in refusal(tmp_path, tokens={"ann": "short"})
    assert "must have 16" in refusal(tmp_path, f"ann: {'ä' * 20}\n")
    assert "Two users have the same token" in refusal(tmp_path, f"bob: {A}\n", tokens={"ann": A})
    assert "ann also has a token in serve.tokens" in refusal(tmp_path, f"ann: {B}\n", tokens={"ann": A})
    assert "the token of ann is not text" in refusal(tmp_path, "ann: 1234567890123456\n")
    assert "a user has no name" in refusal(tmp_path, tokens={" ": A})
    assert "nothing.yaml" in refusal(tmp_path, tokens_file=str(tmp_path / "nothing.yaml"))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o777])
def test_a_tokens_file_that_others_may_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_text(f"bob: {B}\n")
    path.chmod(mode)
    with pytest.raises(UserError, match=rf"tokens\.yaml: other users .* Run: chmod 600 {path}"):
        load_users(ServeConfig(tokens_file=str(path)), "local")


def test_tokens_are_not_printed_with_the_settings() -> None:
    config = ServeConfig(tokens={"ann": A})
    assert A not in f"{config!r} {config.model_dump(mode='json')} {config.model_dump_json()}"
