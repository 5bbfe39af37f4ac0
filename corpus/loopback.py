"""Which addresses lie on this machine."""

import ipaddress


def is_loopback(host: str | None) -> bool:
    """Whether a host name or address, as a URL has it, can only mean this machine."""
    if host is None:
        return False
    host = host.strip("[]").rstrip(".").lower()
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
