"""Users and their bearer tokens."""

import hashlib
import hmac
import stat
from collections.abc import Mapping
from pathlib import Path

from common.errors import UserError
from common.privacy import is_loopback
from medground.service.config import ServeConfig
from medground.yaml_file import read_mapping

_MIN_LENGTH = 16  # characters of a token; fewer could be guessed


class Users:
    """The users and their tokens.

    Args:
        tokens: tokens by user. Without tokens, every client is ``local``.
        local: name of the only user if there are no tokens.
    """

    def __init__(self, tokens: Mapping[str, str], local: str) -> None:
        self._digests = {user: _digest(token) for user, token in tokens.items()}
        self.local = local

    @property
    def has_tokens(self) -> bool:
        """Whether clients need a token."""
        return bool(self._digests)

    def of_header(self, authorization: str | None) -> str | None:
        """The user of an ``Authorization`` header; None if clients need a token and the header has no valid one."""
        scheme, _, token = (authorization or "").partition(" ")
        return self.of_token(token.strip() if scheme.lower() == "bearer" else "")

    def of_token(self, token: str) -> str | None:
        """The user of a token; None if the token is unknown. The comparison takes the same time for every token."""
        if not self.has_tokens:
            return self.local
        digest = _digest(token)
        users = [user for user, known in self._digests.items() if hmac.compare_digest(known, digest)]
        return users[0] if users else None


def load_users(config: ServeConfig, local: str) -> Users:
    """The users of the settings and of the tokens file.

    Raises:
        UserError: the file cannot be read, has no tokens, or can be read by other users of the machine; a token is too
            short or belongs to two users; or the service would listen beyond this machine without tokens.
    """
    tokens = {user: token.get_secret_value() for user, token in config.tokens.items()}
    if config.tokens_file is not None:
        path = Path(config.tokens_file).expanduser()
        mapping = read_mapping(path)
        if not mapping:
            raise UserError(f"{path}: it has no tokens. Add a line NAME: TOKEN for each user.")
        for user, token in mapping.items():
            if not isinstance(token, str):
                raise UserError(f"{path}: the token of {user} is not text. Put it in quotes.")
            if user in tokens:
                raise UserError(f"{path}: {user} also has a token in serve.tokens. Remove one of them.")
            tokens[user] = token
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise UserError(f"{path}: other users of this machine may read or change the tokens. Run: chmod 600 {path}")
    for user, token in tokens.items():
        if not user.strip():
            raise UserError("serve.tokens: a user has no name. Give each token the name of its user.")
        if len(token) < _MIN_LENGTH or not token.isascii() or any(map(str.isspace, token)):
            raise UserError(
                f"The token of {user} must have {_MIN_LENGTH} or more ASCII characters and no spaces. Make one with "
                "python -c 'import secrets; print(secrets.token_urlsafe(32))'."
            )
    if len(set(tokens.values())) < len(tokens):
        raise UserError("Two users have the same token. Give each user a different one.")
    if not tokens and not is_loopback(config.host):
        raise UserError(
            f"serve.host is {config.host}, which other machines can reach, and there are no tokens. Set "
            "serve.tokens_file to a file with a line NAME: TOKEN for each user, or serve.host to 127.0.0.1."
        )
    return Users(tokens, local)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
