"""Runs in the file format of EleutherAI's lm-evaluation-harness 0.4.

The harness writes the format in ``loggers/evaluation_tracker.py`` and describes it in ``result_schema.py``. Metrics
keep their names, except ``accuracy`` and ``share_maybe`` (whose target is always "maybe"), which become ``acc``.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from common.atomic_write import write_whole
from common.errors import DataError, UserError
from eval.results import RESULTS_FILE, prepare_output_folder, writing
from eval.runs import Run
from eval.stats.calibration import all_scored
from eval.stats.estimate import RESAMPLES
from eval.tasks import CheckTask, NLITask, Task
from eval.tasks.scorers import CITATIONS, RANKING

SOURCE = "medground"  # in place of the harness's model backend, such as "hf" or "vllm"
INVALID = "[invalid]"  # the harness's text for an answer that its filters cannot parse
GREEDY = {"do_sample": False}  # the generation arguments of greedy decoding, which every task uses
_METRIC_NAMES = {"accuracy": "acc", "share_maybe": "acc"}
_LOWER_IS_BETTER = re.compile("unparsed|unverified|ece|brier|aurc.*|risk@.*")
_NO_DIRECTION = re.compile("share_(supported|contradicted|not_enough_evidence)")  # neither high nor low is better
_WITHOUT_LABELS = (RANKING, CITATIONS)  # scorers of tasks in which no model assigns labels


@dataclass(frozen=True)
class Exported:
    """The written files, and the names of the tasks without labels, which the format cannot hold."""

    files: tuple[Path, ...]
    left_out: tuple[str, ...]


@dataclass
class _Group:
    """The tasks of a run with the same model and date, which share a results file.

    ``model`` holds the harness's ``model_args``; ``source`` holds settings, versions and date; ``samples`` are by task.
    """

    run: Run
    date: datetime
    model: Mapping[str, Any]
    source: Mapping[str, Any]
    tasks: dict[str, Task] = field(default_factory=dict)
    samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def export_harness(runs: Sequence[Run], output: Path) -> Exported:
    """Write ``MODEL/results_DATE.json`` and ``MODEL/samples_TASK_DATE.jsonl`` to ``output``, created if absent.

    DATE is the date of the run, in UTC. If runs of one model have the same second, their DATEs get different
    microseconds. A repeated export writes the same files.

    Raises:
        UserError: no task has labels, the folder is not writable, or a run's files are damaged.
    """
    groups = [group for run in runs for group in _groups(run)]
    if not groups:
        tasks = ", ".join(dict.fromkeys(task for run in runs for task in run.tasks)) or "none"
        raise UserError(
            f"Nothing to export: the harness's layout holds labels assigned by a model, and the tasks are {tasks}. "
            "Name a folder that eval qa or eval nli wrote."
        )
    prepare_output_folder(output)
    files: list[Path] = []
    written: set[tuple[str, datetime]] = set()
    for group in groups:
        name, date = _folder_name(model_name(group.model)), group.date
        while (name, date) in written:
            date += timedelta(microseconds=1)
        written.add((name, date))
        timestamp = date.isoformat(timespec="microseconds").replace(":", "-")
        samples = {task: harness_samples(task_samples) for task, task_samples in group.samples.items()}
        sample_files = {task: output / name / f"samples_{task}_{timestamp}.jsonl" for task in samples}
        with writing(results := output / name / f"results_{timestamp}.json"):
            for task, file in sample_files.items():
                write_whole(file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in samples[task]))
            write_whole(results, json.dumps(_results(group, date, samples), ensure_ascii=False, indent=2) + "\n")
        files += [results, *sample_files.values()]
    left_out = dict.fromkeys(name for run in runs for name, task in run.tasks.items() if task.scorer in _WITHOUT_LABELS)
    return Exported(tuple(files), tuple(left_out))


def _groups(run: Run) -> Iterable[_Group]:
    """Group the run's tasks by date and model."""
    groups: dict[str, _Group] = {}
    for name, task in run.tasks.items():
        if task.scorer not in _WITHOUT_LABELS:
            source, model = run.source(name), model_args(task, run.config_of(name))
            key = json.dumps([source.get("date"), model])
            group = groups.setdefault(key, _Group(run, _date(run, name), model, source))
            group.tasks[name] = task
            group.samples[name] = run.samples(name)
    return groups.values()


def _date(run: Run, task: str) -> datetime:
    """The date of the run that measured a task, in UTC."""
    try:
        date = datetime.fromisoformat(run.source(task)["date"])
    except (KeyError, TypeError, ValueError):
        raise DataError(run.folder / RESULTS_FILE, f"has no date for {task}. Measure again.") from None
    return date if date.tzinfo is None else date.astimezone(UTC).replace(tzinfo=None)


def _folder_name(name: str) -> str:
    """The model's name as the harness's ``sanitize_model_name`` writes it.

    Leading dots are removed, so that the name is never that of a parent folder.
    """
    return re.sub(r'["<>:/|\\?*\[\]]+', "__", name).lstrip(".") or "unnamed"


def _results(group: _Group, date: datetime, samples: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    config = group.source.get("config") or {}
    llm, versions = config.get("llm") or {}, group.source.get("versions") or {}
    name, system, tasks = model_name(group.model), llm.get("system"), group.tasks
    version = versions.get("medground", "N/A")
    return {
        "results": {task: _metrics(task, group.run.results[task], len(samples[task])) for task in tasks},
        "group_subtasks": {},
        "configs": {name: _task_config(task, config, group.samples[name], version) for name, task in tasks.items()},
        "versions": dict.fromkeys(tasks, version),
        "n-shot": {name: shots_of(task, config) for name, task in tasks.items()},
        "higher_is_better": {task: _directions(group.run.results[task]) for task in tasks},
        # A run does not record how many records there are without data.limit, so both numbers are equal.
        "n-samples": {task: {"original": len(samples[task]), "effective": len(samples[task])} for task in tasks},
        "config": {
            "model": SOURCE,
            "model_args": group.model,
            "batch_size": None,
            "batch_sizes": [],
            "device": llm.get("device_map"),
            "use_cache": None,
            "limit": data_of(next(iter(tasks.values())), config).get("limit"),
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
        "model_name_sanitized": _folder_name(name),
        "system_instruction": system,
        "system_instruction_sha": digest(system) if system else None,
        "fewshot_as_multiturn": None,
        "chat_template": None,
        "chat_template_sha": None,
    }


def _metrics(task: str, values: Mapping[str, float | None], n: int) -> dict[str, Any]:
    """A task's metrics under the harness's keys, ``METRIC,FILTER``; the filter is always "none"."""
    metrics: dict[str, Any] = {"name": task, "alias": task, "sample_len": n}
    for name, value in values.items():
        if name.endswith("_stderr"):
            continue
        metric = _METRIC_NAMES.get(name, name)
        error = values.get(f"{name}_stderr")
        metrics[f"{metric},none"] = value
        metrics[f"{metric}_stderr,none"] = "N/A" if error is None else error
    return metrics


def _directions(metrics: Iterable[str]) -> dict[str, bool]:
    """Whether higher is better, for each metric with a direction."""
    names = [name for name in metrics if not name.endswith("_stderr") and not _NO_DIRECTION.fullmatch(name)]
    return {_METRIC_NAMES.get(name, name): not _LOWER_IS_BETTER.fullmatch(name) for name in names}


def _task_config(
    task: Task, config: Mapping[str, Any], samples: Sequence[Mapping[str, Any]], version: str
) -> dict[str, Any]:
    data = data_of(task, config)
    scored = all_scored(samples)
    return {
        "task": task.name,
        "dataset_path": data.get("path"),
        "test_split": data.get("split"),
        "doc_to_target": "target",
        **({"doc_to_choice": list(samples[0]["label_scores"])} if scored else {"generation_kwargs": GREEDY}),
        "num_fewshot": shots_of(task, config),
        # The harness lists only metrics of which each sample has a value. Here this is accuracy.
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "output_type": "multiple_choice" if scored else "generate_until",
        "repeats": 1,
        "metadata": {"version": version},
    }


def model_args(task: Task, config: Mapping[str, Any]) -> dict[str, Any]:
    """The harness's ``model_args`` for the model of a task."""
    llm, nli = config.get("llm") or {}, config.get("nli") or {}
    if _is_judged_by_encoder(task, config):
        return {"pretrained": nli.get("model")}
    if llm.get("base_url"):
        return {"model": llm.get("model"), "base_url": llm["base_url"]}
    args = {"pretrained": llm.get("model"), "dtype": llm.get("dtype")}
    uses_nli_adapter = isinstance(task, CheckTask) or (isinstance(task, NLITask) and task.tuned is not False)
    if adapter := (uses_nli_adapter and nli.get("adapter")) or llm.get("adapter"):
        args["peft"] = adapter
    if llm.get("quantization") in ("4bit", "8bit"):
        args[f"load_in_{llm['quantization']}"] = True
    return args


def model_name(args: Mapping[str, Any]) -> str:
    """The model's name in the harness: the name of its adapter if it has one."""
    name = next((str(args[key]) for key in ("peft", "pretrained", "model") if args.get(key)), "unnamed")
    return "medground-tiny" if name == "embedded" else name


def shots_of(task: Task, config: Mapping[str, Any]) -> int:
    """The number of few-shot examples in a prompt; the setting ``shots`` is the number per label."""
    if not isinstance(task, NLITask | CheckTask) or _is_judged_by_encoder(task, config):
        return 0
    shots = task.shots if isinstance(task, NLITask) else None
    per_label = int((config.get("prompt") or {}).get("shots") or 0) if shots is None else shots
    labels = set(((config.get("pairs") or {}).get("labels") or {}).values())
    return per_label * len(labels)


def _is_judged_by_encoder(task: Task, config: Mapping[str, Any]) -> bool:
    return isinstance(task, NLITask | CheckTask) and (config.get("nli") or {}).get("kind") == "encoder"


def data_of(task: Task, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings section of the task's data: ``data``, ``pairs`` or ``claims``."""
    return config.get(task.section.data) or {}


def harness_samples(samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A task's samples in the harness's format.

    If all labels were scored, the samples are of the harness's type ``multiple_choice``. A response is then a label's
    log-probability and the harness's ``is_greedy``, which is "None" because it is unknown. Otherwise the samples are of
    type ``generate_until``. ``doc`` is the record without retrieved or generated text, so that its hash is the same in
    every run.
    """
    scored = all_scored(samples)
    return [_sample(number, sample, scored) for number, sample in enumerate(samples)]


def _sample(number: int, sample: Mapping[str, Any], scored: bool) -> dict[str, Any]:
    texts = {name: sample[name] for name in ("question", "premise", "hypothesis") if name in sample}
    doc = {"id": sample["id"], **texts, "target": sample["target"]}
    prompt = sample.get("prompt") or "\n\n".join(texts.values())  # a sequence classifier has no prompt
    if scored:
        scores: Mapping[str, float] = sample["label_scores"]
        requests = [{"arg_0": prompt, "arg_1": label} for label in scores]
        filtered: list[Any] = [[str(_log(score)), "None"] for score in scores.values()]
        responses = [[response] for response in filtered]
    else:
        requests = [{"arg_0": prompt, "arg_1": GREEDY}]
        filtered = [sample["prediction"] or INVALID]
        responses = [[sample.get("output") or ""]]
    return {
        "doc_id": number,
        "doc": doc,
        "target": sample["target"],
        "arguments": {f"gen_args_{index}": request for index, request in enumerate(requests)},
        "resps": responses,
        "filtered_resps": filtered,
        "filter": "none",
        "metrics": ["acc"],
        "doc_hash": digest(json.dumps(doc, indent=2, ensure_ascii=False)),
        "prompt_hash": digest(prompt),
        "target_hash": digest(sample["target"]),
        "acc": float(sample["prediction"] == sample["target"]),
    }


def _log(score: float) -> float:
    """The logarithm, which is minus infinity for 0."""
    return math.log(score) if score > 0 else -math.inf


def digest(text: str) -> str:
    """SHA-256 in hex, as the harness hashes documents, prompts, targets and tasks."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
