"""Retrieve, grade, reword, answer, verify, withhold: fixed steps that any model can take, as a LangGraph graph."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig

from chains.agent.answering import NO_EVIDENCE, NOT_SUPPORTED, Read, Verify, answer_from, holds, withhold
from chains.agent.grading import Grader
from chains.agent.steps import LimitReached, Run, Step
from chains.answer import Answer, Passage
from chains.config import AgentConfig
from chains.qa.base import AnswerChain, Question, retrieve
from chains.rewriting.keywords import Reword
from common.errors import UserError

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

_Next = Literal["answer", "reword", "withhold", "__end__"]


class _State(TypedDict):
    """What a run knows.

    ``evidence`` is what may still be answered from, ``settled`` whether any evidence so far settles the question,
    ``holds`` whether ``answer`` may be given, ``stop`` why nothing further is done.
    """

    question: str
    wordings: list[str]
    found: list[Passage]
    graded: int
    evidence: list[Passage]
    settled: bool
    answer: Answer | None
    holds: bool
    stop: str | None
    run: Run


class GraphAgent(AnswerChain):
    """Answers from graded evidence, and withholds an answer that has none.

    A search brings passages; those that are evidence are read, and the answer is judged. Where there is no evidence, or
    the answer is not borne out, the evidence that was left over is read, then the question is put in other words and
    searched for again, at most ``config.rewrites`` times. What ends without an answer that holds (``answering.holds``)
    ends with a text that says why, what was searched for and what was found; an answer that was kept back is in
    ``Answer.withheld``.

    Args:
        retriever: where passages come from.
        read: makes the chain that answers from given passages, of which it reads as many as it is set to.
        grader: tells evidence from the rest.
        verify: judges answers; None for none.
        reword: finds other words for a question.
        config: the limits.
        tell: is told each step.
        passages: how many passages ``read`` reads at once.
    """

    def __init__(
        self,
        retriever: BaseRetriever,
        read: Read,
        grader: Grader,
        verify: Verify | None,
        reword: Reword,
        config: AgentConfig,
        *,
        tell: Callable[[Step], None] = lambda _: None,
        passages: int = 1,
    ) -> None:
        self._retriever = retriever
        self._read = read
        self._grader = grader
        self._verify = verify
        self._reword = reword
        self._config = config
        self._tell = tell
        self._passages = passages
        self._graph = self._compiled()

    def answer_all(self, questions: Sequence[Question]) -> list[Answer | UserError]:
        """One run for each question."""
        return [self._answer(question.text, question.config) for question in questions]

    def _answer(self, question: str, config: RunnableConfig | None) -> Answer | UserError:
        limits = self._config
        run = Run(limits.max_steps, limits.max_tokens, limits.max_seconds, self._tell)
        start: _State = {
            "question": question,
            "wordings": [question],
            "found": [],
            "graded": 0,
            "evidence": [],
            "settled": False,
            "answer": None,
            "holds": False,
            "stop": None,
            "run": run,
        }
        try:
            end = self._graph.invoke(start, {**(config or {}), "recursion_limit": 2 * limits.max_steps + 4})
        except UserError as error:
            return error
        answer: Answer = end["answer"]
        return answer

    def _compiled(self) -> "CompiledStateGraph[_State, None, _State, _State]":
        from langgraph.graph import START, StateGraph

        graph = StateGraph(_State)
        for name, node in (
            ("retrieve", self._retrieve),
            ("grade", self._grade),
            ("answer", self._answer_from),
            ("reword", self._put_otherwise),
        ):
            limited: Any = _limited(node)
            graph.add_node(name, limited)
        graph.add_node("withhold", self._withhold)
        graph.add_edge(START, "retrieve")
        graph.add_conditional_edges("retrieve", lambda state: "withhold" if state["stop"] else "grade")
        graph.add_conditional_edges("grade", self._after_grading, ["answer", "reword", "withhold"])
        graph.add_conditional_edges("answer", self._after_answering, ["answer", "reword", "withhold", "__end__"])
        graph.add_conditional_edges("reword", lambda state: "withhold" if state["stop"] else "retrieve")
        graph.add_edge("withhold", "__end__")
        return graph.compile(checkpointer=False)  # a run inside another graph is not kept by that one's checkpointer

    def _retrieve(self, state: _State) -> dict[str, Any]:
        wording = state["wordings"][-1]
        found = retrieve(self._retriever, [Question(wording)], self._config.passages)[0]
        known = {one.id for one in state["found"]}
        new = [one for one in found if one.id not in known]
        scores = {one.id: one.score for one in found}
        state["run"].done("retrieve", searched=wording, found=scores, new=[one.id for one in new])
        return {"found": [*state["found"], *new]}

    def _grade(self, state: _State) -> dict[str, Any]:
        new = state["found"][state["graded"] :]
        grades = self._grader.grade(state["question"], new) if new else []
        evidence = sorted((one for one in grades if one.is_evidence), key=lambda one: -one.covers)
        told = {
            one.passage.id: {"covers": one.covers, "decides": one.decides, "evidence": one.is_evidence}
            for one in grades
        }
        state["run"].done("grade", grades=told)
        settled = state["settled"] or any(one.settles for one in evidence)
        return {"graded": len(state["found"]), "evidence": [one.passage for one in evidence], "settled": settled}

    def _answer_from(self, state: _State) -> dict[str, Any]:
        read, left = state["evidence"][: self._passages], state["evidence"][self._passages :]
        answer = answer_from(self._read, state["question"], read, self._verify)
        may_be_given = holds(answer, self._config.confidence, settled=state["settled"])
        state["run"].done(
            "answer",
            read=[one.id for one in read],
            label=answer.label,
            label_scores=answer.label_scores,
            verdict=answer.verdict,
            holds=may_be_given,
        )
        kept = answer if may_be_given or state["answer"] is None else state["answer"]
        return {"answer": kept, "evidence": left, "holds": may_be_given}

    def _put_otherwise(self, state: _State) -> dict[str, Any]:
        wording = self._reword(state["question"], state["wordings"])
        state["run"].done("reword", wording=wording)
        if wording is None:
            return {"stop": self._reason(state)}
        return {"wordings": [*state["wordings"], wording]}

    def _withhold(self, state: _State) -> dict[str, Any]:
        reason = state["stop"] or self._reason(state)
        state["run"].done("withhold", reason=reason)
        answer = withhold(state["question"], reason, state["found"], state["wordings"], state["answer"])
        return {"answer": answer}

    def _after_grading(self, state: _State) -> _Next:
        if state["stop"]:
            return "withhold"
        return "answer" if state["evidence"] else self._again(state)

    def _after_answering(self, state: _State) -> _Next:
        if state["stop"]:
            return "withhold"
        if state["holds"]:
            return "__end__"
        return "answer" if state["evidence"] else self._again(state)

    def _again(self, state: _State) -> _Next:
        return "reword" if len(state["wordings"]) <= self._config.rewrites else "withhold"

    def _reason(self, state: _State) -> str:
        if not state["found"]:
            return "nothing was found"
        if state["answer"] is None:
            return NO_EVIDENCE
        return NOT_SUPPORTED


_Node = Callable[[_State], dict[str, Any]]


def _limited(node: _Node) -> _Node:
    """A node that does nothing and says why where the run may take no further step."""

    def limited(state: _State) -> dict[str, Any]:
        try:
            state["run"].begin()
        except LimitReached as limit:
            return {"stop": str(limit)}
        return node(state)

    return limited
