"""The agent of kind graph: fixed steps, for any model."""

from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.runnables import RunnableConfig

from chains.agent.answering import NO_EVIDENCE, NOT_SUPPORTED, Agent, answer_from, is_acceptable, withhold
from chains.agent.grading import Grade
from chains.agent.steps import LimitReached, Run
from chains.answer import Answer, Passage
from chains.qa.base import Question, retrieve
from chains.rewriting.keywords import Reword


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
        wordings, found, settled = list[str](), list[Passage](), False
        rejected: Answer | None = None  # the first, which is from the best evidence
        wording: str | None = question
        try:
            while wording is not None:
                wordings.append(wording)
                new = self._retrieve(wording, found, run, config)
                found += new
                evidence = self._grade(question, new, run)
                settled = settled or any(one.settles_question for one in evidence)
                for start in range(0, len(evidence), self.passages_per_answer):
                    read = [one.passage for one in evidence[start : start + self.passages_per_answer]]
                    answer, accepted = self._answer_from(question, read, settled, run)
                    if accepted:
                        return answer
                    rejected = answer if rejected is None else rejected
                wording = self._reword(question, wordings, run) if len(wordings) <= self.config.rewrites else None
            reason = NO_EVIDENCE if rejected is None else NOT_SUPPORTED
            if not found:
                reason = "nothing was found"
        except LimitReached as limit:
            reason = str(limit)
        run.done("withhold", reason=reason)
        return withhold(question, reason, found, wordings, rejected)

    def _retrieve(self, wording: str, known: Sequence[Passage], run: Run, config: RunnableConfig) -> list[Passage]:
        """The passages that a wording finds and that are not known yet."""
        run.begin()
        found = retrieve(self.retriever, [Question(wording, config=config)], self.config.passages)[0]
        known_ids = {one.id for one in known}
        new = [passage for passage in found if passage.id not in known_ids]
        scores = {passage.id: passage.score for passage in found}
        run.done("retrieve", searched=wording, found=scores, new=[one.id for one in new])
        return new

    def _grade(self, question: str, passages: Sequence[Passage], run: Run) -> list[Grade]:
        """The passages that are evidence, best first."""
        run.begin()
        grades = self.grader.grade(question, passages) if passages else []
        by_id = {
            one.passage.id: {"covers": one.coverage, "decides": one.settling_probability, "evidence": one.is_evidence}
            for one in grades
        }
        run.done("grade", grades=by_id)
        return sorted((one for one in grades if one.is_evidence), key=lambda one: -one.coverage)

    def _answer_from(self, question: str, passages: Sequence[Passage], settled: bool, run: Run) -> tuple[Answer, bool]:
        """The answer from passages, and whether it is acceptable."""
        run.begin()
        answer = answer_from(self.make_chain, question, passages, self.verify)
        accepted = is_acceptable(answer, self.config.confidence, question_settled=settled)
        result = {"label": answer.label, "label_scores": answer.label_scores, "verdict": answer.verdict}
        run.done("answer", read=[one.id for one in passages], **result, holds=accepted)
        return answer, accepted

    def _reword(self, question: str, tried: Sequence[str], run: Run) -> str | None:
        run.begin()
        wording = self.reword(question, tried)
        run.done("reword", wording=wording)
        return wording
