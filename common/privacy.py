"""Telemetry and tracing of the libraries, off unless the user has turned them on; which addresses are local.

Each library reads its own environment variable, and what the user has set there always wins. The variables, and where
each is read:

- ``HF_HUB_DISABLE_TELEMETRY``: huggingface_hub/constants.py, once, at import. It covers transformers and trl, which ask
  that constant, and the harness list that huggingface_hub would fetch for its user agent.
- ``ANONYMIZED_TELEMETRY``: chromadb/config.py, whenever ``Settings()`` is made.
- ``LANGSMITH_TRACING``: langsmith/utils.py, after ``LANGSMITH_TRACING_V2`` and ``LANGCHAIN_TRACING_V2``, so a user's
  value in any of the three still turns tracing on.
- ``ORT_DISABLE_TELEMETRY``: the native library of onnxruntime (1.29 and later), once, at import. Without it, official
  builds collect events in a database below the user's cache and send them to mobile.events.data.microsoft.com.
"""

import ipaddress
import os
import sys

QUIET: dict[str, str] = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "ANONYMIZED_TELEMETRY": "False",
    "LANGSMITH_TRACING": "false",
    "ORT_DISABLE_TELEMETRY": "1",
}


def keep_private() -> None:
    """Set each variable of ``QUIET`` that the environment lacks; safe to call again."""
    unset = {name for name in QUIET if name not in os.environ}
    for name in unset:
        os.environ[name] = QUIET[name]
    constants = sys.modules.get("huggingface_hub.constants")
    if constants is not None and "HF_HUB_DISABLE_TELEMETRY" in unset:
        # The caller imported huggingface_hub before us: it has read its variable, and will not again.
        constants.HF_HUB_DISABLE_TELEMETRY = True  # type: ignore[attr-defined]
    onnxruntime = sys.modules.get("onnxruntime")
    if onnxruntime is not None and "ORT_DISABLE_TELEMETRY" in unset:
        onnxruntime.disable_telemetry_events()  # imported before: the variable comes too late


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
