"""Session cookies of the page, and the limit on login attempts."""

import ipaddress
import math
import secrets
import time
from collections import OrderedDict, deque
from http.cookies import SimpleCookie

from itsdangerous import BadSignature, URLSafeTimedSerializer


class Sessions:
    """Issues, checks and revokes session cookies.

    A cookie has the user's name and a random id, signed with a key that exists only in this process. A restart
    therefore ends all sessions, so revoked ones are kept in memory only. No key can be stolen from the disk.

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
        user, id = self._read(cookie)
        return None if id in self._revoked else user

    def revoke(self, cookie: str | None) -> str:
        """End a session and return the ``Set-Cookie`` header that deletes the cookie."""
        now = time.time()
        self._revoked = {id: expiry for id, expiry in self._revoked.items() if expiry > now}
        _, id = self._read(cookie)
        if id is not None:
            self._revoked[id] = now + self._seconds
        return self._header("", 0)

    def _read(self, cookie: str | None) -> tuple[str, str] | tuple[None, None]:
        """User and id of the session of a cookie; ``(None, None)`` if the cookie is forged or expired."""
        try:
            user, id = self._signer.loads(cookie or "", max_age=self._seconds)
        except BadSignature:
            return None, None
        return user, id

    def _header(self, value: str, seconds: int) -> str:
        cookie: SimpleCookie = SimpleCookie()
        cookie[self.name] = value
        attributes = {"path": "/", "max-age": str(seconds), "httponly": "1", "samesite": "Strict"}
        cookie[self.name].update(attributes | ({"secure": "1"} if self._secure else {}))
        return cookie.output(header="").strip()


class LoginLimiter:
    """Limits the failed logins of each client address.

    Args:
        max_failures: maximum number of failed logins within ``seconds``.
        seconds: time until a failed login no longer counts.
        max_addresses: maximum number of stored addresses; beyond it, the address that failed longest ago is dropped.
    """

    def __init__(self, max_failures: int = 10, seconds: float = 300, max_addresses: int = 1024) -> None:
        self._max_failures, self._seconds, self._max_addresses = max_failures, seconds, max_addresses
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()  # times of failed logins, by network

    def wait_seconds(self, address: str) -> int:
        """Seconds until the address may try again; 0 if it may now."""
        times = self._failures.get(_network(address), deque())
        now = time.monotonic()
        while times and times[0] <= now - self._seconds:
            times.popleft()
        return math.ceil(times[0] + self._seconds - now) if len(times) >= self._max_failures else 0

    def record_failure(self, address: str) -> None:
        """Count a failed login."""
        network = _network(address)
        self._failures.setdefault(network, deque(maxlen=self._max_failures)).append(time.monotonic())
        self._failures.move_to_end(network)
        while len(self._failures) > self._max_addresses:
            self._failures.popitem(last=False)


def _network(address: str) -> str:
    """The address; for IPv6 its /64 network, all of which may belong to one client.

    An IPv4 address may be written as IPv6, such as ::ffff:10.0.0.1 in ``X-Forwarded-For``.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address) or parsed.ipv4_mapped is not None:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))
