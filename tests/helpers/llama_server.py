"""llama.cpp's OpenAI-compatible server, from the package xllamacpp, on loopback."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import xllamacpp


@contextmanager
def llama_server(file: Path, name: str, *, window: int = 4096) -> Iterator[str]:
    """Serve the GGUF ``file`` under the model name ``name``; yields the server's URL, which ends in ``/v1``."""
    params = xllamacpp.CommonParams()
    params.model.path, params.model_alias = str(file), {name}
    params.n_ctx, params.n_parallel = window, 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 2
    params.verbosity, params.ui = -1, False
    server = xllamacpp.Server(params)
    yield f"{server.listening_address}/v1"
    del server  # its destructor stops the server
