from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from written_runs import label_task, retrieval_task, verified_task, written

from common.errors import UserError
from eval.compare import Side, choose_pairs, pair_samples, unmatched_tasks
from eval.results import TaskResult
from eval.tasks import task_from_name

TARGETS = ["yes", "no", "yes"]


def _task(name: str = "qa_gold", n: int = 3) -> TaskResult:
    return label_task(name, TARGETS[:n], TARGETS[:n])


def _changed(task: TaskResult, number: int, **fields: Any) -> TaskResult:
    samples = [{**sample, **(fields if place == number else {})} for place, sample in enumerate(task.samples)]
    return replace(task, samples=samples, estimates={})


def _chosen(*names: Path | str) -> list[tuple[str, str]]:
    return [(a.name, b.name) for a, b in choose_pairs([str(name) for name in names])]


def test_each_later_run_is_held_against_the_first_that_has_the_task(tmp_path: Path) -> None:
    a, b, c = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    written(a, _task("qa_none"), _task("qa_gold"))
    written(b, _task("qa_gold"), _task("nli"))
    written(c, _task("nli"), _task("qa_gold"), _task("qa_none"))
    assert _chosen(a, b, c) == [
        (f"{a}:qa_gold", f"{b}:qa_gold"),
        (f"{b}:nli", f"{c}:nli"),
        (f"{a}:qa_gold", f"{c}:qa_gold"),
        (f"{a}:qa_none", f"{c}:qa_none"),
    ]


def test_tasks_that_one_run_alone_has_are_left_over(tmp_path: Path) -> None:
    a, b = str(tmp_path / "a"), str(tmp_path / "b:c")
    written(tmp_path / "a", _task("qa_none"), _task("qa_retrieved_dense"))
    written(tmp_path / "b:c", _task("qa_retrieved_bm25"), _task("qa_none"))
    assert [side.name for side in unmatched_tasks([a, b])] == [f"{a}:qa_retrieved_dense", f"{b}:qa_retrieved_bm25"]
    assert unmatched_tasks([f"{a}:qa_none", f"{b}:qa_none"]) == []
    assert unmatched_tasks([a]) == []


def test_a_folder_stands_for_the_runs_below_it(tmp_path: Path) -> None:
    written(tmp_path / "grid" / "a", _task())
    written(tmp_path / "grid" / "b", _task())
    assert _chosen(tmp_path / "grid") == [(f"{tmp_path}/grid/a:qa_gold", f"{tmp_path}/grid/b:qa_gold")]


def test_one_run_alone_compares_its_tasks_over_the_same_records(tmp_path: Path) -> None:
    others = label_task("qa_gold_newnames", ["no"] * 3, ["no"] * 3)
    tasks = [retrieval_task("retrieval_dense", [1, 1, 2]), retrieval_task("retrieval_bm25", [1, 2, 2])]
    tasks += [_task("qa_none"), others, _task("qa_retrieved_dense"), _task("qa_gold"), _task("nli", 2)]
    tasks += [verified_task(f"verified_{name}", TARGETS, TARGETS, ["supported"] * 3) for name in ("gold", "swapped")]
    written(tmp_path, *tasks)
    assert _chosen(tmp_path) == [
        (f"{tmp_path}:{a}", f"{tmp_path}:{b}")
        for a, b in [
            ("retrieval_dense", "retrieval_bm25"),
            ("qa_none", "qa_retrieved_dense"),
            ("qa_none", "qa_gold"),
            ("qa_retrieved_dense", "qa_gold"),
        ]
    ]


def test_tasks_of_other_names_are_compared_when_they_are_named(tmp_path: Path) -> None:
    written(tmp_path / "a", _task("qa_none"), _task("qa_gold"))
    written(tmp_path / "b:c", _task("nli_before"))
    a, b = f"{tmp_path}/a", f"{tmp_path}/b:c"
    assert _chosen(f"{a}:qa_gold", f"{a}:qa_none", f"{b}:nli_before") == [
        (f"{a}:qa_gold", f"{a}:qa_none"),
        (f"{a}:qa_gold", f"{b}:nli_before"),
    ]
    written(tmp_path / "b", _task("nli_before"))
    assert _chosen(b, tmp_path / "b") == [(f"{b}:nli_before", f"{tmp_path}/b:nli_before")]  # a folder, not a task c


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    written(a, _task("qa_gold"), _task("nli", 2))
    written(b, _task("qa_none"))
    refused = {
        (a,): "a has no two tasks of one kind over the same records; it has qa_gold, nli",
        (a, b): "The runs have no task in common: .*a has qa_gold, nli; .*b has qa_none.*FOLDER:TASK",
        (a, a): "a is named twice",
        (a, f"{b}/../a"): "a is named twice",
        (tmp_path, a): "a is named twice",
        (f"{a}:nli", f"{a}:nli"): "a:nli is named twice",
        (f"{a}:nli",): "nothing to compare .*a:nli with",
        (f"{a}:nli", b): "a:nli names a task, and other arguments do not",
        (f"{a}:qa_none", f"{b}:qa_none"): "a has no task qa_none; it has qa_gold, nli",
        (tmp_path / "absent", a): "absent does not exist",
        (f"{tmp_path}/absent:nli", f"{a}:nli"): "a:nli names a task|absent:nli does not exist",
        (a, a / "results.json"): "is a file; name the folder",
    }
    for names, told in refused.items():
        with pytest.raises(UserError, match=told):
            _chosen(*names)


def test_records_are_paired_by_id_and_the_others_counted(tmp_path: Path) -> None:
    whole = _task()
    a = written(tmp_path / "a", replace(whole, samples=whole.samples[1::-1]))
    b = written(tmp_path / "b", replace(whole, samples=[*whole.samples[1:], {**whole.samples[0], "id": "9"}]))
    paired = pair_samples(Side(a, task_from_name("qa_gold")), Side(b, task_from_name("qa_gold")))
    assert [(one["id"], other["id"]) for one, other in paired.samples] == [("1", "1")]
    assert (paired.only_in_a, paired.only_in_b) == (1, 2)


@pytest.mark.parametrize(
    ("number", "fields", "told"),
    [
        (1, {"target": "maybe"}, r"The target of record 1 is 'no' in .*a:qa_gold and 'maybe' in .*b:qa_gold: the data"),
        (2, {"question": "Another?"}, r"The question of record 2 is 'Question 2\?' in .* and 'Another\?' in"),
    ],
)
def test_data_that_changed_in_between_is_refused(
    tmp_path: Path, number: int, fields: dict[str, str], told: str
) -> None:
    a, b = written(tmp_path / "a", _task()), written(tmp_path / "b", _changed(_task(), number, **fields))
    with pytest.raises(UserError, match=told):
        pair_samples(Side(a, task_from_name("qa_gold")), Side(b, task_from_name("qa_gold")))


def test_samples_that_make_no_pairs_are_refused(tmp_path: Path) -> None:
    task = _task()
    elsewhere = replace(task, samples=[{**sample, "id": f"x{sample['id']}"} for sample in task.samples])
    a, b = written(tmp_path / "a", task), written(tmp_path / "b", elsewhere)
    with pytest.raises(UserError, match="no record in common"):
        pair_samples(Side(a, task_from_name("qa_gold")), Side(b, task_from_name("qa_gold")))
    twice = written(tmp_path / "twice", _changed(task, 1, id="0"))
    with pytest.raises(UserError, match=r"twice:qa_gold: the record 0 occurs twice"):
        pair_samples(Side(a, task_from_name("qa_gold")), Side(twice, task_from_name("qa_gold")))
    ranking = written(tmp_path / "r", retrieval_task("retrieval_dense", [1, 1, 1]), _task("verified_gold"))
    with pytest.raises(UserError, match="no metric in common"):
        pair_samples(Side(a, task_from_name("qa_gold")), Side(ranking, task_from_name("retrieval_dense")))
    with pytest.raises(UserError, match=r"verified_gold: record 0 has no verdict\. Run the evaluation"):
        pair_samples(Side(a, task_from_name("qa_gold")), Side(ranking, task_from_name("verified_gold")))
