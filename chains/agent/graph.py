"""The agent of kind graph: a LangGraph graph of fixed steps, for any model."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.runnables import RunnableConfig

from chains.agent.answering import NO_EVIDENCE, NOT_SUPPORTED, Agent, answer_from, is_acceptable, withhold
from chains.agent.steps import LimitReached, Run
from chains.answer import Answer, Passage
from chains.qa.base import Question, retrieve
from chains.rewriting.keywords import Reword

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

_Next = Literal["answer", "reword", "withhold", "__end__"]


@dataclass
class _State:
    """The state of a run.

    Attributes:
        wordings: the queries: the question, then its rewordings.
        graded: the number of passages at the beginning of ``found`` that are graded.
        evidence: passages not yet used for an answer, best first.
        settled: whether some evidence settles the question.
        accepted: whether ``answer`` is acceptable (``answering.is_acceptable``).
        stop: why the run must abstain; None until a limit is reached or no rewording is left.
    """

    question: str
    wordings: list[str]
    run: Run
    found: list[Passage] = field(default_factory=list)
    graded: int = 0
    evidence: list[Passage] = field(default_factory=list)
    settled: bool = False
    answer: Answer | None = None
    accepted: bool = False
    stop: str | None = None


@dataclass(eq=False, kw_only=True)
class GraphAgent(Agent):
    """Answers from graded evidence, or abstains.

    The steps: retrieve passages, grade them, answer from the best evidence, verify the answer. If the answer is not
    acceptable (``answering.is_acceptable``), the agent answers from the next evidence; without further evidence, it
    rewords the question and searches again, at most ``config.rewrites`` times. An abstention states its reason, the
    searches and the passages found; ``Answer.withheld`` has the rejected answer.

    Args:
        retriever, make_chain, grader, verify, config, on_step, passages_per_answer: see ``answering.Agent``.
        reword: rewords a question.
    """

    reword: Reword

    def _answer(self, question: str, run: Run, config: RunnableConfig) -> Answer:
        # The recursion limit is high enough that ``max_steps`` is reached first.
        run_config: RunnableConfig = {**config, "recursion_limit": 2 * self.config.max_steps + 4}
        end = self._graph.invoke(_State(question, [question], run), run_config)
        answer: Answer = end["answer"]
        return answer

    @cached_property
    def _graph(self) -> "CompiledStateGraph[_State, None, _State, _State]":
        from langgraph.graph import START, StateGraph

        graph = StateGraph(_State)
        nodes = {"retrieve": self._retrieve, "grade": self._grade, "answer": self._answer_step, "reword": self._reword}
        for name, node in nodes.items():
            limited: Any = _limited(node)
            graph.add_node(name, limited)
        graph.add_node("withhold", self._withhold)
        graph.add_edge(START, "retrieve")
        graph.add_conditional_edges("retrieve", lambda state: "withhold" if state.stop else "grade")
        for name in ("grade", "answer"):
            graph.add_conditional_edges(name, self._next, ["answer", "reword", "withhold", "__end__"])
        graph.add_conditional_edges("reword", lambda state: "withhold" if state.stop else "retrieve")
        graph.add_edge("withhold", "__end__")
        return graph.compile(checkpointer=False)  # do not use the checkpointer of an enclosing graph

    def _retrieve(self, state: _State) -> dict[str, Any]:
        wording = state.wordings[-1]
        found = retrieve(self.retriever, [Question(wording)], self.config.passages)[0]
        known = {one.id for one in state.found}
        new = [passage for passage in found if passage.id not in known]
        scores = {passage.id: passage.score for passage in found}
        state.run.done("retrieve", searched=wording, found=scores, new=[one.id for one in new])
        return {"found": [*state.found, *new]}

    def _grade(self, state: _State) -> dict[str, Any]:
        new = state.found[state.graded :]
        grades = self.grader.grade(state.question, new) if new else []
        evidence = sorted((one for one in grades if one.is_evidence), key=lambda one: -one.coverage)
        by_id = {
            one.passage.id: {"covers": one.coverage, "decides": one.settling_probability, "evidence": one.is_evidence}
            for one in grades
        }
        state.run.done("grade", grades=by_id)
        settled = state.settled or any(one.settles_question for one in evidence)
        return {"graded": len(state.found), "evidence": [one.passage for one in evidence], "settled": settled}

    def _answer_step(self, state: _State) -> dict[str, Any]:
        evidence, unused = state.evidence[: self.passages_per_answer], state.evidence[self.passages_per_answer :]
        answer = answer_from(self.make_chain, state.question, evidence, self.verify)
        accepted = is_acceptable(answer, self.config.confidence, question_settled=state.settled)
        result = {"label": answer.label, "label_scores": answer.label_scores, "verdict": answer.verdict}
        state.run.done("answer", read=[one.id for one in evidence], **result, holds=accepted)
        if not accepted and state.answer is not None:
            answer = state.answer  # of the rejected answers, keep the first, which is from the best evidence
        return {"answer": answer, "evidence": unused, "accepted": accepted}

    def _reword(self, state: _State) -> dict[str, Any]:
        wording = self.reword(state.question, state.wordings)
        state.run.done("reword", wording=wording)
        if wording is None:
            return {"stop": self._reason(state)}
        return {"wordings": [*state.wordings, wording]}

    def _withhold(self, state: _State) -> dict[str, Any]:
        reason = state.stop or self._reason(state)
        state.run.done("withhold", reason=reason)
        return {"answer": withhold(state.question, reason, state.found, state.wordings, state.answer)}

    def _next(self, state: _State) -> _Next:
        """The step after grading or answering."""
        if state.stop:
            return "withhold"
        if state.accepted:
            return "__end__"
        if state.evidence:
            return "answer"
        return "reword" if len(state.wordings) <= self.config.rewrites else "withhold"

    def _reason(self, state: _State) -> str:
        if not state.found:
            return "nothing was found"
        return NO_EVIDENCE if state.answer is None else NOT_SUPPORTED


def _limited(node: Callable[[_State], dict[str, Any]]) -> Callable[[_State], dict[str, Any]]:
    """A node that begins a step of the run and calls ``node``; if the run has reached a limit, it sets ``stop``."""

    def limited(state: _State) -> dict[str, Any]:
        try:
            state.run.begin()
        except LimitReached as limit:
            return {"stop": str(limit)}
        return node(state)

    return limited
