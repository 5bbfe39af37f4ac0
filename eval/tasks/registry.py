"""Tasks by kind: ours from this package, a user's by the dotted path of its class."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from common.errors import UserError
from common.imports import import_class
from eval.tasks.base import Task
from eval.tasks.check import CheckTask
from eval.tasks.nli import NLITask
from eval.tasks.qa import QATask
from eval.tasks.retrieval import RetrievalTask
from eval.tasks.verification import VerificationTask

KINDS: Mapping[str, type[Task]] = {
    task.kind: task for task in (RetrievalTask, QATask, NLITask, VerificationTask, CheckTask)
}
_SETTING = "eval.tasks"


def make_task(kind: str, fields: Mapping[str, Any]) -> Task:
    """The task of a kind, or of the user's class ``package.module.Class``.

    Args:
        kind: as in the setting ``eval.tasks``.
        fields: the task's fields.

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
        problems = [f"{'.'.join(map(str, one['loc'])) or 'fields'}: {one['msg']}" for one in error.errors()]
        raise UserError(f"{_SETTING}, kind {kind}: {'; '.join(problems)}.") from None
    except TypeError as error:  # an abstract class
        raise UserError(f"{_SETTING}, kind {kind}: {error}.") from None
