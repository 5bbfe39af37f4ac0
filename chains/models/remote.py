"""Language models on OpenAI-compatible servers: vLLM, TGI, llama.cpp, Ollama or ``medground serve``."""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from langchain_core.runnables import Runnable, RunnableConfig

from chains.config import LLMConfig
from chains.models.base import Prompt, TooLongError
from chains.models.langchain_llm import ChatPrompts
from chains.models.remote_errors import NoLogprobsError, RefusedError
from common.errors import UserError
from common.fingerprints import content_key
from common.privacy import is_loopback
from common.result_cache import Batches, ResultCache

if TYPE_CHECKING:
    from chains.models.remote_chat import RemoteChat

_ALTERNATIVES = 20  # maximum number in the protocol
_MARKS = "▁Ġ"  # space markers in vocabularies
_announced: set[str] = set()


def connect(config: LLMConfig, cache: ResultCache | None = None) -> "RemoteLLM":
    """The model of ``config`` on its server, after a check that the server has it.

    A server on another machine is reported once on stderr before anything is sent to it.

    Raises:
        UserError: the server is unreachable, rejects the key or does not have the model; or langchain-openai is not
            installed.
    """
    assert config.base_url is not None  # checked by LLMConfig
    try:
        from chains.models.remote_chat import remote_chat
    except ImportError as error:
        raise UserError("A model on a server needs langchain-openai: pip install 'medground[openai]'.") from error
    if not is_loopback(urlsplit(config.base_url).hostname) and config.base_url not in _announced:
        _announced.add(config.base_url)
        sys.stderr.write(f"Questions and texts are sent to {config.base_url}, as llm.base_url says.\n")
    chat = remote_chat(config.model, config.base_url)
    return RemoteLLM(config.model, config, chat, config.window or _window(chat), cache)


@dataclass(frozen=True)
class RemoteLLM(ChatPrompts):
    """A model on a server, which applies its own chat template.

    A label's likelihood is that of its possible first tokens ("Yes", " yes") among the 20 most probable tokens that the
    server returns; a label without any has no likelihood. Without probabilities, or if they contain no label, the
    generated text is used. Prompt lengths are estimates.
    """

    name: str
    config: LLMConfig
    chat: "RemoteChat"
    window: int | None
    cache: ResultCache | None = None

    @cached_property
    def fingerprint(self) -> str:
        """Identifies address and model name; a different model under the same name is not detected."""
        most = self.config.max_new_tokens
        return content_key(base_url=self.chat.server.url, model=self.name, most=most, medground=version("medground"))

    def writer(self, max_tokens: int) -> Runnable[Any, Any]:
        """The chat model, limited to ``max_tokens`` tokens; a batch sends ``llm.concurrency`` requests at once."""
        return self.chat.bind(max_tokens=max_tokens).with_config(max_concurrency=self.config.concurrency)

    def score(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> Batches:
        """The index of each prompt with the log-likelihoods of the labels or the generated text, as they arrive.

        A prompt that is too long for the server gets its error instead. Any other error ends the run.
        """
        plain = self.chat.bind(max_tokens=max(self.config.max_new_tokens, self.label_length(labels)), seed=0)
        scored = plain.bind(logprobs=True, top_logprobs=_ALTERNATIVES)
        model = scored.with_fallbacks([plain], exceptions_to_handle=(NoLogprobsError,))
        limit: RunnableConfig = {"max_concurrency": self.config.concurrency}
        messages = [json.loads(prompt[0]) for prompt in prompts]
        for place, found in model.batch_as_completed(messages, limit, return_exceptions=True):
            if isinstance(found, Exception):
                if not isinstance(found, TooLongError):
                    raise found
                yield [place], [found]
            else:
                row = label_row(found.response_metadata.get("logprobs"), labels)
                yield [place], [str(found.text) if row is None else row]


def label_row(logprobs: object, labels: Sequence[str]) -> list[float] | None:
    """The labels' log-likelihoods from the ``logprobs`` of a choice; None if it contains no label.

    The first token of the answer that is not white space decides. An alternative counts for the label that it begins,
    ignoring case, if it begins no other label; alternatives of a label are summed.
    """
    match logprobs:
        case {"content": [*tokens]}:
            for token in tokens:
                match token:
                    case {"token": str(written), "top_logprobs": [_, *_] as alternatives} if _plain(written):
                        return _row(alternatives, labels)
    return None


def _row(alternatives: Sequence[object], labels: Sequence[str]) -> list[float] | None:
    found: dict[str, list[float]] = {label: [] for label in labels}
    for alternative in alternatives:
        match alternative:
            case {"token": str(written), "logprob": int() | float() as likelihood} if start := _plain(written):
                begun = [label for label in labels if label.lower().startswith(start)]
                exact = [label for label in begun if label.lower() == start]
                if len(one := exact or begun) == 1 and not math.isnan(likelihood):
                    found[one[0]].append(min(float(likelihood), 0.0))  # rounding may make it slightly positive
    row = [
        math.log(sum(map(math.exp, values))) if any(map(math.exp, values)) else -math.inf for values in found.values()
    ]
    return row if any(map(math.isfinite, row)) else None


def _plain(token: str) -> str:
    return token.strip().strip(_MARKS).strip().lower()


def _window(chat: "RemoteChat") -> int | None:
    """The model's window, if the server reports it.

    A server without a model list is assumed to have the model.
    """
    try:
        with chat.server.errors("/models"):
            listed = chat.root_client.models.with_raw_response.list().http_response.json()
    except RefusedError as error:
        if error.status not in (404, 405, 501):
            raise
        return None
    match listed:
        case {"data": [*entries]}:
            served: dict[str, Mapping[str, Any]] = {
                entry["id"]: entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)
            }
        case _:
            raise chat.server.malformed("/models", listed)
    entry = served.get(chat.model_name) or served.get(f"{chat.model_name}:latest")
    if entry is None:
        names = ", ".join(list(served)[:10]) or "none"
        raise UserError(f"{chat.server} has no model {chat.model_name!r} (llm.model); it has {names}.")
    meta = entry.get("meta")
    in_meta = meta.get("n_ctx") if isinstance(meta, dict) else None
    stated = (entry.get("max_model_len"), entry.get("context_length"), in_meta)
    return next((value for value in stated if isinstance(value, int) and value > 0), None)
