"""Comparison of runs: which tasks are compared, their records side by side, differences and tests."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

from common.atomic_write import write_whole
from common.errors import UserError
from common.fingerprints import plain
from common.json_file import shown
from eval.results import check_output
from eval.runs import Run, find_runs, read_run
from eval.stats.estimate import CONFIDENCE, RESAMPLES, Estimate
from eval.stats.significance import McNemar, holm, macro_f1_difference, mcnemar, mean_difference
from eval.tasks import Sample, Task
from eval.tasks.scorers import LABELLING, Scorer, shared_scorer

COMPARE_FILE = "compare.json"
_TEXTS = ("question", "premise", "hypothesis")


@dataclass(frozen=True)
class Side:
    """One task of one run."""

    run: Run
    task: Task

    @property
    def name(self) -> str:
        """``FOLDER:TASK``, as on the command line."""
        return f"{self.run.folder}:{self.task.name}"

    @cached_property
    def samples(self) -> dict[str, Sample]:
        """The samples by id, read once.

        Raises:
            UserError: an id occurs twice, a sample lacks the field that the task's scorer needs, or as ``Run.samples``.
        """
        samples: dict[str, Sample] = {}
        needed = self.task.scorer.needs
        for sample in self.run.samples(self.task.name):
            if needed not in sample:
                raise UserError(f"{self.name}: the record {shown(sample['id'])} has no {needed}. Measure again.")
            if sample["id"] in samples:
                raise UserError(
                    f"{self.name}: the record {shown(sample['id'])} occurs twice, and records are paired by id. Give "
                    "each record of the data its own id and measure again."
                )
            samples[sample["id"]] = sample
        return samples


@dataclass(frozen=True)
class Pairs:
    """The samples of two sides for the records that both have, in A's order, and the number of the others."""

    a: Side
    b: Side
    scorer: Scorer
    samples: Sequence[tuple[Sample, Sample]] = field(repr=False)
    only_in_a: int
    only_in_b: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of both sides over their common records, and B's minus A's."""

    a: float
    b: float
    difference: Estimate


@dataclass(frozen=True, slots=True)
class Changed:
    """A record on which one side succeeds and the other fails; ``right`` is the side that succeeds."""

    id: str
    target: str
    a: str | None
    b: str | None
    right: str


@dataclass(frozen=True)
class Comparison:
    """A paired comparison of two tasks.

    Attributes:
        pairs: the sides, of which A is the baseline, and their records.
        figures: the differences by metric.
        test: McNemar's exact test on the records where the scorer counts a success.
        p_holm: its p-value corrected for all tests of the call.
        changed: the records where one side succeeds and the other fails.
    """

    pairs: Pairs = field(repr=False)
    figures: Mapping[str, Difference]
    test: McNemar
    p_holm: float
    changed: Sequence[Changed] = field(repr=False)


def choose_pairs(names: Sequence[str]) -> list[tuple[Side, Side]]:
    """The pairs of a baseline and another side that the arguments of ``medground compare`` name.

    - Folders: each task, with that of the first run that has it as baseline. A folder means the runs in it and
      below it.
    - One run alone: its tasks with one scorer over the same records, each against every one before it.
    - ``FOLDER:TASK``: each against the first, whatever the tasks are called.

    Raises:
        UserError: a run or task that does not exist or is named twice, folders and tasks mixed, or nothing to compare.
    """
    sides = [side for name in names if (side := _named_side(name)) is not None]
    if sides and len(sides) < len(names):
        raise UserError(
            f"{sides[0].name} names a task, and other arguments do not. Write FOLDER:TASK for all of them or for none."
        )
    if sides:
        _refuse_repeated([side.name for side in sides])
        if len(sides) == 1:
            raise UserError(f"There is nothing to compare {sides[0].name} with. Name another FOLDER:TASK.")
        return [(sides[0], other) for other in sides[1:]]
    runs = [run for name in names for run in find_runs(Path(name))]
    _refuse_repeated([str(run.folder.resolve()) for run in runs])
    return _within(runs[0]) if len(runs) == 1 else _across(runs)


def left_over(names: Sequence[str]) -> list[Side]:
    """The tasks that ``choose_pairs`` leaves out because only one of several runs has them.

    None where tasks are named, or where there is one run.

    Raises:
        UserError: a run does not exist.
    """
    if any(_named_side(name) for name in names):
        return []
    runs = [run for name in names for run in find_runs(Path(name))]
    counts = Counter(name for run in runs for name in run.tasks)
    return [Side(run, task) for run in runs for task in run.tasks.values() if counts[task.name] == 1 and len(runs) > 1]


def pair(a: Side, b: Side) -> Pairs:
    """The samples of both sides by record.

    Raises:
        UserError: the tasks measure different things, have no record in common, or a record changed in between.
    """
    scorer = shared_scorer(a.task.scorer, b.task.scorer)
    if scorer is None:
        raise UserError(f"{a.name} and {b.name} measure different things, so there is no figure to compare.")
    common = [id for id in a.samples if id in b.samples]
    if not common:
        raise UserError(
            f"{a.name} and {b.name} have no record in common: they were measured on different data. Measure both on "
            "the same."
        )
    for id in common:
        was, now = _content(a.samples[id]), _content(b.samples[id])
        if changed := next((name for name in was if name in now and was[name] != now[name]), None):
            raise UserError(
                f"The {changed} of record {shown(id)} is {shown(was[changed])!r} in {a.name} and "
                f"{shown(now[changed])!r} in {b.name}: the data changed in between. Measure both on the same data."
            )
    samples = [(a.samples[id], b.samples[id]) for id in common]
    return Pairs(a, b, scorer, samples, len(a.samples) - len(common), len(b.samples) - len(common))


def compare(sides: Sequence[tuple[Side, Side]]) -> list[Comparison]:
    """Compare each pair of a baseline A and another side B.

    The metrics are those that the tasks' scorer computes from single samples (``Scorer.paired``), and macro F1 where
    both tasks report F1 for the same labels. A task with verdicts and one without are compared by their labels.

    Raises:
        UserError: as ``pair`` does.
    """
    comparisons = [_compared(pair(a, b)) for a, b in sides]
    corrected = holm([comparison.test.p for comparison in comparisons])
    return [replace(one, p_holm=p) for one, p in zip(comparisons, corrected, strict=True)]


def as_json(comparisons: Sequence[Comparison], unmatched: Sequence[Side] = ()) -> dict[str, Any]:
    """The comparisons as plain data: ``confidence, resamples, comparisons, unmatched``."""
    return {
        "confidence": CONFIDENCE,
        "resamples": RESAMPLES,
        "comparisons": [
            {
                "a": _side(one.pairs.a),
                "b": _side(one.pairs.b),
                "n": len(one.pairs.samples),
                "only_in_a": one.pairs.only_in_a,
                "only_in_b": one.pairs.only_in_b,
                "figures": {
                    name: {"a": figure.a, "b": figure.b, "difference": asdict(figure.difference)}
                    for name, figure in one.figures.items()
                },
                "mcnemar": {**asdict(one.test), "p_holm": one.p_holm},
                "changed": [asdict(record) for record in one.changed],
            }
            for one in comparisons
        ],
        "unmatched": [_side(side) for side in unmatched],
    }


def write_comparison(folder: Path, comparisons: Sequence[Comparison], unmatched: Sequence[Side] = ()) -> Path:
    """Write ``compare.json``, whole or not at all, and return its path.

    Raises:
        UserError: the folder cannot be written to.
    """
    check_output(folder)
    path = folder / COMPARE_FILE
    try:
        write_whole(path, json.dumps(plain(as_json(comparisons, unmatched)), indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror or error}. Name another --output folder, or make room there."
        ) from error
    return path


def _compared(pairs: Pairs) -> Comparison:
    scorer = pairs.scorer
    samples_a, samples_b = zip(*pairs.samples, strict=True)
    figures: dict[str, Difference] = {}
    for name, value in scorer.paired.items():
        a, b = ([value(sample) for sample in samples] for samples in (samples_a, samples_b))
        figures[name] = Difference(sum(a) / len(a), sum(b) / len(b), mean_difference(a, b))
    if scorer in LABELLING and (labels := _shared_labels(pairs)):
        targets = [str(sample["target"]) for sample in samples_a]
        labels_a, labels_b = ([sample["prediction"] for sample in samples] for samples in (samples_a, samples_b))
        figures["macro_f1"] = Difference(*macro_f1_difference(targets, labels_a, labels_b, labels))
    successes = [(scorer.is_success(a), scorer.is_success(b)) for a, b in pairs.samples]
    changed = [
        Changed(a["id"], a["target"], scorer.answer(a), scorer.answer(b), "a" if success_a else "b")
        for (a, b), (success_a, success_b) in zip(pairs.samples, successes, strict=True)
        if success_a != success_b
    ]
    test = mcnemar([success_a for success_a, _ in successes], [success_b for _, success_b in successes])
    return Comparison(pairs, figures, test, test.p, changed)


def _shared_labels(pairs: Pairs) -> list[str]:
    """The candidate labels where both tasks report F1 for the same ones; else none."""
    a, b = (sorted(side.run.labels(side.task.name)) for side in (pairs.a, pairs.b))
    return a if a == b else []


def _side(side: Side) -> dict[str, str]:
    return {"run": str(side.run.folder), "task": side.task.name}


def _named_side(name: str) -> Side | None:
    """The side that ``FOLDER:TASK`` names; None where the name is a folder."""
    folder, separator, task = name.rpartition(":")
    if not separator or Path(name).exists() or not Path(folder).is_dir():
        return None
    run = read_run(Path(folder))
    if task not in run.tasks:
        raise UserError(f"{folder} has no task {task}; it has {run.listed}.")
    return Side(run, run.tasks[task])


def _refuse_repeated(names: Sequence[str]) -> None:
    if repeated := next((name for place, name in enumerate(names) if name in names[:place]), None):
        raise UserError(f"{repeated} is named twice. Name each run once; a run does not differ from itself.")


def _within(run: Run) -> list[tuple[Side, Side]]:
    groups: dict[tuple[str, frozenset[tuple[str, ...]]], list[Side]] = {}
    for task in run.tasks.values():
        side = Side(run, task)
        records = frozenset((id, *_content(sample).values()) for id, sample in side.samples.items())
        groups.setdefault((task.scorer.name, records), []).append(side)
    pairs = [pair for group in groups.values() for pair in combinations(group, 2)]
    if not pairs:
        raise UserError(
            f"{run.folder} has no two tasks of one kind over the same records; it has {run.listed}. Name another run "
            "to compare it with."
        )
    return pairs


def _across(runs: Sequence[Run]) -> list[tuple[Side, Side]]:
    baselines: dict[str, Side] = {}
    pairs = []
    for run in runs:
        for name, task in run.tasks.items():
            side = Side(run, task)
            if name in baselines:
                pairs.append((baselines[name], side))
            else:
                baselines[name] = side
    if not pairs:
        listed = "; ".join(f"{run.folder} has {run.listed}" for run in runs)
        raise UserError(
            f"No task was measured in two of the runs: {listed}. To compare tasks of different names, write "
            "FOLDER:TASK FOLDER:TASK."
        )
    return pairs


def _content(sample: Sample) -> dict[str, str]:
    """The fields of a sample that come from the data."""
    return {name: str(sample[name]) for name in ("target", *_TEXTS) if name in sample}
