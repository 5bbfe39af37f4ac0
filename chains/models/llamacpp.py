"""Language models in GGUF files, run by llama.cpp in this process (package xllamacpp)."""

import json
import math
import os
import re
import secrets
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from chains.config import Family, LLMConfig
from chains.models.base import Prompt, TooLongError
from chains.models.fetch import gguf_of
from chains.models.gguf import gguf_path, read_metadata
from chains.models.known import known_model
from chains.models.local import TemplatePrompts
from chains.models.prompt_sanitizing import TURN_MARK
from chains.models.reasoning import is_reasoning_token
from chains.models.templates import answers_in_channel, end_token, next_turn, prepare_template
from chains.prompts import PromptFamily, resolve_family
from common.errors import UserError
from common.fingerprints import content_key, file_digest
from common.result_cache import Batches, ResultCache

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

    from chains.models.llamacpp_chat import LlamaCppChat

_WINDOW = 8192  # maximum tokens if llm.window is null; with many models, the cache of more would take gigabytes
_BATCH = 512  # prompt tokens per pass; a cancelled request ends after at most one pass
_FORCING_BIAS = 1e4  # added to a token's logit, so that it is generated; llama.cpp's probabilities ignore it
_TOP_TOKENS = 32  # most probable tokens per request
_LOG_ZERO = -1e30  # llama.cpp's lowest float stands for log(0)
_CONTROL, _USER_DEFINED = 3, 4  # token types in GGUF files
_MAX_SOCKET_PATH = 100  # characters; some systems allow only 103


def load_llamacpp(config: LLMConfig, cache: ResultCache | None = None) -> "LlamaCppLLM":
    """Load the GGUF file of ``config``; ``cache`` stores the model's results.

    Raises:
        UserError: xllamacpp is not installed; the file is missing, not GGUF, or not loaded by llama.cpp; its chat
            template cannot be used; or ``llm.window`` exceeds the model's window.
    """
    try:
        import xllamacpp  # noqa: F401
    except ImportError as error:
        raise UserError(f"llm.kind llamacpp needs xllamacpp ({error}): pip install 'medground[llamacpp]'.") from error
    file = _gguf_file(config)
    metadata = read_metadata(file)
    architecture = str(metadata.get("general.architecture"))
    _check_language_model(file, architecture, metadata)
    max_window = int(metadata.get(f"{architecture}.context_length") or _WINDOW)
    if config.window is not None and config.window > max_window:
        raise UserError(
            f"llm.window is {config.window}, and the window of {file.name} has {max_window} tokens. Lower it."
        )
    window = config.window or min(max_window, _WINDOW)
    engine = Engine(config.model, file, window, config.threads or default_threads(), config.gpu_layers)
    tokenizer = GGUFTokenizer(config.model, metadata, engine.tokenize)
    prepare_template(tokenizer)  # type: ignore[arg-type]
    return LlamaCppLLM(config.model, engine, tokenizer, config, architecture, cache)


def _check_language_model(file: Path, architecture: str, metadata: dict[str, Any]) -> None:
    """Raise ``UserError`` unless a GGUF file has a language model; with other files, llama.cpp may end the process."""
    embeds = f"{architecture}.pooling_type" in metadata or metadata.get(f"{architecture}.attention.causal") is False
    kind = "embedding model" if embeds else metadata.get("general.type", "model")
    if kind != "model" or "tokenizer.ggml.tokens" not in metadata:
        reason = f"its type is {kind}" if kind != "model" else "it has no vocabulary"
        raise UserError(f"Model {file} is not a language model: {reason}. Choose a file of an instruction-tuned model.")


def default_threads() -> int:
    """``OMP_NUM_THREADS``, else the number of physical cores available to this process."""
    import psutil

    if (configured := os.environ.get("OMP_NUM_THREADS", "")).isdigit() and int(configured):
        return int(configured)
    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    return min(cores, len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else cores


@dataclass(frozen=True)
class LlamaCppLLM(TemplatePrompts):
    """A GGUF model run by llama.cpp; prompts are rendered by the file's chat template.

    Requests are answered one at a time, in order. llama.cpp caches the keys and values of the last prompt, and reuses
    them for the beginning that the next prompt shares with it. Results after a cached prefix can differ by rounding.
    """

    name: str
    engine: "Engine"
    tokenizer: "GGUFTokenizer"  # type: ignore[assignment]
    config: LLMConfig
    architecture: str
    cache: ResultCache | None = None

    @property
    def window(self) -> int:
        """Context window: maximum number of tokens of prompt and answer together."""
        return self.engine.window

    @cached_property
    def fingerprint(self) -> str:
        """Digest of everything that can affect the answer to a prompt: file, versions and use of a GPU."""
        return content_key(
            file=file_digest(self.engine.file),
            template=self.tokenizer.chat_template,
            gpu_layers=self.config.gpu_layers,
            versions={name: version(name) for name in ("medground", "xllamacpp")},
        )

    @cached_property
    def stops(self) -> tuple[str, ...]:
        """The texts that end an answer, since llama.cpp does not know the end of turn of every chat template."""
        tokenizer: Any = self.tokenizer
        turn_end = None if answers_in_channel(tokenizer) else end_token(tokenizer)
        return tuple(text for text in (turn_end, next_turn(tokenizer), *self.stop_texts) if text)

    @cached_property
    def remove_control_tokens(self) -> Callable[[str], str]:
        """Function that removes control tokens from generated text, except reasoning tags."""
        removed = [token for token in self.tokenizer.control_tokens if not is_reasoning_token(token)]
        removed.sort(key=len, reverse=True)  # an alternation takes the first match
        pattern = re.compile("|".join(map(re.escape, removed)) or r"(?!)")  # (?!) never matches
        return lambda text: pattern.sub("", text)

    def family(self, family: Family) -> PromptFamily:
        """The prompt family; ``auto`` is resolved by architecture, name and chat template."""
        return resolve_family(family, self.architecture, self.name, self.tokenizer.chat_template)

    def score(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> Batches:
        """Score the labels after each prompt, as ``LabelScorer`` describes; one prompt per batch.

        Prompts are sorted by tokens, so that successive prompts share the longest prefixes.
        """
        scorables = self.with_labels(prompts, labels)
        for index in sorted(range(len(scorables)), key=lambda index: scorables[index].ids):
            prompt = scorables[index]
            if (length := len(prompt.ids) + max(map(len, prompt.labels))) > self.window:
                yield [index], [TooLongError(f"The prompt takes {length} tokens, and the window is {self.window}.")]
                continue
            next_tokens: dict[tuple[int, ...], list[int]] = {}  # by beginning of a label: the tokens that follow it
            for label in prompt.labels:
                for i, token in enumerate(label):
                    next_tokens.setdefault(label[:i], []).append(token)
            scores = {
                start: self._log_probabilities([*prompt.ids, *start], tokens) for start, tokens in next_tokens.items()
            }
            yield [index], [[sum(scores[label[:i]][token] for i, token in enumerate(label)) for label in prompt.labels]]

    def _log_probabilities(self, ids: list[int], tokens: Sequence[int]) -> dict[int, float]:
        """The natural logarithm of each token's probability after ``ids``."""
        reported: dict[int, float] = {}
        for token in tokens:
            if token not in reported:
                reported |= self.engine.log_probabilities(ids, token, _TOP_TOKENS)
        # A token that is only part of a character is reported only if all tokens are.
        if any(token not in reported for token in tokens):
            reported |= self.engine.log_probabilities(ids, self.tokenizer.end, self.tokenizer.size)
        if any(not isinstance(reported.get(token), int | float) for token in tokens):  # NaN is null in JSON
            raise UserError(f"Model {self.name} gives no finite probabilities. Download {self.engine.file.name} again.")
        return {token: reported[token] if reported[token] > _LOG_ZERO else -math.inf for token in tokens}

    def writer(self, max_tokens: int) -> "Runnable[Any, Any]":
        """The chat model, generating at most ``max_tokens`` tokens."""
        return self.chat.bind(max_tokens=max_tokens).with_config(max_concurrency=1)

    @cached_property
    def chat(self) -> "LlamaCppChat":
        """The model as a LangChain chat model."""
        from chains.models.llamacpp_chat import LlamaCppChat

        return LlamaCppChat(local=self, model_name=self.name)


class Engine:
    """llama.cpp's server in this process, which continues token ids greedily.

    The server listens on a Unix socket in a folder that only this user can open, or on a loopback port on systems
    without Unix sockets. Every request carries a random key.
    """

    def __init__(self, name: str, file: Path, window: int, threads: int, gpu_layers: int | None) -> None:
        import xllamacpp

        self._name, self.file, self.window = name, file, window
        self._folder = tempfile.TemporaryDirectory(prefix="medground-", ignore_cleanup_errors=True)
        socket_path = f"{self._folder.name}/llama.sock"
        use_socket = hasattr(socket, "AF_UNIX") and len(socket_path) < _MAX_SOCKET_PATH
        params, key = xllamacpp.CommonParams(), secrets.token_hex(32)
        params.model.path = str(file)
        params.hostnames, params.port, params.api_keys = [socket_path if use_socket else "127.0.0.1"], 0, [key]
        params.ui = params.endpoint_slots = params.warmup = False
        params.offline, params.verbosity = True, -1
        params.n_ctx, params.n_batch, params.n_parallel = window, _BATCH, 1
        params.cache_ram_mib = 0  # no copies of earlier caches, which may need 8 GiB
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.special = True  # include control tokens, which ``remove_control_tokens`` removes later
        if gpu_layers is not None:
            params.n_gpu_layers, params.fit_params = gpu_layers, False
        try:
            self._server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise UserError(
                f"Model {file}: llama.cpp cannot load this file. It is incomplete, needs more memory than is free "
                f"(lower llm.window or llm.gpu_layers), or its architecture is unknown to xllamacpp "
                f"{version('xllamacpp')}."
            ) from error
        transport = httpx.HTTPTransport(
            uds=socket_path if use_socket else None,
            limits=httpx.Limits(max_keepalive_connections=0),  # the server closes idle connections without notice
        )
        self._client = httpx.Client(
            transport=transport,
            base_url="http://localhost" if use_socket else self._server.listening_address,
            headers={"Authorization": f"Bearer {key}"},
            timeout=None,
        )

    def tokenize(self, text: str, *, add_special: bool = False) -> list[int]:
        """The token ids of a text, including special tokens spelled in it."""
        body = {"content": text, "add_special": add_special, "parse_special": True}
        ids: list[int] = self._post("/tokenize", body)["tokens"]
        return ids

    def complete(self, ids: Sequence[int], **options: Any) -> dict[str, Any]:
        """The greedy continuation of ``ids``: llama.cpp's response, with the text in ``content``.

        ``options`` are fields of the request ``/completion`` of llama.cpp's server.

        Raises:
            TooLongError: the prompt is longer than the window.
            UserError: llama.cpp returns an error.
        """
        return self._post("/completion", {"prompt": list(ids), "temperature": 0, **options})

    def log_probabilities(self, ids: Sequence[int], token: int, count: int) -> dict[int, float]:
        """The log-probabilities of ``token`` and of the ``count`` most probable tokens after ``ids``, by token.

        Empty if ``token`` is only part of a character, for which llama.cpp reports nothing.
        """
        response = self.complete(ids, n_predict=1, n_probs=count, logit_bias=[[token, _FORCING_BIAS]])
        [generated] = response.get("completion_probabilities") or [{}]
        entries = (*generated.get("top_logprobs", ()), generated)
        return {entry["id"]: entry["logprob"] for entry in entries if "id" in entry}

    def stream(self, ids: Sequence[int], **options: Any) -> Iterator[dict[str, Any]]:
        """The response of ``complete`` in pieces, the last with ``stop`` true. Closing the stream stops generation."""
        body = {"prompt": list(ids), "temperature": 0, "stream": True, **options}
        with self._errors(), self._client.stream("POST", "/completion", json=body) as response:
            if response.status_code != 200:
                response.read()
                raise self._error(response.json())
            for line in response.iter_lines():
                kind, _, content = line.partition(":")
                if kind in ("data", "error") and content.strip() != "[DONE]":
                    piece = json.loads(content)
                    if kind == "error" or "error" in piece:
                        raise self._error(piece)
                    yield piece

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        with self._errors():
            response = self._client.post(path, json=body)
        answer: dict[str, Any] = response.json()
        if response.status_code != 200:
            raise self._error(answer)
        return answer

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise UserError(f"Model {self._name}: llama.cpp has stopped ({error}). Start again.") from error

    def _error(self, answer: dict[str, Any]) -> UserError:
        error = answer.get("error", answer)
        message = error.get("message", error) if isinstance(error, dict) else error
        if isinstance(error, dict) and error.get("type") == "exceed_context_size_error":
            return TooLongError(f"The prompt is too long: {message}. Raise llm.window, or lower chain.passages.")
        return UserError(f"Model {self._name}: llama.cpp answers with an error ({str(message).strip()[:300]}).")


class GGUFTokenizer:
    """The tokenizer of a GGUF file, with the parts of transformers' interface that this package uses.

    Texts are tokenized by llama.cpp.

    Attributes:
        chat_template: the file's chat template; empty if it has none.
        control_tokens: tokens such as turn markers.
        all_special_tokens: the control tokens, and user-defined tokens that look like turn markers.
        size: the number of tokens in the vocabulary.
        end: the id of the end token.
    """

    def __init__(self, name: str, metadata: dict[str, Any], tokenize: Callable[..., list[int]]) -> None:
        self.name_or_path = name
        self.chat_template: str = metadata.get("tokenizer.chat_template") or ""
        self._tokenize = tokenize
        vocabulary: list[str] = metadata.get("tokenizer.ggml.tokens", [])
        token_types: Sequence[int] = metadata.get("tokenizer.ggml.token_type", ())
        typed = list(zip(vocabulary, token_types, strict=False))
        added_types = (_CONTROL, _USER_DEFINED)
        self._added = {token: i for i, (token, kind) in enumerate(typed) if token and kind in added_types}
        self.control_tokens = [token for token, kind in typed if token and kind == _CONTROL]
        markers = (token for token, kind in typed if kind == _USER_DEFINED and TURN_MARK.fullmatch(token))
        self.all_special_tokens = [*self.control_tokens, *markers]
        self.special_tokens_map: dict[str, str] = {}
        keys = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
        for attribute, key in keys.items():
            token_id = metadata.get(f"tokenizer.ggml.{key}_token_id")
            if isinstance(token_id, int) and token_id < len(vocabulary):
                self.special_tokens_map[attribute] = vocabulary[token_id]
        self.bos_token_id = metadata.get("tokenizer.ggml.bos_token_id")
        self._ids = {token: token_id for token_id, token in enumerate(vocabulary)}
        self.size = len(vocabulary)
        self.end = int(metadata.get("tokenizer.ggml.eos_token_id", 0))
        self.eos_token = self.special_tokens_map.get("eos_token")

    def __call__(self, texts: str | Sequence[str], *, add_special_tokens: bool = True, **_: Any) -> Any:
        """The token ids of one text or several, as ``input_ids``."""
        from transformers import BatchEncoding

        encode = partial(self._tokenize, add_special=add_special_tokens)
        return BatchEncoding({"input_ids": encode(texts) if isinstance(texts, str) else list(map(encode, texts))})

    def get_vocab(self) -> dict[str, int]:
        """All tokens with their ids."""
        return self._ids

    def get_added_vocab(self) -> dict[str, int]:
        """The control and user-defined tokens with their ids."""
        return self._added

    def apply_chat_template(self, conversation: Any, *, chat_template: str | None = None, **kwargs: Any) -> Any:
        """The rendered text of one or several conversations."""
        from transformers.utils.chat_template_utils import render_jinja_template

        kwargs.pop("tokenize", None)
        several = isinstance(conversation[0], list)
        rendered: Any = render_jinja_template(
            conversations=conversation if several else [conversation],
            chat_template=chat_template or self.chat_template,
            **{**self.special_tokens_map, **kwargs},
        )
        return rendered[0] if several else rendered[0][0]


def _gguf_file(config: LLMConfig) -> Path:
    if config.kind != "llamacpp":
        raise UserError(f"This needs a GGUF file, and llm.kind is {config.kind}. Set it to llamacpp.")
    if config.gguf_file is None and (known := known_model(config.model)) is not None:
        return gguf_of(known)
    if (file := gguf_path(config)) is None:
        raise UserError(
            f"llm.kind llamacpp runs GGUF files, and llm.model {config.model} names none. Set it to a file that ends "
            "in .gguf, or set llm.gguf_file to the file's name in that folder or hub repository."
        )
    return file
