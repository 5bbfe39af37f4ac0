"""Session cookies of the page, and the limit on login attempts."""

import ipaddress
import math
import secrets
import time
from collections import OrderedDict, deque
from http.cookies import SimpleCookie
from typing import NamedTuple

from itsdangerous import BadSignature, URLSafeTimedSerializer


class _Session(NamedTuple):
    user: str
    id: str


class Sessions:
    """Issues, checks and revokes session cookies.

    A cookie has the user's name and a random id, signed with a key that exists only in this process. So a restart ends
    all sessions, no key can be stolen from the disk, and a revoked session stays revoked.

    Args:
        hours: lifetime of a session.
        secure: whether the cookie is sent over https only.
    """

    def __init__(self, hours: float, *, secure: bool) -> None:
        self._seconds = math.ceil(3600 * hours)
        self._secure = secure
        self._signer = URLSafeTimedSerializer(secrets.token_bytes(32), salt="session")
        self._revoked: dict[str, float] = {}  # expiry time by session id
        self.name = "__Host-medground" if secure else "medground"

    def issue(self, user: str) -> str:
        """The ``Set-Cookie`` header of a new session."""
        return self._header(self._signer.dumps([user, secrets.token_urlsafe(16)]), self._seconds)

    def user(self, cookie: str | None) -> str | None:
        """The user of a cookie; None if it is forged, expired or revoked."""
        session = self._read(cookie)
        return None if session is None or session.id in self._revoked else session.user

    def revoke(self, cookie: str | None) -> str:
        """End a session and return the ``Set-Cookie`` header that deletes the cookie."""
        now = time.time()
        self._revoked = {id: end for id, end in self._revoked.items() if end > now}
        if (session := self._read(cookie)) is not None:
            self._revoked[session.id] = now + self._seconds
        return self._header("", 0)

    def _read(self, cookie: str | None) -> _Session | None:
        try:
            user, id = self._signer.loads(cookie or "", max_age=self._seconds)
        except BadSignature:
            return None
        return _Session(user, id)

    def _header(self, value: str, seconds: int) -> str:
        cookie: SimpleCookie = SimpleCookie()
        cookie[self.name] = value
        attributes = {"path": "/", "max-age": str(seconds), "httponly": "1", "samesite": "Strict"}
        cookie[self.name].update(attributes | ({"secure": "1"} if self._secure else {}))
        return cookie.output(header="").strip()


class Attempts:
    """Failed logins of each client address; a client with too many has to wait.

    Args:
        most: maximum number of failed logins within ``seconds``.
        seconds: time until a failed login no longer counts.
        addresses: maximum number of stored addresses; beyond it, the one with the oldest failure is dropped.
    """

    def __init__(self, most: int = 10, seconds: float = 300, addresses: int = 1024) -> None:
        self._most, self._seconds, self._addresses = most, seconds, addresses
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_seconds(self, address: str) -> int:
        """Seconds until the address may try again; 0 if it may now."""
        times = self._failed.get(_network(address), deque())
        now = time.monotonic()
        while times and times[0] <= now - self._seconds:
            times.popleft()
        return math.ceil(times[0] + self._seconds - now) if len(times) >= self._most else 0

    def record_failure(self, address: str) -> None:
        """Count a failed login."""
        network = _network(address)
        times = self._failed.setdefault(network, deque(maxlen=self._most))
        times.append(time.monotonic())
        self._failed.move_to_end(network)
        while len(self._failed) > self._addresses:
            self._failed.popitem(last=False)


def _network(address: str) -> str:
    """The address; for IPv6 its /64 network, all of which may belong to one client."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))
