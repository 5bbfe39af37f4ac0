"""Prometheus metrics of the service."""

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_SECONDS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_BATCH_SIZE_BUCKETS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """Metrics of one service; its methods may be called from any thread.

    Attributes:
        cancelled: requests whose client disconnected.
        batches: sizes of batches.
    """

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "medground_requests", "Requests by path and status.", ("path", "status"), registry=registry
        )
        self.cancelled = Counter("medground_cancelled", "Requests whose client disconnected.", registry=registry)
        self._seconds = Histogram(
            "medground_request_seconds",
            "Seconds from a request to the end of its answer.",
            buckets=_SECONDS_BUCKETS,
            registry=registry,
        )
        self.batches = Histogram(
            "medground_batch_size",
            "Questions in a pass through a model, or answers that are verified.",
            buckets=_BATCH_SIZE_BUCKETS,
            registry=registry,
        )

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a finished request; ``path`` is the route's, with parameter names in place of their values."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.observe(seconds)

    def gauge(self, name: str, description: str, value: Callable[[], float]) -> None:
        """Add a gauge; ``value`` is called whenever the metrics are read."""
        Gauge(f"medground_{name}", description, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)
