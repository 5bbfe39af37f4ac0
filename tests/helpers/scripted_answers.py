"""Evaluates fixed written answers, verified by ``OverlapNLI``."""

from collections.abc import Sequence

from overlap_nli import OverlapNLI

from chains.answer import Answer, Passage
from chains.qa.base import AnswerChain, Question
from chains.verification.sentences import SentenceVerifier, with_sentences
from common.errors import UserError
from corpus.records import QARecord
from eval.results import TaskResult
from eval.tasks import AnswersTask

PASSAGES = (Passage(id="a", text="Aspirin lowered pain."), Passage(id="z", text="Zinc raised growth. It was not red."))
TEXTS = {
    "Cited?": "Aspirin lowered pain [1]. Zinc raised growth [1][2].",
    "Wrong?": "Aspirin lowered pain [2]. It was red [2].",
    "Uncited?": "Zinc raised growth. It was blue.",
    "Refused?": "The passages do not answer the question.",
}
CONCLUSIONS = {"Cited?": "Aspirin lowered pain."}


class ScriptedChain(AnswerChain):
    """Answers with the text in ``TEXTS`` for each question and verifies its sentences."""

    def answer_all(self, questions: Sequence[Question]) -> list[Answer | UserError]:
        answers = [
            with_sentences(Answer(question=question.text, text=TEXTS[question.text], passages=PASSAGES))
            for question in questions
        ]
        return list(SentenceVerifier(OverlapNLI()).verify(answers))


def evaluate_scripted(*, pruned: bool = False) -> TaskResult:
    """The result of the task ``answers`` over all questions in ``TEXTS``."""
    records = [
        QARecord(id=question, question=question, contexts=("x",), label=None, conclusion=CONCLUSIONS.get(question, ""))
        for question in TEXTS
    ]
    task = AnswersTask(context="retrieved", retriever="words", pruned=pruned)
    return task.evaluate_written(ScriptedChain(), OverlapNLI(), records, identity={}, quiet=True)
