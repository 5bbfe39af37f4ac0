"""A language model on a server that speaks OpenAI's protocol: vLLM, TGI, llama.cpp, Ollama, or ``medground serve``."""

import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from chains.config import Family, LLMConfig
from chains.models.base import Prompt, estimated_tokens
from chains.models.endpoint import KEY, Endpoint, RefusedError, TooLongError
from chains.prompts import Messages, PromptFamily, resolve_family
from common.errors import UserError
from common.fingerprints import content_key
from common.privacy import is_loopback
from common.result_cache import Batches, ResultCache

if TYPE_CHECKING:
    from chains.models.remote_chat import RemoteChat

_COMPLETIONS = "/chat/completions"
_ALTERNATIVES = 20  # the most that the protocol gives for a token
_TURN = 8  # tokens around a turn
_MARKS = "▁Ġ"  # what vocabularies write for a space
# Turns of the usual chat templates. The server's own are not known, and a text that spells them would end its turn.
_SPECIAL = re.compile(
    r"<\|[\w-]{1,40}\|>|</?s>|<(?:bos|eos|pad|unk|start_of_turn|end_of_turn)>|\[/?INST\]|<</?SYS>>"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]"
)
_announced: set[str] = set()


def connect(config: LLMConfig, cache: ResultCache | None = None) -> "RemoteLLM":
    """The model that ``config`` names on its server, which is asked whether it is there.

    A server beyond this machine is named on stderr, once, before anything is sent to it.

    Raises:
        UserError: the server cannot be reached, refuses the key, or does not serve the model.
    """
    assert config.base_url is not None  # LLMConfig has seen to it
    if not is_loopback(urlsplit(config.base_url).hostname) and config.base_url not in _announced:
        _announced.add(config.base_url)
        sys.stderr.write(f"Questions and texts are sent to {config.base_url}, as llm.base_url says.\n")
    endpoint = Endpoint(config.base_url, os.environ.get(KEY) or None)
    return RemoteLLM(config.model, config, endpoint, config.window or _window(endpoint, config.model), cache)


@dataclass(frozen=True)
class RemoteLLM:
    """A model on a server, asked in the chat form; the server puts the template around the turns.

    A label's likelihood is that of the first token that could begin it, among the 20 most probable that the server
    gives, however it is written ("Yes", " yes"): a label that is not among them has none. Where the server gives no
    probabilities, or none of the labels is among them, what the model wrote stands in their place. How long a prompt is
    can only be estimated here.
    """

    name: str
    config: LLMConfig
    endpoint: Endpoint
    window: int | None
    cache: ResultCache | None = None

    @cached_property
    def fingerprint(self) -> str:
        """Of the address and the model's name: that another model is served by the same name is not noticed."""
        most = self.config.max_new_tokens
        return content_key(base_url=self.endpoint.url, model=self.name, most=most, medground=version("medground"))

    @cached_property
    def chat(self) -> "RemoteChat":
        """The model as a LangChain chat model.

        Raises:
            UserError: the package for it is not installed.
        """
        try:
            from chains.models.remote_chat import remote_chat
        except ImportError as error:
            raise UserError(
                "Conversations with a model on a server need langchain-openai: pip install 'medground[openai]'."
            ) from error
        return remote_chat(self.name, self.endpoint)

    @property
    def clean(self) -> Callable[[str], str]:
        """Blanks out what chat templates mark turns by, and what cannot be printed."""
        return _clean

    def family(self, family: Family) -> PromptFamily:
        """Whose wording its prompts have; ``auto`` goes by the name."""
        return resolve_family(family, "gemma" if "gemma" in self.name.lower() else "llama", self.name, "")

    def prompts(self, conversations: Sequence[Messages]) -> list[Prompt]:
        """Each conversation as the JSON that is sent."""
        return [(json.dumps(messages, ensure_ascii=False), []) for messages in conversations]

    def length(self, prompt: Prompt) -> int:
        """How many tokens a prompt takes, estimated from its bytes."""
        messages = json.loads(prompt[0])
        return sum(estimated_tokens(message["content"]) + _TURN for message in messages)

    def label_length(self, labels: Sequence[str]) -> int:
        """How many tokens the longest label may take."""
        return max(estimated_tokens(label) + 1 for label in labels)

    def score(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> Batches:
        """The place of each prompt with the log-likelihoods of the labels, or with what the model wrote.

        A prompt that the server finds too long has the error in their place.

        Raises:
            UserError: the server gives no answer that can be used.
        """
        most = max(self.config.max_new_tokens, self.label_length(labels))

        def one(prompt: Prompt) -> Any:
            choice = self._choice(prompt, most, scored=True)
            row = label_row(choice.get("logprobs"), labels)
            return _text(self.endpoint, choice) if row is None else row

        return self._each(prompts, one)

    def write(self, prompts: Sequence[Prompt], most: int) -> Batches:
        """The place of each prompt with what the model wrote, or with the error where the server finds it too long.

        Raises:
            UserError: the server gives no answer that can be used.
        """
        return self._each(prompts, lambda prompt: _text(self.endpoint, self._choice(prompt, most, scored=False)))

    def _each(self, prompts: Sequence[Prompt], one: Callable[[Prompt], Any]) -> Iterator[tuple[list[int], list[Any]]]:
        """Results one by one as they come in.

        A prompt that is too long has its own error; any other ends it, and what had not been sent is not sent.
        """

        def result(prompt: Prompt) -> Any:
            try:
                return one(prompt)
            except TooLongError as error:
                return error

        with ThreadPoolExecutor(self.config.concurrency, thread_name_prefix="llm") as pool:
            places = {pool.submit(result, prompt): place for place, prompt in enumerate(prompts)}
            try:
                for future in as_completed(places):
                    yield [places[future]], [future.result()]
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _choice(self, prompt: Prompt, most: int, *, scored: bool) -> Mapping[str, Any]:
        body = {"model": self.name, "messages": json.loads(prompt[0]), "max_tokens": most, "temperature": 0, "seed": 0}
        asked = {**body, "logprobs": True, "top_logprobs": _ALTERNATIVES} if scored else body
        try:
            answer = self.endpoint.post(_COMPLETIONS, asked)
        except RefusedError as error:
            if not (scored and error.status in (400, 422, 501) and "logprob" in error.told.lower()):
                raise
            answer = self.endpoint.post(_COMPLETIONS, body)
        match answer:
            case {"choices": [{"message": {}} as choice, *_]}:
                found: Mapping[str, Any] = choice
                return found
        raise self.endpoint.malformed(_COMPLETIONS, answer)


def label_row(logprobs: object, labels: Sequence[str]) -> list[float] | None:
    """The labels' log-likelihoods from the ``logprobs`` of a choice; None where it has none for any of them.

    The first token of the answer that is not white space decides. An alternative counts for a label that it begins,
    regardless of case, if it begins no other; several of them are added up.
    """
    match logprobs:
        case {"content": [*tokens]}:
            pass
        case _:
            return None
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
                    found[one[0]].append(min(float(likelihood), 0.0))  # rounding may leave it a little above
    row = [
        math.log(sum(map(math.exp, values))) if any(map(math.exp, values)) else -math.inf for values in found.values()
    ]
    return row if any(map(math.isfinite, row)) else None


def _plain(token: str) -> str:
    return token.strip().strip(_MARKS).strip().lower()


def _text(endpoint: Endpoint, choice: Mapping[str, Any]) -> str:
    content = choice["message"].get("content")
    if content is None:  # a model that had nothing to say
        return ""
    if not isinstance(content, str):
        raise endpoint.malformed(_COMPLETIONS, choice)
    return content


def _clean(text: str) -> str:
    return _SPECIAL.sub(lambda found: " " * len(found[0]), text)


def _window(endpoint: Endpoint, model: str) -> int | None:
    """How many tokens the model takes, as far as the server says; a server without a list of models is believed."""
    try:
        listed = endpoint.get("/models")
    except RefusedError as error:
        if error.status not in (404, 405, 501):
            raise
        return None
    match listed:
        case {"data": [*entries]}:
            served = {
                entry["id"]: entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)
            }
        case _:
            raise endpoint.malformed("/models", listed)
    entry = served.get(model) or served.get(f"{model}:latest")
    if entry is None:
        names = ", ".join(list(served)[:10]) or "none"
        raise UserError(
            f"The server at {endpoint.url} (llm.base_url) has no model {model!r} (llm.model); it has {names}."
        )
    meta = entry.get("meta")
    told = (
        entry.get("max_model_len"),
        entry.get("context_length"),
        meta.get("n_ctx") if isinstance(meta, dict) else None,
    )
    for value in told:
        if isinstance(value, int) and value > 0:
            return value
    return None
