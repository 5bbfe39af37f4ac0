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
from chains.models.reasoning import is_reasoning_mark
from chains.models.scoring import with_labels
from chains.models.templates import answers_in_channel, end_token, label_lead, next_turn, prepare_template
from chains.prompts import PromptFamily, resolve_family
from common.errors import UserError
from common.fingerprints import content_key, file_digest
from common.result_cache import Batches, ResultCache

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

    from chains.models.llamacpp_chat import LlamaCppChat

_WINDOW = 8192  # tokens if llm.window is null; more would need gigabytes for the cache of many models
_BATCH = 512  # prompt tokens per pass; a cancelled request ends after at most one pass
_FORCED = 1e4  # added to a token's logit, so that it is chosen; the reported probability ignores it
_ALTERNATIVES = 32  # token probabilities per request
_ZERO = -1e30  # llama.cpp returns the lowest float for log(0)
_CONTROL, _USER_DEFINED = 3, 4  # types of tokens in GGUF files
_SOCKET_PATH = 100  # characters; some systems allow only 103


def load_llamacpp(config: LLMConfig, cache: ResultCache | None = None) -> "LlamaCppLLM":
    """Load the GGUF file of ``config``; ``cache`` stores the model's results.

    Raises:
        UserError: xllamacpp is not installed; the file is missing, not GGUF, or cannot be loaded by llama.cpp; its chat
            template cannot be used; ``llm.window`` exceeds the model's window.
    """
    try:
        import xllamacpp  # noqa: F401
    except ImportError as error:
        raise UserError(f"llm.kind llamacpp needs xllamacpp ({error}): pip install 'medground[llamacpp]'.") from error
    file = _file(config)
    about = read_metadata(file)
    architecture = str(about.get("general.architecture"))
    _check_kind(file, architecture, about)
    trained = int(about.get(f"{architecture}.context_length") or _WINDOW)
    if config.window is not None and config.window > trained:
        raise UserError(f"llm.window is {config.window}, and the window of {file.name} has {trained} tokens. Lower it.")
    window = config.window or min(trained, _WINDOW)
    engine = Engine(config.model, file, window, config.threads or default_threads(), config.gpu_layers)
    tokenizer = GGUFTokenizer(config.model, about, engine.tokenize)
    prepare_template(tokenizer)  # type: ignore[arg-type]
    return LlamaCppLLM(config.model, engine, tokenizer, config, architecture, cache)


def _check_kind(file: Path, architecture: str, about: dict[str, Any]) -> None:
    """Raise ``UserError`` unless a file holds a language model; llama.cpp may end the process on others."""
    embeds = f"{architecture}.pooling_type" in about or about.get(f"{architecture}.attention.causal") is False
    kind = "embedding model" if embeds else about.get("general.type", "model")
    if kind != "model" or "tokenizer.ggml.tokens" not in about:
        found = f"its type is {kind}" if kind != "model" else "it has no vocabulary"
        raise UserError(f"Model {file} is not a language model: {found}. Choose a file of an instruction-tuned model.")


def default_threads() -> int:
    """``OMP_NUM_THREADS``, else the number of cores available to this process."""
    import psutil

    if (given := os.environ.get("OMP_NUM_THREADS", "")).isdigit() and int(given):
        return int(given)
    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    return min(cores, len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else cores


@dataclass(frozen=True)
class LlamaCppLLM(TemplatePrompts):
    """A model run by llama.cpp, which tokenizes the prompts rendered by the file's chat template.

    Requests are answered one at a time, in order. The key-value cache keeps the last prompt, so a prompt with the same
    beginning is only computed from the difference on. Results after a cached prefix can differ by rounding.
    """

    name: str
    engine: "Engine"
    tokenizer: "GGUFTokenizer"  # type: ignore[assignment]
    config: LLMConfig
    architecture: str
    cache: ResultCache | None = None

    @property
    def window(self) -> int:
        """Maximum number of tokens of prompt and answer together."""
        return self.engine.window

    @cached_property
    def fingerprint(self) -> str:
        """Identifies everything that can affect an answer: the file, the engine and the device."""
        return content_key(
            file=file_digest(self.engine.file),
            template=self.tokenizer.chat_template,
            gpu_layers=self.config.gpu_layers,
            versions={name: version(name) for name in ("medground", "xllamacpp")},
        )

    @cached_property
    def stops(self) -> tuple[str, ...]:
        """The texts that end an answer; llama.cpp does not know the end of turn of every template."""
        tokenizer: Any = self.tokenizer
        turn = None if answers_in_channel(tokenizer) else end_token(tokenizer)
        return tuple(text for text in (turn, next_turn(tokenizer), *self.stop_texts) if text)

    @cached_property
    def visible(self) -> Callable[[str], str]:
        """Remove control tokens from generated text, except reasoning tags."""
        hidden = [token for token in self.tokenizer.control_tokens if not is_reasoning_mark(token)]
        pattern = re.compile("|".join(map(re.escape, sorted(hidden, key=len, reverse=True))) or r"(?!)")
        return lambda text: pattern.sub("", text)

    def family(self, family: Family) -> PromptFamily:
        """The prompt family; ``auto`` is decided by architecture, name and template."""
        return resolve_family(family, self.architecture, self.name, self.tokenizer.chat_template)

    def score(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> Batches:
        """The index of each prompt with the log-likelihoods of the labels, or a ``TooLongError`` if it does not fit.

        Prompts are sorted by tokens, so that neighbours share the longest prefixes.
        """
        texts, ids = [text for text, _ in prompts], [prompt_ids for _, prompt_ids in prompts]
        tokenizer: Any = self.tokenizer
        scorables = with_labels(tokenizer, texts, ids, labels, label_lead(tokenizer))
        for place in sorted(range(len(scorables)), key=lambda place: scorables[place].ids):
            one = scorables[place]
            if (length := len(one.ids) + max(map(len, one.labels))) > self.window:
                yield [place], [TooLongError(f"The prompt takes {length} tokens, and the window is {self.window}.")]
                continue
            after: dict[tuple[int, ...], dict[int, float]] = {}  # the next tokens after each label prefix
            for label in one.labels:
                for size, token in enumerate(label):
                    after.setdefault(label[:size], {})[token] = math.nan
            for beginning, sought in after.items():
                sought.update(self._log_probabilities([*one.ids, *beginning], tuple(sought)))
            yield [place], [[sum(after[label[:i]][token] for i, token in enumerate(label)) for label in one.labels]]

    def _log_probabilities(self, ids: list[int], tokens: Sequence[int]) -> dict[int, float]:
        """The natural logarithm of each token's probability after ``ids``."""
        found: dict[int, float] = {}
        for token in tokens:
            if token not in found:
                found |= self.engine.likely(ids, token, _ALTERNATIVES)
        if any(token not in found for token in tokens):  # the first bytes of a character, which are not reported
            found |= self.engine.likely(ids, self.tokenizer.end, self.tokenizer.size)
        if any(not isinstance(found.get(token), int | float) for token in tokens):  # NaN is null in JSON
            raise UserError(f"Model {self.name} gives no finite probabilities. Download {self.engine.file.name} again.")
        return {token: found[token] if found[token] > _ZERO else -math.inf for token in tokens}

    def writer(self, max_tokens: int) -> "Runnable[Any, Any]":
        """The chat model, generating at most ``max_tokens`` tokens."""
        return self.chat.bind(max_tokens=max_tokens).with_config(max_concurrency=1)

    @cached_property
    def chat(self) -> "LlamaCppChat":
        """The model as a LangChain chat model."""
        from chains.models.llamacpp_chat import LlamaCppChat

        return LlamaCppChat(local=self, model_name=self.name)


class Engine:
    """llama.cpp's server in this process, reached through a private socket; greedy continuation of token ids.

    The socket is in a folder that only this user can open, or a loopback port on systems without Unix sockets. Every
    request carries a random key.
    """

    def __init__(self, name: str, file: Path, window: int, threads: int, gpu_layers: int | None) -> None:
        import xllamacpp

        self._name, self.file, self.window = name, file, window
        self._folder = tempfile.TemporaryDirectory(prefix="medground-", ignore_cleanup_errors=True)
        address = f"{self._folder.name}/llama.sock"
        local = hasattr(socket, "AF_UNIX") and len(address) < _SOCKET_PATH
        params, key = xllamacpp.CommonParams(), secrets.token_hex(32)
        params.model.path = str(file)
        params.hostnames, params.port, params.api_keys = [address if local else "127.0.0.1"], 0, [key]
        params.ui = params.endpoint_slots = params.warmup = False
        params.offline, params.verbosity = True, -1
        params.n_ctx, params.n_batch, params.n_parallel = window, _BATCH, 1
        params.cache_ram_mib = 0  # no copies of earlier caches, which may need 8 GiB
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.special = True  # include control tokens, which ``LlamaCppLLM.visible`` removes
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
            uds=address if local else None,
            limits=httpx.Limits(max_keepalive_connections=0),  # the server closes idle ones without notice
        )
        self._client = httpx.Client(
            transport=transport,
            base_url="http://localhost" if local else self._server.listening_address,
            headers={"Authorization": f"Bearer {key}"},
            timeout=None,
        )

    def tokenize(self, text: str, *, add_special: bool = False) -> list[int]:
        """The token ids of a text, including special tokens spelled in it."""
        body = {"content": text, "add_special": add_special, "parse_special": True}
        ids: list[int] = self._answer("/tokenize", body)["tokens"]
        return ids

    def complete(self, ids: Sequence[int], **options: Any) -> dict[str, Any]:
        """The greedy continuation of ``ids``: llama.cpp's response, with the text in ``content``.

        ``options`` are fields of the request ``/completion`` of llama.cpp's server.

        Raises:
            TooLongError: the prompt is longer than the window.
            UserError: llama.cpp returns an error.
        """
        return self._answer("/completion", {"prompt": list(ids), "temperature": 0, **options})

    def likely(self, ids: Sequence[int], token: int, count: int) -> dict[int, float]:
        """The log-probabilities of ``token`` and of the ``count`` most probable tokens after ``ids``, by token.

        Empty if the token is part of a character, which llama.cpp does not report.
        """
        reply = self.complete(ids, n_predict=1, n_probs=count, logit_bias=[[token, _FORCED]])
        [found] = reply.get("completion_probabilities") or [{}]
        return {one["id"]: one["logprob"] for one in (*found.get("top_logprobs", ()), found) if "id" in one}

    def stream(self, ids: Sequence[int], **options: Any) -> Iterator[dict[str, Any]]:
        """The response of ``complete`` in pieces, the last with ``stop`` true; closing it stops generation."""
        body = {"prompt": list(ids), "temperature": 0, "stream": True, **options}
        with self._errors(), self._client.stream("POST", "/completion", json=body) as response:
            if response.status_code != 200:
                response.read()
                raise self._refused(response.json())
            for line in response.iter_lines():
                kind, _, content = line.partition(":")
                if kind in ("data", "error") and content.strip() != "[DONE]":
                    piece = json.loads(content)
                    if kind == "error" or "error" in piece:
                        raise self._refused(piece)
                    yield piece

    def _answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        with self._errors():
            response = self._client.post(path, json=body)
        answer: dict[str, Any] = response.json()
        if response.status_code != 200:
            raise self._refused(answer)
        return answer

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise UserError(f"Model {self._name}: llama.cpp has stopped ({error}). Start again.") from error

    def _refused(self, answer: dict[str, Any]) -> UserError:
        error = answer.get("error", answer)
        message = error.get("message", error) if isinstance(error, dict) else error
        if isinstance(error, dict) and error.get("type") == "exceed_context_size_error":
            return TooLongError(f"The prompt is too long: {message}. Raise llm.window, or lower chain.passages.")
        return UserError(f"Model {self._name}: llama.cpp answers with an error ({str(message).strip()[:300]}).")


class GGUFTokenizer:
    """The tokenizer of a GGUF file, with the parts of transformers' interface that this package uses.

    llama.cpp tokenizes, so that texts are split as in the model's training.

    Attributes:
        chat_template: the file's template; empty without one.
        control_tokens: tokens such as turn markers.
        all_special_tokens: these, and the model's other tokens that look like them.
        size: the number of tokens.
        end: the id of the end token.
    """

    def __init__(self, name: str, about: dict[str, Any], tokenize: Callable[..., list[int]]) -> None:
        self.name_or_path = name
        self.chat_template: str = about.get("tokenizer.chat_template") or ""
        self._tokenize = tokenize
        vocabulary: list[str] = about.get("tokenizer.ggml.tokens", [])
        kinds: Sequence[int] = about.get("tokenizer.ggml.token_type", ())
        typed = list(zip(vocabulary, kinds, strict=False))
        self._added = {
            token: number for number, (token, kind) in enumerate(typed) if token and kind in (_CONTROL, _USER_DEFINED)
        }
        self.control_tokens = [token for token, kind in typed if token and kind == _CONTROL]
        spelt = (token for token, kind in typed if kind == _USER_DEFINED and TURN_MARK.fullmatch(token))
        self.all_special_tokens = [*self.control_tokens, *spelt]
        self.special_tokens_map: dict[str, str] = {}
        keys = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
        for role, key in keys.items():
            number = about.get(f"tokenizer.ggml.{key}_token_id")
            if isinstance(number, int) and number < len(vocabulary):
                self.special_tokens_map[role] = vocabulary[number]
        self.bos_token_id = about.get("tokenizer.ggml.bos_token_id")
        self._ids = {token: number for number, token in enumerate(vocabulary)}
        self.size = len(vocabulary)
        self.end = int(about.get("tokenizer.ggml.eos_token_id", 0))
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
        """The text of one or several conversations, as rendered by transformers."""
        from transformers.utils.chat_template_utils import render_jinja_template

        kwargs.pop("tokenize", None)  # return the text
        several = isinstance(conversation[0], list)
        rendered: Any = render_jinja_template(
            conversations=conversation if several else [conversation],
            chat_template=chat_template or self.chat_template,
            **{**self.special_tokens_map, **kwargs},
        )
        return rendered[0] if several else rendered[0][0]


def _file(config: LLMConfig) -> Path:
    """The GGUF file of the settings."""
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
