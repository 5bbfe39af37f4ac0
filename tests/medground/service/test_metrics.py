"""Metrics in Prometheus' text format."""

from medground.service.metrics import Metrics


def test_counters_histograms_and_gauges_are_in_the_text() -> None:
    metrics = Metrics()
    for seconds in (0.004, 0.005, 0.2, 500):
        metrics.request("/v1/models", 200, seconds)
    metrics.request("/v1/models", 401, 0)
    metrics.batches.observe(3)
    metrics.batches.observe(16)
    metrics.cancelled.inc()
    metrics.gauge("active_requests", "Requests that hold a slot.", lambda: 2)
    lines = metrics.text().decode().splitlines()
    for line in (
        'medground_requests_total{path="/v1/models",status="200"} 4.0',
        'medground_requests_total{path="/v1/models",status="401"} 1.0',
        'medground_request_seconds_bucket{le="0.005"} 3.0',
        'medground_request_seconds_bucket{le="0.25"} 4.0',
        'medground_request_seconds_bucket{le="120.0"} 4.0',
        'medground_request_seconds_bucket{le="+Inf"} 5.0',
        "medground_request_seconds_count 5.0",
        'medground_batch_size_bucket{le="4.0"} 1.0',
        'medground_batch_size_bucket{le="16.0"} 2.0',
        "medground_batch_size_sum 19.0",
        "medground_cancelled_total 1.0",
        "# TYPE medground_active_requests gauge",
        "medground_active_requests 2.0",
    ):
        assert line in lines
    assert len(lines) == len(set(lines))
