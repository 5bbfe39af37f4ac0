"""Paired comparison of runs: matching tasks and records, differences, tests, and tables."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property
from itertools import combinations, groupby, zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table
from rich.text import Text

from common.errors import UserError
from common.json_file import escape
from eval.grouping import grouped
from eval.results import prepare_output_folder, write_json
from eval.runs import Run, find_runs, read_run
from eval.stats.estimate import CONFIDENCE, RESAMPLES, Estimate
from eval.stats.significance import McNemar, holm, macro_f1_difference, mcnemar, mean_difference
from eval.tables import new_table, with_interval
from eval.tasks import Sample, Task
from eval.tasks.scorers import CITATIONS, LABELLING, RANKING, Scorer, shared_scorer

COMPARE_FILE = "compare.json"
MAX_CHANGED_ROWS = 10  # in the table of a comparison's changed records
_INPUT_FIELDS = ("question", "premise", "hypothesis")
_NO_ANSWER = {RANKING.name: "nothing found", CITATIONS.name: "no sentence"}  # by scorer; other tables say "unparsed"


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a task of a run."""

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
            UserError: an id occurs twice, a sample lacks the field that the scorer needs, or ``Run.samples`` fails.
        """
        samples: dict[str, Sample] = {}
        needed = self.task.scorer.needs
        for sample in self.run.samples(self.task.name):
            if needed not in sample:
                raise UserError(
                    f"{self.name}: record {escape(sample['id'])} has no {needed}. Run the evaluation again."
                )
            if sample["id"] in samples:
                raise UserError(
                    f"{self.name}: the record {escape(sample['id'])} occurs twice, and records are paired by id. Give "
                    "each record of the data a unique id and run the evaluation again."
                )
            samples[sample["id"]] = sample
        return samples


@dataclass(frozen=True)
class PairedSamples:
    """A pair of samples for each record that A and B share, in A's order, and how many records only one side has."""

    a: Side
    b: Side
    scorer: Scorer
    pairs: Sequence[tuple[Sample, Sample]] = field(repr=False)
    only_in_a: int
    only_in_b: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A metric of A and of B, and B minus A, over the ``n`` records for which both sides have a value."""

    n: int
    a: float
    b: float
    difference: Estimate


@dataclass(frozen=True, slots=True)
class ChangedRecord:
    """A record on which only one side succeeds: the target, the answers ``a`` and ``b``, and the ``right`` side's name.

    ``right`` is "a" or "b".
    """

    id: str
    target: str
    a: str | None
    b: str | None
    right: str


@dataclass(frozen=True)
class Comparison:
    """A paired comparison of the baseline A with B.

    ``figures`` are differences by metric. ``test`` is McNemar's exact test of the scorer's ``is_success``. ``p_holm``
    is the test's p-value after Holm's correction for all comparisons made by the same call of ``compare``.
    """

    paired: PairedSamples = field(repr=False)
    figures: Mapping[str, Difference]
    test: McNemar
    p_holm: float
    changed: Sequence[ChangedRecord] = field(repr=False)


class Selection(NamedTuple):
    """The pairs to compare, baseline first, and the tasks that only one of several runs has."""

    pairs: list[tuple[Side, Side]]
    unmatched: list[Side]


def choose_pairs(names: Sequence[str]) -> Selection:
    """The pairs to compare for the arguments of ``medground compare``; each run is read once.

    - Folders of several runs: each task is paired with the task of the same name in the first run that has one. A
      folder means all runs in and below it.
    - The folder of one run: all pairs of its tasks that have the same scorer and the same records.
    - ``FOLDER:TASK`` arguments: each later task is paired with the first.

    Raises:
        UserError: a run or task does not exist or occurs twice, folders and tasks are mixed, or there is no pair.
    """
    read_once = cache(read_run)
    sides = [side for name in names if (side := _parse_side(name, read_once)) is not None]
    if sides and len(sides) < len(names):
        raise UserError(
            f"{sides[0].name} names a task, and other arguments do not. Write FOLDER:TASK for all of them or for none."
        )
    if sides:
        _refuse_repeated([side.name for side in sides])
        if len(sides) == 1:
            raise UserError(f"There is nothing to compare {sides[0].name} with. Name another FOLDER:TASK.")
        return Selection([(sides[0], other) for other in sides[1:]], [])
    runs = [run for name in names for run in find_runs(Path(name))]
    _refuse_repeated([str(run.folder.resolve()) for run in runs])
    if len(runs) == 1:
        return Selection(_pairs_within(runs[0]), [])
    counts = Counter(name for run in runs for name in run.tasks)
    unmatched = [Side(run, task) for run in runs for task in run.tasks.values() if counts[task.name] == 1]
    return Selection(_pairs_across(runs), unmatched)


def pair_samples(a: Side, b: Side) -> PairedSamples:
    """Pair the samples of two tasks by record id.

    Raises:
        UserError: the tasks have no metric or no record in common, or a common record differs.
    """
    scorer = shared_scorer(a.task.scorer, b.task.scorer)
    if scorer is None:
        raise UserError(f"{a.name} and {b.name} have no metric in common. Compare tasks of the same kind.")
    common = [id for id in a.samples if id in b.samples]
    if not common:
        raise UserError(
            f"{a.name} and {b.name} have no record in common: they are from different data. Evaluate both on the same "
            "data."
        )
    for id in common:
        data_a, data_b = _data_fields(a.samples[id]), _data_fields(b.samples[id])
        if changed := next((name for name in data_a if name in data_b and data_a[name] != data_b[name]), None):
            raise UserError(
                f"The {changed} of record {escape(id)} is {escape(data_a[changed])!r} in {a.name} and "
                f"{escape(data_b[changed])!r} in {b.name}: the data changed in between. Evaluate both on the same data."
            )
    pairs = [(a.samples[id], b.samples[id]) for id in common]
    return PairedSamples(a, b, scorer, pairs, len(a.samples) - len(common), len(b.samples) - len(common))


def compare(sides: Sequence[tuple[Side, Side]]) -> list[Comparison]:
    """Compare each pair of tasks, baseline first, and correct the p-values together.

    The metrics are means over samples (``Scorer.paired``) and, if both tasks have the same labels, macro F1. If only
    one of the tasks has verdicts, the two are compared by their labels.

    Raises:
        UserError: ``pair_samples`` fails.
    """
    comparisons = [_compare_samples(pair_samples(a, b)) for a, b in sides]
    corrected = holm([comparison.test.p for comparison in comparisons])
    return [replace(comparison, p_holm=p) for comparison, p in zip(comparisons, corrected, strict=True)]


def as_json(comparisons: Sequence[Comparison], unmatched: Sequence[Side] = ()) -> dict[str, Any]:
    """The comparisons as plain data: ``confidence, resamples, comparisons, unmatched``."""
    return {
        "confidence": CONFIDENCE,
        "resamples": RESAMPLES,
        "comparisons": [
            {
                "a": _side_json(comparison.paired.a),
                "b": _side_json(comparison.paired.b),
                "n": len(comparison.paired.pairs),
                "only_in_a": comparison.paired.only_in_a,
                "only_in_b": comparison.paired.only_in_b,
                "figures": {name: asdict(difference) for name, difference in comparison.figures.items()},
                "mcnemar": {**asdict(comparison.test), "p_holm": comparison.p_holm},
                "changed": [asdict(record) for record in comparison.changed],
            }
            for comparison in comparisons
        ],
        "unmatched": [_side_json(side) for side in unmatched],
    }


def write_comparison(folder: Path, comparisons: Sequence[Comparison], unmatched: Sequence[Side] = ()) -> Path:
    """Write ``compare.json`` and return its path.

    Raises:
        UserError: the folder is not writable.
    """
    prepare_output_folder(folder)
    return write_json(folder / COMPARE_FILE, as_json(comparisons, unmatched))


def _compare_samples(paired: PairedSamples) -> Comparison:
    scorer = paired.scorer
    samples_a, samples_b = zip(*paired.pairs, strict=True)
    figures: dict[str, Difference] = {}
    for name, value in scorer.paired.items():
        values = [(value(sample_a), value(sample_b)) for sample_a, sample_b in paired.pairs]
        if complete := [(a, b) for a, b in values if a is not None and b is not None]:
            values_a, values_b = map(list, zip(*complete, strict=True))
            difference = mean_difference(values_a, values_b)
            n = len(complete)
            figures[name] = Difference(n, sum(values_a) / n, sum(values_b) / n, difference)
    labels, labels_b = (sorted(side.run.labels(side.task.name)) for side in (paired.a, paired.b))
    if scorer in LABELLING and labels and labels == labels_b:
        targets = [str(sample["target"]) for sample in samples_a]
        answers_a, answers_b = ([sample["prediction"] for sample in samples] for samples in (samples_a, samples_b))
        figures["macro_f1"] = Difference(len(targets), *macro_f1_difference(targets, answers_a, answers_b, labels))
    successes = [(scorer.is_success(a), scorer.is_success(b)) for a, b in paired.pairs]
    changed = [
        ChangedRecord(a["id"], a["target"], scorer.answer(a), scorer.answer(b), "a" if success_a else "b")
        for (a, b), (success_a, success_b) in zip(paired.pairs, successes, strict=True)
        if success_a != success_b
    ]
    test = mcnemar([success_a for success_a, _ in successes], [success_b for _, success_b in successes])
    return Comparison(paired, figures, test, test.p, changed)


def _side_json(side: Side) -> dict[str, str]:
    return {"run": str(side.run.folder), "task": side.task.name}


def _parse_side(name: str, read: Callable[[Path], Run]) -> Side | None:
    """The task that the argument ``FOLDER:TASK`` names; None if the argument is a folder."""
    folder, separator, task = name.rpartition(":")
    if not separator or Path(name).exists() or not Path(folder).is_dir():
        return None
    run = read(Path(folder))
    if task not in run.tasks:
        raise UserError(f"{folder} has no task {task}; it has {run.task_names}.")
    return Side(run, run.tasks[task])


def _refuse_repeated(names: Sequence[str]) -> None:
    if repeated := next((name for index, name in enumerate(names) if name in names[:index]), None):
        raise UserError(f"{repeated} is named twice. Name each run once.")


def _pairs_within(run: Run) -> list[tuple[Side, Side]]:
    """The pairs of a run's tasks with the same scorer over the same records."""

    def scorer_and_records(side: Side) -> tuple[str, frozenset[tuple[str, ...]]]:
        records = frozenset((id, *_data_fields(sample).values()) for id, sample in side.samples.items())
        return side.task.scorer.name, records

    groups = grouped([Side(run, task) for task in run.tasks.values()], scorer_and_records)
    pairs = [pair for group in groups for pair in combinations(group, 2)]
    if not pairs:
        raise UserError(
            f"{run.folder} has no two tasks of one kind over the same records; it has {run.task_names}. Name another "
            "run to compare it with."
        )
    return pairs


def _pairs_across(runs: Sequence[Run]) -> list[tuple[Side, Side]]:
    """A pair of each task with its baseline: the first task of the same name, in the order of ``runs``."""
    baselines: dict[str, Side] = {}
    pairs = []
    for run in runs:
        for name, task in run.tasks.items():
            side = Side(run, task)
            if (baseline := baselines.setdefault(name, side)) is not side:
                pairs.append((baseline, side))
    if not pairs:
        tasks = "; ".join(f"{run.folder} has {run.task_names}" for run in runs)
        raise UserError(
            f"The runs have no task in common: {tasks}. To compare tasks of different names, write "
            "FOLDER:TASK FOLDER:TASK."
        )
    return pairs


def _data_fields(sample: Sample) -> dict[str, str]:
    """The fields of a sample that come from the data."""
    return {name: str(sample[name]) for name in ("target", *_INPUT_FIELDS) if name in sample}


def compare_tables(comparisons: Sequence[Comparison]) -> list[Table]:
    """A table of metrics and one of tests for each pair of runs, and a table of changed records for each comparison."""
    tables: list[Table] = []
    for title, group in groupby(comparisons, _title):
        same_runs = list(group)
        tables += [_metrics_table(title, same_runs), _tests_table(same_runs)]
        tables += [_changed_table(comparison) for comparison in same_runs if comparison.changed]
    return tables


def _title(comparison: Comparison) -> str:
    a, b = comparison.paired.a.run.folder, comparison.paired.b.run.folder
    return f"A and B: {a}" if a == b else f"A: {a}\nB: {b}"


def _metrics_table(title: str, comparisons: Sequence[Comparison]) -> Table:
    """One row per metric; the first rows of a comparison name its tasks."""
    table = new_table(title, "task", "n", "figure", "A", "B", "B - A (95%)")
    left_out = []
    for comparison in comparisons:
        cells = [
            (str(metric.n), name, f"{metric.a:.3f}", f"{metric.b:.3f}", with_interval(metric.difference, signed=True))
            for name, metric in comparison.figures.items()
        ]
        for task, metric_cells in zip_longest(_task_label(comparison).split("\n"), cells, fillvalue=""):
            table.add_row(task, *metric_cells)
        paired = comparison.paired
        if paired.only_in_a or paired.only_in_b:
            task = _task_label(comparison, ", ")
            left_out.append(f"{task}: left out {paired.only_in_a} records of A alone, {paired.only_in_b} of B")
    table.title = Text(title)  # so that rich does not read brackets in a folder's name as markup
    table.caption = Text("\n".join(left_out)) if left_out else None
    return table


def _tests_table(comparisons: Sequence[Comparison]) -> Table:
    columns = ("both right", "only A", "only B", "neither", "p", "p by Holm")
    table = new_table("Right and wrong, by McNemar's exact test", "task", *columns)
    for comparison in comparisons:
        test = comparison.test
        counts = [str(count) for count in (test.both, test.only_a, test.only_b, test.neither)]
        table.add_row(_task_label(comparison), *counts, _p_value(test.p), _p_value(comparison.p_holm))
    return table


def _changed_table(comparison: Comparison) -> Table:
    table = new_table(f"Changed sides:\n{_task_label(comparison)}", "id", "target", "A", "B", "right")
    missing = _NO_ANSWER.get(comparison.paired.scorer.name, "unparsed")
    for record in comparison.changed[:MAX_CHANGED_ROWS]:
        answers = [Text(escape(answer or missing, 30)) for answer in (record.a, record.b)]
        table.add_row(Text(escape(record.id)), Text(escape(record.target, 30)), *answers, record.right.upper())
    if (n_hidden := len(comparison.changed) - MAX_CHANGED_ROWS) > 0:
        table.caption = f"and {n_hidden} more: see --json"
    return table


def _task_label(comparison: Comparison, separator: str = "\n") -> str:
    a, b = comparison.paired.a.task.name, comparison.paired.b.task.name
    return a if a == b else f"A {a}{separator}B {b}"


def _p_value(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"
