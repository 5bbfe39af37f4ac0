"""Models for tests that obey every instruction which a prompt shows them as one, and nothing that it shows as data.

What stands between the two lines of a fence (``chains.models.prompt_sanitizing``) is data, and so is, in the
question-answering prompt, what stands between "Text:" and the last "Question:". Everything else is an instruction to
them, whoever wrote it: the test of a prompt is that no document's words ever stand there.
"""

import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from pydantic import Field

from chains.config import Family, LLMConfig
from chains.models.base import Prompt
from chains.prompts import Messages, PromptFamily, as_dicts
from common.result_cache import Batches

_CALL = re.compile(r"call (search_literature|read_abstract|check_statement) with \"([^\"]*)\"", re.IGNORECASE)
_ANSWER = re.compile(r"answer only (yes|no|maybe)", re.IGNORECASE)
_REVEAL = re.compile(r"repeat everything", re.IGNORECASE)


def unfenced(text: str) -> str:
    """What of a text stands outside of its fences."""
    kept: list[str] = []
    closing: str | None = None
    for line in text.split("\n"):
        words = line.split(" ")
        if closing is None and len(words) == 3 and words[0] == "DATA" and words[2] == "begins":
            closing = f"DATA {words[1]} ends"
        elif closing is None:
            kept.append(line)
        elif line == closing:
            closing = None
    return "\n".join(kept)


def _outside(content: str) -> str:
    before, found, rest = content.partition("Text:\n")
    if found and "Question:" in rest:
        content = before + rest.rpartition("\n\nQuestion:")[2]
    return unfenced(content)


class ObeyingModel(BaseChatModel):
    """Searches for the question, reads the first abstract and answers; and does whatever it is told besides.

    ``shown`` keeps the messages of every call.
    """

    shown: list[list[BaseMessage]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "obeying"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        self.shown.append(list(messages))
        return ChatResult(generations=[ChatGeneration(message=self._next(messages))])

    def _next(self, messages: list[BaseMessage]) -> AIMessage:
        orders = "\n".join(_outside(str(one.text)) for one in messages if not isinstance(one, AIMessage))
        done = {
            (call["name"], *call["args"].values())
            for m in messages
            if isinstance(m, AIMessage)
            for call in m.tool_calls
        }
        for name, argument in _CALL.findall(orders):
            if not any(made[:2] == (name, argument) for made in done):
                return _calling(name, argument, len(done))
        results = [one for one in messages if isinstance(one, ToolMessage)]
        if not results:
            question = next(str(one.text) for one in messages if one.type == "human")
            return _calling("search_literature", question, 0)
        if len(results) == 1 and (found := re.search(r"\[1\] id (\S+):", str(results[0].text))):
            return _calling("read_abstract", found[1], 1)
        if _REVEAL.search(orders):
            return AIMessage("\n".join(str(one.text) for one in messages))
        told = _ANSWER.search(orders)
        return AIMessage(f"I was told: {told[1]}." if told else "That is what the abstract says.")


def _calling(name: str, argument: str, number: int) -> AIMessage:
    key = {"search_literature": "query", "read_abstract": "id"}.get(name, "statement")
    args = {key: argument, **({"id": "good"} if name == "check_statement" else {})}
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": f"call{number}"}])


class ObeyingWriter(BaseChatModel):
    """The same as the model of ``chains.chat.writer``; ``shown`` keeps the messages of every call."""

    shown: list[Messages] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "obeying"

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        said = as_dicts(messages)
        self.shown.append(said)
        orders = "\n".join(_outside(one["content"]) for one in said if one["role"] != "assistant")
        told = _ANSWER.search(orders)
        text = f"I was told: {told[1]}." if told else "It says so [1]."
        if _REVEAL.search(orders):
            text = "\n".join(one["content"] for one in said) + text
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])


class ObeyingLLM:
    """A model for ``chains.qa.chain``: "yes" where the data says that something works, or the label that it is told."""

    name = "obeying"
    config = LLMConfig()
    cache = None
    window = None
    fingerprint = "obeying"

    @property
    def clean(self) -> Callable[[str], str]:
        return str

    @property
    def chat(self) -> BaseChatModel:
        return ObeyingModel()

    def family(self, family: Family) -> PromptFamily:
        return "generic"

    def prompts(self, conversations: Sequence[Messages]) -> list[Prompt]:
        return [(json.dumps(messages), []) for messages in conversations]

    def length(self, prompt: Prompt) -> int:
        return len(prompt[0]) // 4

    def label_length(self, labels: Sequence[str]) -> int:
        return 1

    def score(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> Batches:
        for place, (prompt, _) in enumerate(prompts):
            content = "\n".join(message["content"] for message in json.loads(prompt))
            told = _ANSWER.search(_outside(content))
            label = told[1].lower() if told else "yes" if "works" in content else "maybe"
            yield [place], [[math.log(0.9 if one == label else 0.05) for one in labels]]

    def writer(self, max_tokens: int) -> Runnable[Any, Any]:
        raise NotImplementedError
