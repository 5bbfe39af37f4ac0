"""Predictions in the format of PubMedQA's official evaluation script: a JSON object that maps PMIDs to labels."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.atomic_write import write_whole
from common.errors import DataError, UserError
from corpus.records import LABELS
from eval.results import prepare_output_folder, writing
from eval.runs import Run
from eval.tasks import QATask, Task, task_from_name


@dataclass(frozen=True)
class Predictions:
    """The written file, its task, and a warning if the official script would refuse the file."""

    file: Path
    task: str
    warning: str | None


def export_pubmedqa(runs: Sequence[Run], output: Path, task: str | None = None) -> Predictions:
    """Write ``predictions_TASK.json`` to ``output``, created if absent: ``{pmid: label}`` in the records' order.

    The official ``evaluation.py`` requires exactly the ids of ``test_ground_truth.json`` and the labels yes, no and
    maybe.

    Args:
        runs: one of them must have the task.
        output: a folder.
        task: ``qa_none``, ``qa_gold`` or ``qa_retrieved_NAME``. By default it is the only ``qa_retrieved_NAME`` of the
            runs; if they have none, it is the only task among ``qa_none`` and ``qa_gold``.

    Raises:
        UserError: the task is missing or ambiguous, an answer has no label, or the folder is not writable.
    """
    run, task = _choose(runs, task)
    samples = run.samples(task)
    unparsed = [sample["id"] for sample in samples if sample["prediction"] is None]
    if unparsed:
        raise UserError(
            f"{task}: {len(unparsed)} of {len(samples)} answers name no label (the first is of {unparsed[0]}), and "
            "PubMedQA's file needs yes, no or maybe for every id. Measure with --set chain.decide=score, which always "
            "gives one."
        )
    predictions: dict[str, str] = {sample["id"]: sample["prediction"] for sample in samples}
    if len(predictions) < len(samples) or not set(predictions.values()) <= set(LABELS):
        raise DataError(run.folder / f"samples_{task}.jsonl", "holds an id twice, or a label that is not PubMedQA's.")
    prepare_output_folder(output)
    path = output / f"predictions_{task}.json"
    with writing(path):
        write_whole(path, json.dumps(predictions, ensure_ascii=False, indent=2) + "\n")
    return Predictions(path, task, _warning(run, task, len(predictions)))


def _choose(runs: Sequence[Run], name: str | None) -> tuple[Run, str]:
    """The run and the task to export; see ``export_pubmedqa``."""
    if name is not None and not _answers_pubmedqa(task_from_name(name)):
        raise UserError(f"--task {name} is none of qa_none, qa_gold and qa_retrieved_NAME, which answer PubMedQA.")
    all_tasks = [(run, task) for run in runs for task in run.tasks.values()]
    candidates = [(run, task) for run, task in all_tasks if _answers_pubmedqa(task) and name in (None, task.name)]
    if name is None:
        candidates = [(run, task) for run, task in candidates if task.context == "retrieved"] or candidates
    if len(candidates) == 1:
        [(run, task)] = candidates
        return run, task.name
    tasks = ", ".join(dict.fromkeys(task.name for _, task in candidates or all_tasks)) or "none"
    if not candidates:
        missing = f"no task {name}" if name else "no task that answers PubMedQA's questions"
        raise UserError(f"There is {missing}; the tasks are {tasks}. Name a folder that eval qa wrote.")
    folders = ", ".join(dict.fromkeys(str(run.folder) for run, _ in candidates))
    raise UserError(f"Several results could be meant: {tasks} in {folders}. Name one folder, and one with --task.")


def _answers_pubmedqa(task: Task) -> bool:
    """Whether the kind is ``qa`` and each record is answered unchanged, without another record's abstract."""
    is_qa = isinstance(task, QATask) and task.kind == QATask.kind
    return is_qa and task.variant is None and task.context != "wrong"


def _warning(run: Run, task: str, n: int) -> str | None:
    section = run.config_of(task).get("data") or {}
    limit, split, path = section.get("limit"), section.get("split"), section.get("path")
    left_out = run.payload.get("left_out", {}).get(task, ())
    if path == "sample":
        return "These are the sample's ids, not PubMedQA's: its official script does not know them."
    n_records = n + len(left_out)
    is_limited = limit is not None and n_records >= limit
    if not is_limited and split == "test" and not left_out:
        return None
    records = f"the first {n_records} records of split {split}" if is_limited else f"split {split}"
    if left_out:
        records += f" without {len(left_out)} too long for the model"
    return (
        f"The answers are of {records}, and PubMedQA's official script needs all ids of its ground truth and no others."
    )
