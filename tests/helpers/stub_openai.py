"""A server on loopback with the part of OpenAI's API that chains/models/remote.py uses, and scripted replies."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from stub_hub import in_thread

Reply = tuple[int, Any] | tuple[int, Any, dict[str, str]]
"""Status, body (a JSON document, or raw text), and headers."""


def completion(text: str | None, *logprobs: dict[str, float]) -> dict[str, Any]:
    """A chat completion as llama.cpp's server returns it.

    Tokens have an id, the end token is an empty text among the alternatives, and ``logprobs`` is missing if empty.

    Args:
        text: the text that the model wrote.
        logprobs: for each generated token, log-probabilities by token; the first is that of the generated token.
    """
    content = [
        _token(*next(iter(position.items())))
        | {"top_logprobs": [*(_token(*alternative) for alternative in position.items()), _token("", -9.0)]}
        for position in logprobs
    ]
    choice: dict[str, Any] = {"finish_reason": "stop", "index": 0, "message": {"role": "assistant", "content": text}}
    if content:
        choice["logprobs"] = {"content": content}
    tokens = len((text or "").split())
    usage = {"completion_tokens": tokens, "prompt_tokens": 9, "total_tokens": 9 + tokens}
    usage["prompt_tokens_details"] = {"cached_tokens": 0}
    head = {"id": "1", "object": "chat.completion", "created": 0, "model": "stub", "system_fingerprint": "b0-unknown"}
    return head | {"choices": [choice], "usage": usage, "timings": {"prompt_n": 9, "predicted_n": tokens}}


def _token(token: str, logprob: float) -> dict[str, Any]:
    return {"id": sum(token.encode()), "token": token, "bytes": list(token.encode()), "logprob": logprob}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Stub"

    def do_GET(self) -> None:
        self._reply(None)

    def do_POST(self) -> None:
        self._reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing, to keep the test's output clean."""

    def _reply(self, body: Any) -> None:
        headers = {name.title(): value for name, value in self.headers.items()}
        self.server.requests.append((self.path, body, headers))
        reply = self.server.models if self.path.endswith("/models") else self.server.reply(body)
        status, document, *more = reply
        reply_headers = {**more[0], "Connection": "close"} if more else {}
        if isinstance(document, str):
            self._send(status, "text/plain", document, reply_headers)
        elif status == 200 and body is not None and body.get("stream"):
            self._send(status, "text/event-stream", _events(document["choices"][0]["message"]["content"]), {})
        else:
            self._send(status, "application/json", json.dumps(document), reply_headers)

    def _send(self, status: int, content_type: str, text: str, headers: dict[str, str]) -> None:
        content = text.encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), "Content-Type": content_type, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _events(text: str) -> str:
    """A completion as server-sent events with three characters each."""
    head = {"id": "1", "object": "chat.completion.chunk", "model": "stub", "created": 1}
    deltas = [text[start : start + 3] for start in range(0, len(text), 3)]
    choices = [{"index": 0, "delta": {"content": delta}, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    events = [json.dumps({**head, "choices": [choice]}) for choice in choices]
    return "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"])


class Stub(ThreadingHTTPServer):
    """A server that replies ``reply(body)`` to completion requests and ``models`` to /models.

    ``requests`` records path, body and headers of all requests.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, reply: Callable[[Any], Reply]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply = reply
        self.models: Reply = (200, {"object": "list", "data": [{"id": "stub", "max_model_len": 2048}]})  # vLLM's form
        self.requests: list[tuple[str, Any, dict[str, str]]] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors of connections that a test closes on purpose."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @property
    def bodies(self) -> list[Any]:
        """The bodies of the completion requests."""
        return [body for path, body, _ in self.requests if path.endswith("/chat/completions")]


def delayed(reply: Reply, seconds: float) -> Callable[[Any], Reply]:
    """A function that returns ``reply`` after ``seconds``."""

    def wait_and_reply(_: Any) -> Reply:
        time.sleep(seconds)
        return reply

    return wait_and_reply


@contextmanager
def stub_openai(reply: Callable[[Any], Reply] = lambda _: (200, completion("yes"))) -> Iterator[Stub]:
    """Run a server, by default one that answers yes."""
    stub = Stub(reply)
    with in_thread(stub):
        yield stub
