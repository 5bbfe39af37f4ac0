"""Modules for every package: errors, files, fingerprints, result cache, processor features, privacy."""

from common.logs import hush_bitsandbytes
from common.privacy import disable_telemetry

disable_telemetry()  # every package imports this one, so telemetry is off before any library starts
hush_bitsandbytes()
