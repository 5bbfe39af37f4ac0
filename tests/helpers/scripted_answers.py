"""Written answers that a test states, with the verdicts of an entailment model over words."""

from collections.abc import Mapping, Sequence

from entailing import Entailing

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


class Scripted(AnswerChain):
    """Writes ``texts`` by question, and has their sentences judged."""

    def __init__(self, texts: Mapping[str, str] = TEXTS) -> None:
        self._texts = texts

    def answer_all(self, questions: Sequence[Question]) -> list[Answer | UserError]:
        answers = [
            with_sentences(Answer(question=one.text, text=self._texts[one.text], passages=PASSAGES))
            for one in questions
        ]
        return list(SentenceVerifier(Entailing()).verify(answers))


def measured(*, pruned: bool = False) -> TaskResult:
    """The task over all texts."""
    records = [
        QARecord(id=question, question=question, contexts=("x",), label=None, conclusion=CONCLUSIONS.get(question, ""))
        for question in TEXTS
    ]
    task = AnswersTask(context="retrieved", retriever="words", pruned=pruned)
    return task.evaluate_written(Scripted(), Entailing(), records, identity={}, quiet=True)
