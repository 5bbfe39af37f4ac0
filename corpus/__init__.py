"""Reads: PubMedQA, the user's documents, the embedded sample."""

from corpus.privacy import keep_private
from corpus.quiet import hush_bitsandbytes

keep_private()  # every room imports this one, so no library is asked before its telemetry is off
hush_bitsandbytes()
