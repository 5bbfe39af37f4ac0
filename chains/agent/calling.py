"""An agent that chooses its own steps, for models that can call tools."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig

from chains.agent.answering import NO_EVIDENCE, NOT_SUPPORTED, Read, Verify, answer_from, holds, withhold
from chains.agent.grading import Grader
from chains.agent.steps import LimitReached, Run, Step
from chains.agent.tools import Findings, make_tools
from chains.answer import Answer
from chains.config import AgentConfig
from chains.marks import MarkWriter, find_marks, passage_numbers, renumbered
from chains.models.base import estimated_tokens
from chains.prompts import agent_rules
from chains.qa.base import AnswerChain, Question
from chains.verification.sentences import with_sentences
from chains.verification.statements import Checker
from common.errors import UserError

if TYPE_CHECKING:
    from langchain.agents.middleware import AgentMiddleware

NOTHING_SOUGHT = "the model called no tool to search with (agent.kind graph needs none that can)"


class ToolAgent(AnswerChain):
    """Lets a model search and read until it stops, and then answers from what it has found.

    The model decides what is searched for and read, and nothing else: the label comes, as with ``graph.GraphAgent``,
    from reading the passages that are graded as evidence, and is judged. What the model says at the end is told with an
    answer that holds. Its tools reach the searched passages only (``agent.tools``), and only calls of the model itself
    are run, whatever a tool's result looks like.

    Args:
        model: a chat model that can call tools.
        retriever: where passages come from.
        read: makes the chain that answers from given passages.
        grader: tells evidence from the rest.
        verify: judges answers; None for none.
        config: the limits.
        checker: checks the statements of ``check_statement``; without it there is no such tool.
        tell: is told each step.
        passages: how many passages ``read`` reads at once.
        clean: blanks out what must not come into a prompt.
        support: judges the sentences of what the model says; None for no verdicts.
    """

    def __init__(
        self,
        model: BaseChatModel,
        retriever: BaseRetriever,
        read: Read,
        grader: Grader,
        verify: Verify | None,
        config: AgentConfig,
        *,
        checker: Checker | None = None,
        tell: Callable[[Step], None] = lambda _: None,
        passages: int = 1,
        clean: Callable[[str], str] = str,
        support: Callable[[Answer], Answer] | None = None,
    ) -> None:
        self._model = model
        self._retriever = retriever
        self._read = read
        self._grader = grader
        self._verify = verify
        self._config = config
        self._checker = checker
        self._tell = tell
        self._passages = passages
        self._clean = clean
        self._support = support

    def answer_all(self, questions: Sequence[Question]) -> list[Answer | UserError]:
        """One run for each question."""
        answers: list[Answer | UserError] = []
        for question in questions:
            try:
                answers.append(self._answer(question.text, question.config))
            except UserError as error:
                answers.append(error)
        return answers

    def _answer(self, question: str, config: RunnableConfig | None) -> Answer:
        limits = self._config
        run = Run(limits.max_steps, limits.max_tokens, limits.max_seconds, self._tell)
        findings = Findings()
        said, stopped = "", None
        try:
            said = self._converse(question, run, findings, config)
        except LimitReached as limit:
            stopped = str(limit)
        answer = self._from(question, run, findings, stopped)
        if answer.label is None or not said.strip():
            return answer
        answer = with_sentences(_as_said(said, answer, findings), attribute=self._support is None)
        return answer if self._support is None else self._support(answer)

    def _converse(self, question: str, run: Run, findings: Findings, config: RunnableConfig | None) -> str:
        """What the model says when it calls no more tools."""
        from langchain.agents import create_agent

        tools = make_tools(self._retriever, findings, self._checker, passages=self._config.passages, clean=self._clean)
        agent: Any = create_agent(
            self._model,
            tools,
            system_prompt=agent_rules([tool.name for tool in tools]),
            middleware=[_counted(run)],
            checkpointer=False,  # a run inside another graph is not kept by that one's checkpointer
        )
        steps = {**(config or {}), "recursion_limit": 6 * self._config.max_steps + 10}
        end = agent.invoke({"messages": [{"role": "user", "content": self._clean(question)}]}, steps)
        return str(end["messages"][-1].text)

    def _from(self, question: str, run: Run, findings: Findings, stopped: str | None) -> Answer:
        """The answer that the evidence among the findings gives; the model's own words play no part in it."""
        found = list(findings.passages.values())
        grades = self._grader.grade(question, found) if found else []
        best = sorted((one for one in grades if one.is_evidence), key=lambda grade: -grade.covers)
        evidence = [one.passage for one in best]
        run.done("grade", evidence=[one.id for one in evidence])
        reason = stopped or (NOTHING_SOUGHT if not findings.searched else NO_EVIDENCE)
        answer = None
        if evidence and stopped is None:
            answer = answer_from(self._read, question, evidence[: self._passages], self._verify)
            given = holds(answer, self._config.confidence, settled=any(one.settles for one in best))
            run.done("answer", label=answer.label, verdict=answer.verdict, holds=given)
            if given:
                return answer
            reason = NOT_SUPPORTED
        run.done("withhold", reason=reason)
        return withhold(question, reason, found, findings.searched, answer)


def _as_said(said: str, answer: Answer, findings: Findings) -> Answer:
    """The answer in the model's words, whose marks number the findings; cited findings are among its passages."""
    found = list(findings.passages.values())
    marks = MarkWriter(len(found))
    text = "".join(marks.write([said]))
    cited = {number for mark in find_marks(text, len(found)) for number in mark.numbers}
    read = {passage.id for passage in answer.passages}
    more = [passage for number, passage in enumerate(found, start=1) if number in cited and passage.id not in read]
    passages = (*answer.passages, *more)
    numbers = passage_numbers(passages)
    text = renumbered(text, [numbers.get(passage.id, 0) for passage in found])
    return answer.model_copy(update={"text": text, "passages": passages, "notes": (*answer.notes, *marks.notes)})


def _counted(run: Run) -> "AgentMiddleware[Any, Any]":
    """Counts each call of the model and of a tool against the run's limits, and tells it."""
    from langchain.agents.middleware import AgentMiddleware

    class Counted(AgentMiddleware[Any, Any]):
        def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
            run.begin()
            response = handler(request)
            written = [one for one in response.result if isinstance(one, AIMessage)]
            run.tokens += sum(_tokens(one) for one in (*request.messages, *written))
            calls = [{"name": call["name"], "args": call["args"]} for one in written for call in one.tool_calls]
            run.done("model", calls=calls, said=" ".join(str(one.text) for one in written), tokens=run.tokens)
            return response

        def wrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
            run.begin()
            result = handler(request)
            run.done("tool", name=request.tool_call["name"], args=request.tool_call["args"], result=str(result.content))
            return result

    return Counted()


def _tokens(message: BaseMessage) -> int:
    calls = [str(call["args"]) for call in message.tool_calls] if isinstance(message, AIMessage) else []
    return sum(map(estimated_tokens, (str(message.text), *calls)))
