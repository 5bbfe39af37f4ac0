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
from chains.models.remote_errors import NoLogprobsError, StatusError
from common.errors import UserError
from common.fingerprints import content_key
from common.privacy import is_loopback
from common.result_cache import Batches, ResultCache

if TYPE_CHECKING:
    from chains.models.remote_chat import RemoteChat

_TOP_LOGPROBS = 20  # maximum in OpenAI's protocol
_SPACE_MARKERS = "▁Ġ"  # stand for spaces in the tokens of SentencePiece and byte-level BPE
_announced: set[str] = set()  # base URLs that were reported on stderr


def connect(config: LLMConfig, cache: ResultCache | None = None) -> "RemoteLLM":
    """The model of ``config`` on its server, after a check that the server has the model.

    The address of a server on another machine is printed once on stderr before anything is sent there.

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

    The server returns the 20 most probable first tokens of an answer. A label's likelihood is the sum over those tokens
    that begin the label ("Yes", " yes"). If the server returns no tokens, or none that begins a label, the generated
    text is the result. Prompt lengths are estimates.
    """

    name: str
    config: LLMConfig
    chat: "RemoteChat"
    window: int | None
    cache: ResultCache | None = None

    @cached_property
    def fingerprint(self) -> str:
        """Digest of address, model name and settings; a different model under the same name is not detected."""
        return content_key(
            base_url=self.chat.server.url,
            model=self.name,
            most=self.config.max_new_tokens,
            medground=version("medground"),
        )

    def writer(self, max_tokens: int) -> Runnable[Any, Any]:
        """The chat model, limited to ``max_tokens`` tokens; a batch sends ``llm.concurrency`` requests at once."""
        return self.chat.bind(max_tokens=max_tokens).with_config(max_concurrency=self.config.concurrency)

    def score(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> Batches:
        """Score the labels after each prompt, as ``LabelScorer`` describes; yields each prompt when it is answered.

        An error other than ``TooLongError`` is raised.
        """
        without_logprobs = self.chat.bind(max_tokens=max(self.config.max_new_tokens, self.label_length(labels)), seed=0)
        with_logprobs = without_logprobs.bind(logprobs=True, top_logprobs=_TOP_LOGPROBS)
        model = with_logprobs.with_fallbacks([without_logprobs], exceptions_to_handle=(NoLogprobsError,))
        limit: RunnableConfig = {"max_concurrency": self.config.concurrency}
        messages = [json.loads(prompt[0]) for prompt in prompts]
        for index, reply in model.batch_as_completed(messages, limit, return_exceptions=True):
            if isinstance(reply, TooLongError):
                yield [index], [reply]
            elif isinstance(reply, Exception):
                raise reply
            else:
                scores = label_logprobs(reply.response_metadata.get("logprobs"), labels)
                yield [index], [str(reply.text) if scores is None else scores]


def label_logprobs(logprobs: object, labels: Sequence[str]) -> list[float] | None:
    """The labels' log-likelihoods from the ``logprobs`` of a choice in OpenAI's format; None if no label is found.

    The likelihoods come from the alternatives (``top_logprobs``) to the answer's first token that is not white space.
    An alternative counts for the label that it equals, ignoring case. If it equals none, it counts for the label that
    it begins, but not if it begins several. The likelihoods of a label's alternatives are summed.
    """
    match logprobs:
        case {"content": [*tokens]}:
            for token in tokens:
                match token:
                    case {"token": str(text), "top_logprobs": [_, *_] as alternatives} if _normalized(text):
                        return _sum_by_label(alternatives, labels)
    return None


def _sum_by_label(alternatives: Sequence[object], labels: Sequence[str]) -> list[float] | None:
    likelihoods = dict.fromkeys(labels, 0.0)
    for alternative in alternatives:
        match alternative:
            case {"token": str(text), "logprob": int() | float() as logprob} if start := _normalized(text):
                begun = [label for label in labels if label.lower().startswith(start)]
                equal = [label for label in begun if label.lower() == start]
                if len(matches := equal or begun) == 1 and not math.isnan(logprob):
                    likelihoods[matches[0]] += math.exp(min(logprob, 0.0))  # rounding may make it slightly positive
    if not any(likelihoods.values()):
        return None
    return [math.log(likelihood) if likelihood else -math.inf for likelihood in likelihoods.values()]


def _normalized(token: str) -> str:
    """The token in lower case, without spaces around it."""
    return token.strip().strip(_SPACE_MARKERS).strip().lower()


def _window(chat: "RemoteChat") -> int | None:
    """The model's context window; None if the server reports none or has no list of models.

    Raises:
        UserError: the model is not in the server's list, or the list cannot be read.
    """
    try:
        with chat.server.errors("/models"):
            model_list = chat.root_client.models.with_raw_response.list().http_response.json()
    except StatusError as error:
        if error.status not in (404, 405, 501):
            raise
        return None
    match model_list:
        case {"data": [*entries]}:
            served: dict[str, Mapping[str, Any]] = {
                entry["id"]: entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)
            }
        case _:
            raise chat.server.wrong_format_error("/models", model_list)
    entry = served.get(chat.model_name) or served.get(f"{chat.model_name}:latest")  # Ollama's default tag
    if entry is None:
        names = ", ".join(list(served)[:10]) or "none"
        raise UserError(f"{chat.server} has no model {chat.model_name!r} (llm.model); it has {names}.")
    meta = entry.get("meta")
    n_ctx = meta.get("n_ctx") if isinstance(meta, dict) else None
    windows = (entry.get("max_model_len"), entry.get("context_length"), n_ctx)  # names differ between servers
    return next((window for window in windows if isinstance(window, int) and window > 0), None)
