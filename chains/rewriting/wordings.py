"""Other wordings of a question, written by a language model."""

import re
from collections.abc import Sequence
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig

from chains.config import Family
from chains.models.base import LLM
from chains.models.batching import in_order
from chains.prompts import rewriting_prompt
from common.errors import UserError
from retrievers.multi_query import Rewriting

TOKENS = 48  # that a wording may take
_BULLET = re.compile(r"^\s*(?:[-*•]|\(?\d{1,2}[.):])\s*")


class LLMRewriter(Runnable[Rewriting, list[str]]):
    """From a question to other wordings of it, all questions of a batch in one pass; greedy, so always the same.

    A line of what the model writes is a wording. A question that leaves no room in the model's window gets none.
    """

    def __init__(self, llm: LLM, family: Family = "auto") -> None:
        """Let ``llm`` write, asked in the wording of ``family``."""
        self._llm = llm
        self._family = llm.family(family)

    def invoke(self, input: Rewriting, config: RunnableConfig | None = None, **kwargs: Any) -> list[str]:
        """The wordings of one question."""
        return self.batch([input], config, **kwargs)[0]

    def batch(
        self,
        inputs: Sequence[Rewriting],
        config: RunnableConfig | list[RunnableConfig] | None = None,  # noqa: ARG002
        *,
        return_exceptions: bool = False,  # noqa: ARG002  (nothing is raised for a single question)
        **kwargs: Any,  # noqa: ARG002
    ) -> list[list[str]]:
        """The wordings of each question, at most as many as it asks for.

        Raises:
            UserError: a single prompt does not fit in memory.
        """
        if not inputs:
            return []
        asked = [
            rewriting_prompt(
                self._family, self._llm.clean(one["question"]).strip(), one["count"], system=self._llm.config.system
            )
            for one in inputs
        ]
        prompts = self._llm.prompts(asked)
        reserve = TOKENS * max(one["count"] for one in inputs)
        window = self._llm.window
        lengths = [self._llm.length(prompt) for prompt in prompts]
        fitting = [place for place, length in enumerate(lengths) if window is None or length + reserve <= window]
        written: list[str | UserError] = in_order(self._llm.write([prompts[place] for place in fitting], reserve))
        found: list[list[str]] = [[] for _ in inputs]
        for place, text in zip(fitting, written, strict=True):
            if isinstance(text, str):
                found[place] = wordings(text, inputs[place])
        return found


def wordings(text: str, asked: Rewriting) -> list[str]:
    """The lines that a model wrote, without numbers or bullets before them, each once and none the question itself."""
    lines = (_BULLET.sub("", line).strip().strip('"') for line in text.splitlines())
    told = dict.fromkeys(line for line in lines if any(map(str.isalnum, line)) and line != asked["question"].strip())
    return list(told)[: asked["count"]]
