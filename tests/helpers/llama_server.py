"""llama.cpp's own OpenAI-compatible server, from xllamacpp's wheel, on a port of the loopback interface."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import xllamacpp


@contextmanager
def llama_server(file: Path, name: str, *, window: int = 4096, threads: int = 2) -> Iterator[str]:
    """The URL of a running server, with its ``/v1``, that serves ``file`` by ``name``."""
    params = xllamacpp.CommonParams()
    params.model.path, params.model_alias = str(file), {name}
    params.n_ctx, params.n_parallel = window, 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.verbosity, params.ui = -1, False
    server = xllamacpp.Server(params)
    yield f"{server.listening_address}/v1"
    del server  # ends it
