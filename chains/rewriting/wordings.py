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

TOKENS_PER_WORDING = 48
_BULLET = re.compile(r"^\s*(?:[-*•]|\(?\d{1,2}[.):])\s*")


class LLMRewriter(OnePassRunnable[RewriteRequest, list[str]]):
    """Writes at most the requested number of other wordings of a question, with greedy decoding.

    Each line of the generated text is a wording. A question gets no wordings if it leaves no room for them in the
    model's window.

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
        configs: Sequence[RunnableConfig],  # noqa: ARG002  (part of the interface)
    ) -> list[Exception | list[str]]:
        variables = [
            {"question": self._llm.clean(request["question"]).strip(), "ways": number_of_ways(request["count"])}
            for request in inputs
        ]
        reserve = TOKENS_PER_WORDING * max(request["count"] for request in inputs)
        # Prompts are measured here, since LangChain models and some servers do not refuse those longer than the window.
        fitting = [index for index, one in enumerate(variables) if self._fits(one, reserve)]
        chain: Runnable[Any, str] = self._template | self._llm.writer(reserve) | StrOutputParser()
        outputs: Sequence[object] = chain.batch([variables[index] for index in fitting], return_exceptions=True)
        results: list[Exception | list[str]] = [[] for _ in inputs]
        for index, output in zip(fitting, outputs, strict=True):
            if isinstance(output, Exception) and not isinstance(output, TooLongError):
                raise output
            if isinstance(output, str):
                results[index] = parse_wordings(answer_text(output) or "", inputs[index])
        return results

    def _fits(self, variables: dict[str, str], reserve: int) -> bool:
        if self._llm.window is None:
            return True
        [prompt] = self._llm.prompts([as_dicts(self._template.format_messages(**variables))])
        return self._llm.length(prompt) + reserve <= self._llm.window


def parse_wordings(text: str, request: RewriteRequest) -> list[str]:
    """The distinct lines of a generated text, without bullets and numbering, and without the question itself."""
    question = request["question"].strip()
    lines = (_BULLET.sub("", line).strip().strip('"') for line in text.splitlines())
    distinct = dict.fromkeys(line for line in lines if any(map(str.isalnum, line)) and line != question)
    return list(distinct)[: request["count"]]
