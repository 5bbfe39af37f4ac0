"""Counts of what the service did, in Prometheus' text format (version 0.0.4)."""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


class _Histogram:
    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, help: str) -> list[str]:
        lines, total = [f"# HELP {name} {help}", f"# TYPE {name} histogram"], 0
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            lines.append(f'{name}_bucket{{le="{bound}"}} {total}')
        return [*lines, f"{name}_sum {self._sum}", f"{name}_count {total}"]


class Metrics:
    """Counters that any thread may add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._cancelled = 0
        self._seconds = _Histogram(_SECONDS)
        self._batches = _Histogram(_SIZES)

    def request(self, path: str, status: int, seconds: float) -> None:
        """A request of the API ended; ``path`` is the route's, with names in place of ids."""
        with self._lock:
            self._requests[path, status] += 1
            self._seconds.observe(seconds)

    def cancelled(self) -> None:
        """A client went away before it had its answer."""
        with self._lock:
            self._cancelled += 1

    def batch(self, size: int) -> None:
        """A pass went through the model."""
        with self._lock:
            self._batches.observe(size)

    def text(self, gauges: Mapping[str, int]) -> str:
        """All of it; ``gauges`` are what stands at this moment, by name."""
        with self._lock:
            lines = [
                "# HELP medground_requests_total Requests by path and status.",
                "# TYPE medground_requests_total counter",
                *(
                    f'medground_requests_total{{path="{path}",status="{status}"}} {count}'
                    for (path, status), count in sorted(self._requests.items())
                ),
                "# HELP medground_cancelled_total Requests whose client went away.",
                "# TYPE medground_cancelled_total counter",
                f"medground_cancelled_total {self._cancelled}",
                *self._seconds.lines("medground_request_seconds", "Seconds from a request to the end of its answer."),
                *self._batches.lines(
                    "medground_batch_size", "Questions in a pass through a model, or answers that are judged."
                ),
            ]
        for name, value in gauges.items():
            lines += [f"# TYPE medground_{name} gauge", f"medground_{name} {value}"]
        return "\n".join(lines) + "\n"
