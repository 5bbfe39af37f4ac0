"""Modules for every package: errors, files, fingerprints, result cache, processor features, privacy."""

from common.logs import hush_bitsandbytes
from common.privacy import keep_private

keep_private()  # every package imports this one, so no library is asked before its telemetry is off
hush_bitsandbytes()
