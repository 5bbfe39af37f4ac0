"""Who asks: a bearer token is one user's."""

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path

from common.errors import UserError
from common.privacy import is_loopback
from medground.service.config import ServeConfig
from medground.yaml_file import read_mapping

_SHORTEST = 16  # characters of a token: fewer could be guessed


class Users:
    """The users and their tokens.

    Args:
        tokens: by user; none lets everyone in as ``local``.
        local: the user without tokens.
    """

    def __init__(self, tokens: Mapping[str, str], local: str) -> None:
        self._digests = {user: _digest(token) for user, token in tokens.items()}
        self.local = local

    @property
    def open(self) -> bool:
        """Whether no token is needed."""
        return not self._digests

    def of_header(self, authorization: str | None) -> str | None:
        """The user of an ``Authorization`` header; None where it has no valid token."""
        scheme, _, token = (authorization or "").partition(" ")
        return self.of_token(token.strip() if scheme.lower() == "bearer" else "")

    def of_token(self, token: str) -> str | None:
        """The user of a token, None where it is nobody's; it takes as long for any token."""
        if self.open:
            return self.local
        digest = _digest(token)
        found = [user for user, own in self._digests.items() if hmac.compare_digest(own, digest)]
        return found[0] if found else None


def load_users(config: ServeConfig, local: str) -> Users:
    """The users of the settings and of the tokens' file.

    Raises:
        UserError: the file cannot be read, a token is short or two users', or the service is to listen beyond this
            machine without any.
    """
    tokens = {user: token.get_secret_value() for user, token in config.tokens.items()}
    if config.tokens_file is not None:
        path = Path(config.tokens_file).expanduser()
        for user, token in read_mapping(path).items():
            if not isinstance(token, str):
                raise UserError(f"{path}: the token of {user} is no text. Put it in quotes.")
            if user in tokens:
                raise UserError(f"{path}: {user} has a token in serve.tokens already. Take one of them out.")
            tokens[str(user)] = token
    for user, token in tokens.items():
        if not user.strip():
            raise UserError("serve.tokens: a user has no name. Give each token the name of its user.")
        if len(token) < _SHORTEST or not token.isascii() or any(map(str.isspace, token)):
            raise UserError(
                f"The token of {user} must have {_SHORTEST} or more ASCII characters and no spaces. Make one with "
                "python -c 'import secrets; print(secrets.token_urlsafe(32))'."
            )
    if len(set(tokens.values())) < len(tokens):
        raise UserError("Two users have the same token. Give each one of their own.")
    if not tokens and not is_loopback(config.host):
        raise UserError(
            f"serve.host is {config.host}, which others can reach, and there are no tokens. Set serve.tokens_file to a "
            "file with a line NAME: TOKEN for each user, or serve.host to 127.0.0.1."
        )
    return Users(tokens, local)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
