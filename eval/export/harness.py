"""Runs in the layout of EleutherAI's lm-evaluation-harness, version 0.4.

Its ``loggers/evaluation_tracker.py`` writes that layout and its ``result_schema.py`` describes it. A figure keeps its
name, save that ``accuracy`` (and ``share_maybe``, the share of answers that are the target "maybe") is ``acc`` there.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from common.atomic_write import write_whole
from common.errors import DataError, UserError
from eval.estimate import RESAMPLES
from eval.export.harness_model import data_of, model_args, model_name, shots_of
from eval.export.harness_samples import GREEDY, digest, harness_samples, is_scored
from eval.results import RESULTS_FILE, check_output
from eval.runs import Run

SOURCE = "medground"  # in the place of the harness's "hf", "vllm" and so on
_NAMES = {"accuracy": "acc", "share_maybe": "acc"}
_LOWER_IS_BETTER = re.compile("unparsed|unverified|ece|brier|aurc.*|risk@.*")
_NEITHER = re.compile("share_(supported|contradicted|not_enough_evidence)")  # it depends on the answers


@dataclass(frozen=True)
class Exported:
    """The files written, and the tasks that have no place among them: no model labelled anything in those."""

    files: tuple[Path, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class _Part:
    """Tasks of one run that one model did at one time: they make one results file."""

    model: Mapping[str, Any]
    source: Mapping[str, Any]
    figures: Mapping[str, Mapping[str, float | None]]
    samples: Mapping[str, list[dict[str, Any]]]


def export_harness(runs: Sequence[Run], output: Path) -> Exported:
    """Write ``MODEL/results_DATE.json`` and ``MODEL/samples_TASK_DATE.jsonl`` under ``output``.

    Every model has its folder and each time that it was measured its results file. Written again, the files are the
    same: DATE is the run's own, in UTC, and runs of one model in one second are told apart by its microseconds.

    Args:
        runs: what to export.
        output: made if absent.

    Raises:
        UserError: no task has labels, the folder cannot be written to, or a run's files are damaged.
    """
    parts = [part for run in runs for part in _parts(run)]
    if not parts:
        tasks = ", ".join(dict.fromkeys(task for run in runs for task in run.tasks)) or "none"
        raise UserError(
            f"Nothing to export: the harness's layout holds what a model labelled, and the tasks are {tasks}. "
            "Name a folder that eval qa or eval nli wrote."
        )
    check_output(output)
    files: list[Path] = []
    written: set[tuple[str, str]] = set()
    try:
        for part in parts:
            name, date = _place(part, written)
            folder = output / name
            folder.mkdir(exist_ok=True)
            stamp = date.isoformat(timespec="microseconds").replace(":", "-")
            samples = {task: harness_samples(found) for task, found in part.samples.items()}
            for task, rows in samples.items():
                lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
                write_whole(folder / f"samples_{task}_{stamp}.jsonl", lines)
            results = folder / f"results_{stamp}.json"
            write_whole(results, json.dumps(_results(part, date, samples), ensure_ascii=False, indent=2) + "\n")
            files += [results, *(folder / f"samples_{task}_{stamp}.jsonl" for task in samples)]
    except OSError as error:
        raise UserError(
            f"{output} cannot be written to ({error.strerror or error}). Name another --output folder, or make room "
            "there."
        ) from error
    left_out = dict.fromkeys(task for run in runs for task in run.tasks if not _is_labelled(task))
    return Exported(tuple(files), tuple(left_out))


def _is_labelled(task: str) -> bool:
    return not task.startswith("retrieval_")


def _parts(run: Run) -> Iterator[_Part]:
    """The run's tasks, put together by what made them."""
    earlier = run.payload.get("earlier", {})
    groups: dict[str, list[str]] = {}
    for task in filter(_is_labelled, run.tasks):
        source = earlier.get(task, run.payload)
        groups.setdefault(json.dumps([source.get("date"), model_args(task, run)]), []).append(task)
    for tasks in groups.values():
        source = earlier.get(tasks[0], run.payload)
        if not _is_date(source.get("date")):
            raise DataError(run.folder / RESULTS_FILE, f"has no date for {tasks[0]}. Measure again.")
        yield _Part(
            model=model_args(tasks[0], run),
            source=source,
            figures={task: run.results[task] for task in tasks},
            samples={task: run.samples(task) for task in tasks},
        )


def _place(part: _Part, written: set[tuple[str, str]]) -> tuple[str, datetime]:
    """The part's folder and a date that no part before it has there."""
    name = _file_name(model_name(part.model))
    date = datetime.fromisoformat(part.source["date"])
    if date.tzinfo is not None:
        date = date.astimezone(UTC).replace(tzinfo=None)
    while (name, date.isoformat()) in written:
        date += timedelta(microseconds=1)
    written.add((name, date.isoformat()))
    return name, date


def _file_name(name: str) -> str:
    """The model's name as the harness's ``sanitize_model_name`` makes a folder's of it, and never one outside."""
    return re.sub(r'["<>:/|\\?*\[\]]+', "__", name).lstrip(".") or "unnamed"


def _results(part: _Part, date: datetime, samples: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    config = part.source.get("config") or {}
    llm, versions = config.get("llm") or {}, part.source.get("versions") or {}
    name, system = model_name(part.model), llm.get("system")
    tasks = list(part.figures)
    return {
        "results": {task: _figures(task, part.figures[task], len(samples[task])) for task in tasks},
        "group_subtasks": {},
        "configs": {task: _task_config(task, config, part.samples[task], versions) for task in tasks},
        "versions": {task: versions.get("medground", "N/A") for task in tasks},
        "n-shot": {task: shots_of(task, config) for task in tasks},
        "higher_is_better": {task: _directions(part.figures[task]) for task in tasks},
        # how many there would be without the limit is not in a run; config.limit tells that there is one
        "n-samples": {task: {"original": len(samples[task]), "effective": len(samples[task])} for task in tasks},
        "config": {
            "model": SOURCE,
            "model_args": part.model,
            "batch_size": None,
            "batch_sizes": [],
            "device": llm.get("device_map"),
            "use_cache": None,
            "limit": data_of(tasks[0], config).get("limit"),
            "bootstrap_iters": RESAMPLES,
            "gen_kwargs": GREEDY,
            "settings": config,
        },
        "git_hash": None,
        "date": date.replace(tzinfo=UTC).timestamp(),
        "transformers_version": versions.get("transformers"),
        "task_hashes": {
            task: digest("".join(row["doc_hash"] + row["prompt_hash"] + row["target_hash"] for row in rows))
            for task, rows in samples.items()
        },
        "model_source": SOURCE,
        "model_name": name,
        "model_name_sanitized": _file_name(name),
        "system_instruction": system,
        "system_instruction_sha": digest(system) if system else None,
        "fewshot_as_multiturn": None,
        "chat_template": None,
        "chat_template_sha": None,
    }


def _figures(task: str, figures: Mapping[str, float | None], n: int) -> dict[str, Any]:
    found: dict[str, Any] = {"name": task, "alias": task, "sample_len": n}
    for name, value in figures.items():
        if name.endswith("_stderr"):
            continue
        metric = _NAMES.get(name, name)
        error = figures.get(f"{name}_stderr")
        found[f"{metric},none"] = value
        found[f"{metric}_stderr,none"] = "N/A" if error is None else error
    return found


def _directions(figures: Mapping[str, float | None]) -> dict[str, bool]:
    names = [name for name in figures if not name.endswith("_stderr") and not _NEITHER.fullmatch(name)]
    return {_NAMES.get(name, name): not _LOWER_IS_BETTER.fullmatch(name) for name in names}


def _task_config(
    task: str, config: Mapping[str, Any], samples: Sequence[Mapping[str, Any]], versions: Mapping[str, Any]
) -> dict[str, Any]:
    data = data_of(task, config)
    scored = is_scored(samples)
    return {
        "task": task,
        "dataset_path": data.get("path"),
        "test_split": data.get("split"),
        "doc_to_target": "target",
        **({"doc_to_choice": list(samples[0]["label_scores"])} if scored else {"generation_kwargs": GREEDY}),
        "num_fewshot": shots_of(task, config),
        # those of which each sample has its own value
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "output_type": "multiple_choice" if scored else "generate_until",
        "repeats": 1,
        "metadata": {"version": versions.get("medground", "N/A")},
    }


def _is_date(text: Any) -> bool:
    try:
        datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return False
    return True
