"""Evaluation tasks."""

from eval.tasks.answers import AnswersTask
from eval.tasks.base import SECTIONS, Resources, Section, Subject, Task
from eval.tasks.check import CheckTask
from eval.tasks.nli import NLITask
from eval.tasks.qa import QATask
from eval.tasks.registry import KINDS, make_task, recorded_tasks, task_from_name
from eval.tasks.retrieval import RetrievalTask
from eval.tasks.scorers import Sample, Scorer
from eval.tasks.verification import VerificationTask

__all__ = [
    "KINDS",
    "SECTIONS",
    "AnswersTask",
    "CheckTask",
    "NLITask",
    "QATask",
    "Resources",
    "RetrievalTask",
    "Sample",
    "Scorer",
    "Section",
    "Subject",
    "Task",
    "VerificationTask",
    "make_task",
    "recorded_tasks",
    "task_from_name",
]
