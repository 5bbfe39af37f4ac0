"""Other wordings of a question, written by a language model."""

import re
from collections.abc import Sequence
from typing import Any

from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import Runnable, RunnableConfig

from chains.config import Family
from chains.models.base import LLM, TooLongError, as_llm
from chains.models.reasoning import answer_text
from chains.prompts import as_dicts, number_of_ways, rewriting_template
from retrievers.kinds.multi_query import Rewriting

TOKENS = 48  # that a wording may take
_BULLET = re.compile(r"^\s*(?:[-*•]|\(?\d{1,2}[.):])\s*")


class LLMRewriter(Runnable[Rewriting, list[str]]):
    """From a question to other wordings of it, all questions of a batch in one pass; greedy, so always the same.

    A line of what the model writes is a wording. A question that leaves no room in the model's window gets none.
    """

    def __init__(self, llm: LLM | Runnable[Any, Any], family: Family = "auto") -> None:
        """Let ``llm``, ours or LangChain's, write, asked in the wording of ``family``."""
        self._llm = as_llm(llm)
        self._template = rewriting_template(self._llm.family(family), self._llm.config.system)

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
            {"question": self._llm.clean(one["question"]).strip(), "ways": number_of_ways(one["count"])}
            for one in inputs
        ]
        reserve = TOKENS * max(one["count"] for one in inputs)
        fitting = [place for place, one in enumerate(asked) if self._fits(one, reserve)]
        chain: Runnable[Any, str] = self._template | self._llm.writer(reserve) | StrOutputParser()
        written = chain.batch([asked[place] for place in fitting], return_exceptions=True)
        found: list[list[str]] = [[] for _ in inputs]
        for place, text in zip(fitting, written, strict=True):
            if isinstance(text, Exception) and not isinstance(text, TooLongError):
                raise text
            if isinstance(text, str):
                found[place] = wordings(answer_text(text) or "", inputs[place])
        return found

    def _fits(self, asked: dict[str, str], reserve: int) -> bool:
        if self._llm.window is None:
            return True
        [prompt] = self._llm.prompts([as_dicts(self._template.format_messages(**asked))])
        return self._llm.length(prompt) + reserve <= self._llm.window


def wordings(text: str, asked: Rewriting) -> list[str]:
    """The lines that a model wrote, without numbers or bullets before them, each once and none the question itself."""
    lines = (_BULLET.sub("", line).strip().strip('"') for line in text.splitlines())
    told = dict.fromkeys(line for line in lines if any(map(str.isalnum, line)) and line != asked["question"].strip())
    return list(told)[: asked["count"]]
