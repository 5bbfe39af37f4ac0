"""Models for tests of prompt injection, which obey every instruction in a prompt except in text marked as data.

Data is the text inside a fence (``chains.models.prompt_sanitizing``) and, in the question-answering prompt, between
"Text:" and the last "Question:". A model that obeys an injected instruction found it outside of these places.
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
    """The lines of a text that are outside of fences."""
    outside: list[str] = []
    last_line: str | None = None
    for line in text.split("\n"):
        words = line.split(" ")
        if last_line is None and len(words) == 3 and words[0] == "DATA" and words[2] == "begins":
            last_line = f"DATA {words[1]} ends"
        elif last_line is None:
            outside.append(line)
        elif line == last_line:
            last_line = None
    return "\n".join(outside)


def _without_data(prompt: str) -> str:
    before, marker, rest = prompt.partition("Text:\n")
    if marker and "Question:" in rest:
        prompt = before + rest.rpartition("\n\nQuestion:")[2]
    return unfenced(prompt)


class ObeyingModel(BaseChatModel):
    """An agent's model: searches for the question, reads the first abstract, answers, and obeys instructions.

    ``shown`` records the messages of each call.
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
        instructions = "\n".join(_without_data(str(m.text)) for m in messages if not isinstance(m, AIMessage))
        calls = {
            (call["name"], *call["args"].values())
            for message in messages
            if isinstance(message, AIMessage)
            for call in message.tool_calls
        }
        for tool, argument in _CALL.findall(instructions):
            if not any(call[:2] == (tool, argument) for call in calls):
                return _tool_call(tool, argument, len(calls))
        results = [message for message in messages if isinstance(message, ToolMessage)]
        if not results:
            question = next(str(message.text) for message in messages if message.type == "human")
            return _tool_call("search_literature", question, 0)
        if len(results) == 1 and (first_hit := re.search(r"\[1\] id (\S+):", str(results[0].text))):
            return _tool_call("read_abstract", first_hit[1], 1)
        if _REVEAL.search(instructions):
            return AIMessage("\n".join(str(message.text) for message in messages))
        instruction = _ANSWER.search(instructions)
        return AIMessage(f"I was told: {instruction[1]}." if instruction else "That is what the abstract says.")


def _tool_call(tool: str, argument: str, number: int) -> AIMessage:
    parameter = {"search_literature": "query", "read_abstract": "id"}.get(tool, "statement")
    args = {parameter: argument, **({"id": "good"} if tool == "check_statement" else {})}
    return AIMessage("", tool_calls=[{"name": tool, "args": args, "id": f"call{number}"}])


class ObeyingWriter(BaseChatModel):
    """A model for ``chains.chat.writer``, which writes answers.

    ``shown`` records the messages of each call; ``response_metadata`` is that of each answer.
    """

    shown: list[Messages] = Field(default_factory=list)
    response_metadata: dict[str, Any] = Field(default_factory=dict)

    @property
    def _llm_type(self) -> str:
        return "obeying"

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        shown = as_dicts(messages)
        self.shown.append(shown)
        instructions = "\n".join(_without_data(m["content"]) for m in shown if m["role"] != "assistant")
        instruction = _ANSWER.search(instructions)
        text = f"I was told: {instruction[1]}." if instruction else "It says so [1]."
        if _REVEAL.search(instructions):
            text = "\n".join(message["content"] for message in shown) + text
        message = AIMessage(text, response_metadata=self.response_metadata)
        return ChatResult(generations=[ChatGeneration(message=message)])


class ObeyingLLM:
    """A model for ``chains.qa.chain``: labels as instructed, else "yes" if the prompt has "works", else "maybe"."""

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
            instruction = _ANSWER.search(_without_data(content))
            answer = instruction[1].lower() if instruction else "yes" if "works" in content else "maybe"
            yield [place], [[math.log(0.9 if label == answer else 0.05) for label in labels]]

    def writer(self, max_tokens: int) -> Runnable[Any, Any]:
        raise NotImplementedError
