"""Predictions in the format of PubMedQA's official evaluation script: a JSON object from PMID to label."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.atomic_write import write_whole
from common.errors import DataError, UserError
from corpus.records import LABELS
from eval.results import prepare_output_folder
from eval.runs import Run
from eval.tasks import task_from_name


@dataclass(frozen=True)
class Predictions:
    """The file written, its task, and why the official script would refuse it, if so."""

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
        task: ``qa_none``, ``qa_gold`` or ``qa_retrieved_NAME``; by default the only one, preferably retrieved.

    Raises:
        UserError: the task is missing or ambiguous, an answer has no label, or the folder is not writable.
    """
    run, task = _chosen(runs, task)
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
    try:
        write_whole(path, json.dumps(predictions, ensure_ascii=False, indent=2) + "\n")
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}). Name another --output folder, or make room there."
        ) from error
    return Predictions(path, task, _warning(run, task, len(predictions)))


def _chosen(runs: Sequence[Run], named: str | None) -> tuple[Run, str]:
    if named is not None and not task_from_name(named).answers_own_records:
        raise UserError(f"--task {named} is none of qa_none, qa_gold and qa_retrieved_NAME, which answer PubMedQA.")
    every = [(run, task) for run in runs for task in run.tasks.values()]
    found = [(run, task) for run, task in every if task.answers_own_records and named in (None, task.name)]
    if named is None:
        found = [(run, task) for run, task in found if task.context == "retrieved"] or found
    if len(found) == 1:
        return found[0][0], found[0][1].name
    tasks = ", ".join(dict.fromkeys(task.name for _, task in found or every)) or "none"
    if not found:
        what = f"no task {named}" if named else "no task that answers PubMedQA's questions"
        raise UserError(f"There is {what}; the tasks are {tasks}. Name a folder that eval qa wrote.")
    folders = ", ".join(dict.fromkeys(str(run.folder) for run, _ in found))
    raise UserError(f"Several results could be meant: {tasks} in {folders}. Name one folder, and one with --task.")


def _warning(run: Run, task: str, n: int) -> str | None:
    data = run.config_of(task).get("data") or {}
    limit, split, path = data.get("limit"), data.get("split"), data.get("path")
    if path == "sample":
        return "These are the sample's ids, not PubMedQA's: its official script does not know them."
    is_cut = limit is not None and n >= limit
    if not is_cut and split == "test":
        return None
    cut = f"the first {n} records of split {split}" if is_cut else f"split {split}"
    return f"The answers are of {cut}, and PubMedQA's official script needs all ids of its ground truth and no others."
