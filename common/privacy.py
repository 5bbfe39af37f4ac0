"""Telemetry and tracing of the libraries, off by default; detection of local addresses.

An environment variable that the user has set is never changed. Each variable is read by this code:

- ``HF_HUB_DISABLE_TELEMETRY``: huggingface_hub/constants.py, at import. The variable also covers transformers and trl.
- ``ANONYMIZED_TELEMETRY``: chromadb/config.py, in ``Settings()``.
- ``LANGSMITH_TRACING``: langsmith/utils.py, after ``LANGSMITH_TRACING_V2`` and ``LANGCHAIN_TRACING_V2``. Each of the
  three can turn tracing on.
- ``ORT_DISABLE_TELEMETRY``: the native library of onnxruntime (1.29 and later), at import. Without the variable,
  official builds send events to mobile.events.data.microsoft.com.
"""

import ipaddress
import os
import sys

TELEMETRY_OFF = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "ANONYMIZED_TELEMETRY": "False",
    "LANGSMITH_TRACING": "false",
    "ORT_DISABLE_TELEMETRY": "1",
}


def disable_telemetry() -> None:
    """Set the variables of ``TELEMETRY_OFF`` that are unset."""
    unset = {name for name in TELEMETRY_OFF if name not in os.environ}
    for name in unset:
        os.environ[name] = TELEMETRY_OFF[name]
    constants = sys.modules.get("huggingface_hub.constants")
    if constants is not None and "HF_HUB_DISABLE_TELEMETRY" in unset:
        # A library that is already imported does not read its variable again.
        constants.HF_HUB_DISABLE_TELEMETRY = True  # type: ignore[attr-defined]
    onnxruntime = sys.modules.get("onnxruntime")
    if onnxruntime is not None and "ORT_DISABLE_TELEMETRY" in unset:
        onnxruntime.disable_telemetry_events()


def is_loopback(host: str | None) -> bool:
    """Whether a URL's host is ``localhost`` or a loopback address, which can only be this machine."""
    if host is None:
        return False
    host = host.strip("[]").rstrip(".").lower()
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
