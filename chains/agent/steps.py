"""What an agent does, step by step: counted against its limits, and told to a trace."""

import json
import os
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from common.errors import UserError


class Step(BaseModel):
    """One step of a run: what was done, what came of it (``detail``), and when, in seconds since the run began."""

    model_config = ConfigDict(frozen=True)

    run: str
    number: int
    kind: str
    seconds: float
    detail: dict[str, Any]


class LimitReached(Exception):  # noqa: N818  (it ends a run in order; nothing went wrong)
    """The next step is not allowed: ``str`` says which limit was reached."""


class Run:
    """One question's steps; several threads may take them, as a model's tools do that it calls at once.

    Args:
        max_steps: how many steps there may be.
        max_tokens: how many tokens a model may be shown and write in all.
        max_seconds: after how long no further step begins.
        tell: is told each step when it is done.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        max_steps: int,
        max_tokens: int,
        max_seconds: float,
        tell: Callable[[Step], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = uuid.uuid4().hex
        self.steps: list[Step] = []
        self.tokens = 0
        self._limits = (max_steps, max_tokens, max_seconds)
        self._begun = 0
        self._tell = tell
        self._clock = clock
        self._lock = threading.Lock()
        self._start = clock()

    def begin(self) -> None:
        """Ask for a step; to be called before each.

        Raises:
            LimitReached: there may be none.
        """
        steps, tokens, seconds = self._limits
        with self._lock:
            if self._begun >= steps:
                raise LimitReached(f"stopped after {steps} steps (agent.max_steps)")
            if self.tokens >= tokens:
                raise LimitReached(f"stopped after {self.tokens} tokens (agent.max_tokens is {tokens})")
            if self._clock() - self._start >= seconds:
                raise LimitReached(f"stopped after {seconds:g} seconds (agent.max_seconds)")
            self._begun += 1

    def done(self, kind: str, **detail: Any) -> None:
        """Tell a step that was done."""
        with self._lock:
            seconds = round(self._clock() - self._start, 3)
            step = Step(run=self.id, number=len(self.steps) + 1, kind=kind, seconds=seconds, detail=detail)
            self.steps.append(step)
            self._tell(step)


def _owners(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def trace_to(path: Path | str) -> Callable[[Step], None]:
    """What adds each step to a JSONL file, a line a step; the file is readable by its owner only.

    Runs in several threads may share it: a line is written at once.

    Raises:
        UserError: the file cannot be written to.
    """
    file = Path(path).expanduser()

    def tell(step: Step) -> None:
        line = json.dumps(step.model_dump(mode="json"), ensure_ascii=False) + "\n"
        try:
            with open(file, "ab", buffering=0, opener=_owners) as lines:
                lines.write(line.encode("utf-8", "replace"))
        except OSError as error:
            raise UserError(f"The trace {file} cannot be written: {error.strerror}. Set agent.trace.") from error

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"The trace {file} cannot be written: {error.strerror}. Set agent.trace.") from error
    return tell
