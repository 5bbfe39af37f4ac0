"""The agent of kind tools: a model that calls tools chooses the steps."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig

from chains.agent.answering import NO_EVIDENCE, NOT_SUPPORTED, Agent, answer_from, is_acceptable, withhold
from chains.agent.steps import LimitReached, Run
from chains.agent.tools import Findings, make_tools
from chains.answer import Answer
from chains.marks import MarkWriter, find_marks, passage_numbers, renumbered
from chains.models.base import estimated_tokens
from chains.models.reasoning import answer_text
from chains.prompts import agent_rules
from chains.verification.sentences import with_sentences
from chains.verification.statements import Checker

if TYPE_CHECKING:
    from langchain.agents.middleware import AgentMiddleware

NO_SEARCH = "the model called no search tool (agent.kind graph works without tool calls)"


@dataclass(eq=False, kw_only=True)
class ToolAgent(Agent):
    """Lets a model search and read with tools, then answers from the passages found.

    The model decides only what to search and read. The answer's label is computed from the passages graded as evidence
    and is verified, as in ``graph.GraphAgent``. If the answer is accepted (``answering.is_acceptable``), the model's
    last message becomes its text. The tools reach only passages found by a search (``agent.tools``), and only the
    model's tool calls are executed, never text in a tool's result.

    Args:
        retriever, make_chain, grader, verify, config, on_step, passages_per_answer: see ``answering.Agent``.
        model: a chat model that supports tool calls.
        checker: runs the tool ``check_statement``; None leaves that tool out.
        clean: removes special tokens from texts in prompts.
        verify_sentences: adds verdicts to the sentences of the model's text; None for no verification.
    """

    model: BaseChatModel
    checker: Checker | None = None
    clean: Callable[[str], str] = str
    verify_sentences: Callable[[Answer], Answer] | None = None

    def _answer(self, question: str, run: Run, config: RunnableConfig) -> Answer:
        findings = Findings()
        text, limit_message = "", None
        try:
            text = self._converse(question, run, findings, config)
        except LimitReached as limit:
            limit_message = str(limit)
        answer = self._answer_from_findings(question, run, findings, limit_message)
        if answer.label is None or not text.strip():
            return answer
        answer = with_sentences(_with_text(text, answer, findings), attribute=self.verify_sentences is None)
        return answer if self.verify_sentences is None else self.verify_sentences(answer)

    def _converse(self, question: str, run: Run, findings: Findings, config: RunnableConfig) -> str:
        """The model's last message, without tool calls and reasoning."""
        from langchain.agents import create_agent

        tools = make_tools(self.retriever, findings, self.checker, passages=self.config.passages, clean=self.clean)
        agent: Any = create_agent(
            self.model,
            tools,
            system_prompt=agent_rules([tool.name for tool in tools]),
            middleware=[_step_counter(run)],
            checkpointer=False,  # do not use the checkpointer of an enclosing graph
        )
        # The recursion limit is high enough that ``max_steps`` is reached first.
        run_config = {**config, "recursion_limit": 6 * self.config.max_steps + 10}
        state = agent.invoke({"messages": [{"role": "user", "content": self.clean(question)}]}, run_config)
        return answer_text(str(state["messages"][-1].text)) or ""

    def _answer_from_findings(self, question: str, run: Run, findings: Findings, limit_message: str | None) -> Answer:
        """The answer from the evidence among the findings, or an abstention; the model's text is not used."""
        found = list(findings.passages.values())
        grades = self.grader.grade(question, found) if found else []
        best_first = sorted((one for one in grades if one.is_evidence), key=lambda grade: -grade.coverage)
        evidence = [one.passage for one in best_first]
        run.done("grade", evidence=[one.id for one in evidence])
        reason = limit_message or (NO_SEARCH if not findings.queries else NO_EVIDENCE)
        answer = None
        if evidence and limit_message is None:
            answer = answer_from(self.make_chain, question, evidence[: self.passages_per_answer], self.verify)
            settled = any(one.settles_question for one in best_first)
            accepted = is_acceptable(answer, self.config.confidence, question_settled=settled)
            run.done("answer", label=answer.label, verdict=answer.verdict, holds=accepted)
            if accepted:
                return answer
            reason = NOT_SUPPORTED
        run.done("withhold", reason=reason)
        return withhold(question, reason, found, findings.queries, answer)


def _with_text(text: str, answer: Answer, findings: Findings) -> Answer:
    """The answer with the model's text. Findings that the text cites are added to the answer's passages.

    The citation marks are renumbered, since the model cites the numbers of the findings.
    """
    found = list(findings.passages.values())
    marks = MarkWriter(len(found))
    text = "".join(marks.write([text]))
    cited = {number for mark in find_marks(text, len(found)) for number in mark.numbers}
    known = {passage.id for passage in answer.passages}
    added = [one for number, one in enumerate(found, start=1) if number in cited and one.id not in known]
    passages = (*answer.passages, *added)
    numbers = passage_numbers(passages)
    text = renumbered(text, [numbers.get(passage.id, 0) for passage in found])
    return answer.noted(*marks.notes, text=text, passages=passages)


def _step_counter(run: Run) -> "AgentMiddleware[Any, Any]":
    """Middleware that counts and reports each call of the model and of a tool."""
    from langchain.agents.middleware import AgentMiddleware

    class StepCounter(AgentMiddleware[Any, Any]):
        def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
            run.begin()
            response = handler(request)
            replies = [one for one in response.result if isinstance(one, AIMessage)]
            run.tokens += sum(_tokens(one) for one in (*request.messages, *replies))
            calls = [{"name": call["name"], "args": call["args"]} for one in replies for call in one.tool_calls]
            run.done("model", calls=calls, said=" ".join(str(one.text) for one in replies), tokens=run.tokens)
            return response

        def wrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
            run.begin()
            result = handler(request)
            run.done("tool", name=request.tool_call["name"], args=request.tool_call["args"], result=str(result.content))
            return result

    return StepCounter()


def _tokens(message: BaseMessage) -> int:
    """The estimated tokens of a message's text and tool arguments."""
    calls = [str(call["args"]) for call in message.tool_calls] if isinstance(message, AIMessage) else []
    return sum(map(estimated_tokens, (str(message.text), *calls)))
