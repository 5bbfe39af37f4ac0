"""Creation of tasks from settings and from results folders."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from common.errors import UserError
from common.imports import import_class
from eval.results import TaskResult
from eval.tasks.answers import AnswersTask
from eval.tasks.base import ANSWERS, INFERENCE, SECTIONS, Resources, Section, Task
from eval.tasks.check import CheckTask
from eval.tasks.nli import NLITask
from eval.tasks.qa import QATask
from eval.tasks.retrieval import RetrievalTask
from eval.tasks.scorers import LABELS, SCORERS, Scorer
from eval.tasks.verification import VerificationTask

KINDS: Mapping[str, type[Task]] = {
    task.kind: task for task in (RetrievalTask, QATask, NLITask, VerificationTask, AnswersTask, CheckTask)
}
_SETTING = "eval.tasks"
_SHOTS = re.compile(r"([1-9]\d*)shot")


def make_task(kind: str, fields: Mapping[str, Any]) -> Task:
    """The task of a kind, or of the user's class ``package.module.Class``.

    Raises:
        UserError: there is no such kind, or a field is not valid.
    """
    if kind not in KINDS and "." not in kind:
        raise UserError(
            f"{_SETTING}: there is no kind {kind!r}; it must be {', '.join(KINDS)} or a class such as my_module.MyTask."
        )
    task = KINDS.get(kind) or import_class(kind, Task, _SETTING)  # type: ignore[type-abstract]
    try:
        return task(**fields)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc'])) or 'fields'}: {e['msg']}" for e in error.errors()]
        raise UserError(f"{_SETTING}, kind {kind}: {'; '.join(problems)}.") from None
    except TypeError as error:  # an abstract class
        raise UserError(f"{_SETTING}, kind {kind}: {error}.") from None


class RecordedTask(Task):
    """A task of a results folder whose class is not registered: it can be reported and compared, but not run."""

    recorded_name: str
    section_id: str = ANSWERS.id
    scorer_name: str = LABELS.name

    @property
    def name(self) -> str:
        """The name in results."""
        return self.recorded_name

    @property
    def section(self) -> Section:  # type: ignore[override]
        """The section with the recorded id."""
        return next((section for section in SECTIONS if section.id == self.section_id), ANSWERS)

    @property
    def scorer(self) -> Scorer:
        """The scorer with the recorded name."""
        return next((scorer for scorer in SCORERS if scorer.name == self.scorer_name), LABELS)

    def run(self, resources: Resources) -> TaskResult:  # noqa: ARG002
        """Raise ``UserError``."""
        raise UserError(f"{self.name} is read from a results folder. To measure it, set eval.tasks.")


def recorded_tasks(names: Sequence[str], fields: Mapping[str, Any]) -> dict[str, Task]:
    """The tasks of a results folder by name.

    ``fields`` holds the tasks' fields in ``results.json``, by name; version 0.1.0 wrote only names.

    Raises:
        UserError: a name cannot be part of a file name.
    """
    tasks = {name: _from_fields(name, fields.get(name)) or task_from_name(name) for name in names}
    inference = [name for name in names if isinstance(tasks[name], NLITask)]
    # In results of version 0.1.0, "nli" beside other tasks on pairs is the zero-shot task of a grid.
    if "nli" in inference and "nli" not in fields and len(inference) > 1:
        tasks["nli"] = NLITask(shots=0, tuned=False if "nli_tuned" in inference else None)
    return tasks


def task_from_name(name: str) -> Task:
    """The task whose name version 0.1.0 wrote; a name of another form gives a ``RecordedTask`` with scored labels.

    Raises:
        UserError: the name cannot be part of a file name.
    """
    kind, _, rest = name.partition("_")
    context, _, retriever_or_variant = rest.partition("_")
    fields: dict[str, Any] = {}
    if kind == RetrievalTask.kind:
        fields = {"retriever": rest}
    elif kind in (QATask.kind, VerificationTask.kind):
        field = "retriever" if context == "retrieved" else "variant"
        fields = {"context": context, field: retriever_or_variant or None}
    elif kind == NLITask.kind:
        if shots := _SHOTS.fullmatch(rest):
            fields = {"shots": int(shots[1]), "tuned": False}
        else:
            fields = {"tuned": True} if rest == "tuned" else {"tag": rest or None}
    try:
        if kind in KINDS and (task := KINDS[kind](**fields)).name == name:
            return task
    except ValidationError:
        pass
    section = KINDS[kind].section if kind in KINDS else INFERENCE
    return RecordedTask(recorded_name=name, section_id=section.id)


def _from_fields(name: str, fields: Any) -> Task | None:
    """The task with these fields of ``results.json``; None if they are missing or invalid.

    A user's class is not imported, since a results folder may come from someone else.
    """
    if not isinstance(fields, Mapping) or not isinstance(kind := fields.get("kind"), str):
        return None
    without_kind = {key: value for key, value in fields.items() if key != "kind"}
    try:
        if kind in KINDS:
            task = KINDS[kind](**without_kind)
            return task if task.name == name else None
        recorded = {key: fields.get(key) for key in Task.model_fields}
        recorded |= {"section_id": fields.get("section"), "scorer_name": fields.get("scorer")}
        return RecordedTask(recorded_name=name, **recorded)  # type: ignore[arg-type]
    except ValidationError:
        return None
