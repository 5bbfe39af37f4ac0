"""Other wordings of a question, written by a language model."""

import re
from collections.abc import Sequence
from typing import Any

from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import Runnable, RunnableConfig

from chains.config import Family
from chains.models.base import LLM, TooLongError, as_llm
from chains.models.one_pass import OnePassRunnable
from chains.models.reasoning import answer_text
from chains.prompts import as_dicts, number_of_ways, rewriting_template
from retrievers.kinds.multi_query import RewriteRequest

TOKENS = 48  # per wording
_BULLET = re.compile(r"^\s*(?:[-*•]|\(?\d{1,2}[.):])\s*")


class LLMRewriter(OnePassRunnable[RewriteRequest, list[str]]):
    """Writes other wordings of a question, at most as many as asked for, with greedy decoding.

    Each line of the generated text is a wording. A question that leaves no room in the model's window gets none.

    Args:
        llm: a model of ``chains.models`` or of LangChain.
        family: the wording of the prompt.
    """

    def __init__(self, llm: LLM | Runnable[Any, Any], family: Family = "auto") -> None:
        self._llm = as_llm(llm)
        self._template = rewriting_template(self._llm.family(family), self._llm.config.system)

    def _in_one_pass(
        self,
        inputs: Sequence[RewriteRequest],
        configs: Sequence[RunnableConfig],  # noqa: ARG002  (the model has no runs of its own)
    ) -> list[Exception | list[str]]:
        asked = [
            {"question": self._llm.clean(one["question"]).strip(), "ways": number_of_ways(one["count"])}
            for one in inputs
        ]
        reserve = TOKENS * max(one["count"] for one in inputs)
        fitting = [place for place, one in enumerate(asked) if self._fits(one, reserve)]
        chain: Runnable[Any, str] = self._template | self._llm.writer(reserve) | StrOutputParser()
        written = chain.batch([asked[place] for place in fitting], return_exceptions=True)
        found: list[Exception | list[str]] = [[] for _ in inputs]
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


def wordings(text: str, asked: RewriteRequest) -> list[str]:
    """The distinct lines of a generated text, without bullets and numbering, and without the question itself."""
    lines = (_BULLET.sub("", line).strip().strip('"') for line in text.splitlines())
    found = dict.fromkeys(line for line in lines if any(map(str.isalnum, line)) and line != asked["question"].strip())
    return list(found)[: asked["count"]]
