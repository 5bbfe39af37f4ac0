"""Throughput and latency of ``medground serve`` with one client, then with many, on the same machine.

    python benchmarks/serve.py --clients 64 --seconds 60

The clients run in another process than the service, connect over loopback and ask the sample's questions; each client
sends its next question after an answer. A request with status 429 is counted and repeated after a short pause.
"""

import asyncio
import contextlib
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import bench

from common.errors import UserError
from corpus.config import DataConfig
from corpus.load import load_records


@contextlib.contextmanager
def serving(folder: str, settings: list[str]) -> Iterator[str]:
    """Run a service over the sample and yield its address.

    Raises:
        UserError: the service does not start.
    """
    options = [part for setting in ("serve.page=false", *settings) for part in ("--set", setting)]
    command = [sys.executable, "-m", "medground", "serve", "--port", "0", "--quiet", *options]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        messages = []
        for line in process.stderr:
            if match := re.search(r"Serving at (\S+);", line):
                break
            messages.append(line)
        else:
            raise UserError(f"The service did not start: {''.join(messages).strip()}")
        # Reads the rest of the messages, so that the service never waits for the pipe.
        reader = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
        try:
            yield match[1]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            reader.wait()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, question: str) -> int:
    """Request a completion and return the status code.

    The HTTP is written here because a client library would use more processor time than the service.
    """
    body = json.dumps({"model": "medground", "messages": [{"role": "user", "content": question}]}).encode()
    request = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    writer.write(f"{request}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = re.search(r"content-length: (\d+)", head)
    assert length is not None, head
    await reader.readexactly(int(length[1]))
    return int(head.split()[1])


async def measure_load(url: str, clients: int, seconds: float, questions: list[str]) -> dict[str, Any]:
    """Throughput and latency percentiles with ``clients`` clients for ``seconds``.

    Raises:
        UserError: no request was answered.
    """
    statuses: Counter[int] = Counter()
    latencies: list[float] = []
    address = urlsplit(url)
    end = time.monotonic() + seconds

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        index = number
        while time.monotonic() < end:
            started = time.monotonic()
            status = await ask(reader, writer, questions[index % len(questions)])
            statuses[status] += 1
            if status == 200:
                latencies.append(time.monotonic() - started)
                index += clients
            else:
                await asyncio.sleep(0.1)
        writer.close()

    started = time.monotonic()
    await asyncio.gather(*(client(number) for number in range(clients)))
    duration = time.monotonic() - started
    if not latencies:
        raise UserError(f"No request was answered; the numbers of responses by status are {dict(statuses)}.")
    latencies.sort()
    return {
        "clients": clients,
        "seconds": round(duration, 1),
        "answered": len(latencies),
        "per_second": round(len(latencies) / duration, 2),
        "p50_ms": round(1000 * latencies[len(latencies) // 2]),
        "p99_ms": round(1000 * latencies[int(0.99 * (len(latencies) - 1))]),
        "share_429": round(statuses[429] / statuses.total(), 4),
        "other": {str(status): count for status, count in statuses.items() if status not in (200, 429)},
    }


def main() -> None:
    """Measure, print and write the figures."""
    parser = bench.make_parser(__doc__)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--set", action="append", default=[], help="a setting of the service, KEY=VALUE")
    options = parser.parse_args()
    questions = [record.question for record in load_records(DataConfig(split="all"))]
    with tempfile.TemporaryDirectory() as folder, serving(folder, options.set) as url:
        asyncio.run(measure_load(url, 4, 3, questions))  # warm up
        one = asyncio.run(measure_load(url, 1, options.seconds / 2, questions))
        many = asyncio.run(measure_load(url, options.clients, options.seconds, questions))
    ratio = round(many["per_second"] / one["per_second"], 2)
    report = {"one": one, "many": many, "ratio": ratio}
    print(json.dumps(report, indent=2))
    bench.write_report(options.output, report)


if __name__ == "__main__":
    bench.run(main)
