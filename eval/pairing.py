"""Which tasks of which runs are held against each other, and their records side by side."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from common.errors import UserError
from common.json_file import shown
from eval.runs import Run, find_runs, read_run

Sample = Mapping[str, Any]
Kind = Literal["ranking", "labels", "refusals", "verdicts", "unsupportable"]

_KINDS: dict[str, Kind] = {
    "retrieval_": "ranking",
    "qa_wrong": "refusals",
    "verified_wrong": "unsupportable",
    "verified_swapped": "unsupportable",
    "verified_": "verdicts",
}
_NEEDED: dict[Kind, str] = {"ranking": "retrieved", "verdicts": "verdict", "unsupportable": "verdict"}
_TEXTS = ("question", "premise", "hypothesis")


@dataclass(frozen=True)
class Side:
    """One task of one run."""

    run: Run
    task: str

    @property
    def name(self) -> str:
        """As the command line names it."""
        return f"{self.run.folder}:{self.task}"

    @property
    def kind(self) -> Kind:
        """What the task asks for: passages, labels, that a wrong text is seen, verdicts, or that none is supported."""
        return next((kind for prefix, kind in _KINDS.items() if self.task.startswith(prefix)), "labels")

    @cached_property
    def samples(self) -> dict[str, Sample]:
        """The samples by id, read once.

        Raises:
            UserError: an id stands twice, a sample lacks what its kind of task must have, or as ``Run.samples`` says.
        """
        samples: dict[str, Sample] = {}
        needed = _NEEDED.get(self.kind, "prediction")
        for sample in self.run.samples(self.task):
            if needed not in sample:
                raise UserError(f"{self.name}: the record {shown(sample['id'])} has no {needed}. Measure again.")
            if sample["id"] in samples:
                raise UserError(
                    f"{self.name}: the record {shown(sample['id'])} stands there twice, and records are paired by id. "
                    "Give each record of the data an id of its own and measure again."
                )
            samples[sample["id"]] = sample
        return samples


@dataclass(frozen=True)
class Paired:
    """Two sides' samples of the records that both have, in A's order, and how many records only one of them has."""

    a: Side
    b: Side
    samples: Sequence[tuple[Sample, Sample]] = field(repr=False)
    only_in_a: int
    only_in_b: int


def choose_pairs(names: Sequence[str]) -> list[tuple[Side, Side]]:
    """What the arguments of ``medground compare`` ask for: pairs of a baseline and what is held against it.

    - Folders: each task, with that of the first run that has it as baseline. A folder stands for the runs in it and
      below it.
    - One run alone: its tasks of one kind over the same records, each against every one before it.
    - ``FOLDER:TASK``: each against the first, whatever the tasks are called.

    Raises:
        UserError: a run or task that is not there or stands twice, folders and tasks mixed, or nothing to compare.
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
    """The tasks that ``choose_pairs`` holds against nothing, as only one of several runs has them.

    None where tasks are named, or where there is one run alone, whose tasks need not be of one kind.

    Raises:
        UserError: a run is not there.
    """
    if any(_named_side(name) for name in names):
        return []
    runs = [run for name in names for run in find_runs(Path(name))]
    counts = Counter(task for run in runs for task in run.tasks)
    return [Side(run, task) for run in runs for task in run.tasks if counts[task] == 1] if len(runs) > 1 else []


def pair(a: Side, b: Side) -> Paired:
    """The samples of both sides by record.

    Raises:
        UserError: the tasks ask for different things, no record is in both, or a record changed in between.
    """
    if a.kind != b.kind and {a.kind, b.kind} != {"labels", "verdicts"}:
        raise UserError(f"{a.name} and {b.name} ask for different things, so there is no figure to compare.")
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
    return Paired(a, b, samples, len(a.samples) - len(common), len(b.samples) - len(common))


def _named_side(name: str) -> Side | None:
    """The side that ``FOLDER:TASK`` names; None where it is a folder."""
    folder, separator, task = name.rpartition(":")
    if not separator or Path(name).exists() or not Path(folder).is_dir():
        return None
    run = read_run(Path(folder))
    if task not in run.tasks:
        raise UserError(f"{folder} has no task {task}; it has {', '.join(run.tasks) or 'none'}.")
    return Side(run, task)


def _refuse_repeated(names: Sequence[str]) -> None:
    if repeated := next((name for place, name in enumerate(names) if name in names[:place]), None):
        raise UserError(f"{repeated} is named twice. Name each run once; nothing differs from itself.")


def _within(run: Run) -> list[tuple[Side, Side]]:
    groups: dict[tuple[Kind, frozenset[tuple[str, ...]]], list[Side]] = {}
    for task in run.tasks:
        side = Side(run, task)
        records = frozenset((id, *_content(sample).values()) for id, sample in side.samples.items())
        groups.setdefault((side.kind, records), []).append(side)
    pairs = [pair for group in groups.values() for pair in combinations(group, 2)]
    if not pairs:
        raise UserError(
            f"{run.folder} has no two tasks of one kind over the same records; it has {', '.join(run.tasks) or 'none'}."
            " Name another run to compare it with."
        )
    return pairs


def _across(runs: Sequence[Run]) -> list[tuple[Side, Side]]:
    baselines: dict[str, Side] = {}
    pairs = []
    for run in runs:
        for task in run.tasks:
            side = Side(run, task)
            if task in baselines:
                pairs.append((baselines[task], side))
            else:
                baselines[task] = side
    if not pairs:
        listed = "; ".join(f"{run.folder} has {', '.join(run.tasks) or 'none'}" for run in runs)
        raise UserError(
            f"No task was measured in two of the runs: {listed}. To compare tasks of different names, write "
            "FOLDER:TASK FOLDER:TASK."
        )
    return pairs


def _content(sample: Sample) -> dict[str, str]:
    """What the data says of a record, as far as samples tell."""
    return {name: str(sample[name]) for name in ("target", *_TEXTS) if name in sample}
