"""Steps of an agent's run: limits and trace."""

import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from common.errors import UserError


class Step(BaseModel, frozen=True):
    """A finished step of a run: its kind, its result ``detail``, and the seconds since the run began."""

    run: str
    number: int
    kind: str
    seconds: float
    detail: dict[str, Any]


class LimitReached(Exception):  # noqa: N818  (not a failure)
    """A run has reached the limit that the message names."""


class Run:
    """The steps for one question, within limits. Threads may share a run, since LangGraph runs tools in parallel.

    ``on_step`` is called with each finished step; ``clock`` is monotonic, in seconds.
    """

    def __init__(
        self,
        max_steps: int,
        max_tokens: int,
        max_seconds: float,
        on_step: Callable[[Step], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = uuid.uuid4().hex
        self.steps: list[Step] = []
        self.tokens = 0
        self._limits = (max_steps, max_tokens, max_seconds)
        self._started_steps = 0
        self._on_step = on_step
        self._clock = clock
        self._lock = threading.Lock()
        self._start = clock()

    def begin(self) -> None:
        """Begin a step; raise ``LimitReached`` if the steps, tokens or seconds have reached their limit."""
        steps, tokens, seconds = self._limits
        with self._lock:
            if self._started_steps >= steps:
                raise LimitReached(f"stopped after {steps} steps (agent.max_steps)")
            if self.tokens >= tokens:
                raise LimitReached(f"stopped after {self.tokens} tokens (agent.max_tokens is {tokens})")
            if self._clock() - self._start >= seconds:
                raise LimitReached(f"stopped after {seconds:g} seconds (agent.max_seconds)")
            self._started_steps += 1

    def done(self, kind: str, **detail: Any) -> None:
        """Record and report a finished step."""
        with self._lock:
            seconds = round(self._clock() - self._start, 3)
            step = Step(run=self.id, number=len(self.steps) + 1, kind=kind, seconds=seconds, detail=detail)
            self.steps.append(step)
            self._on_step(step)


def trace_to(path: Path | str) -> Callable[[Step], None]:
    """A function that appends each step as a line to a JSONL file, which only its owner can read.

    Threads may call it: each line is a single write. It raises ``UserError`` if the file cannot be written.
    """
    file = Path(path).expanduser()

    def append(step: Step) -> None:
        line = json.dumps(step.model_dump(mode="json"), ensure_ascii=False) + "\n"
        with (
            _write_errors(file),
            open(file, "ab", buffering=0, opener=lambda path, flags: os.open(path, flags, 0o600)) as lines,
        ):
            lines.write(line.encode("utf-8", "replace"))

    with _write_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    return append


@contextmanager
def _write_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"The trace {file} cannot be written: {error.strerror}. Set agent.trace to another file."
        ) from error
