from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from written_runs import label_task, retrieval_task, verified_task, write_run

from common.errors import UserError
from eval.compare import Side, choose_pairs, pair_samples
from eval.results import TaskResult
from eval.runs import Run
from eval.tasks import task_from_name

TARGETS = ["yes", "no", "yes"]


def _result(name: str = "qa_gold", n: int = 3) -> TaskResult:
    return label_task(name, TARGETS[:n], TARGETS[:n])


def _with_changed_sample(result: TaskResult, number: int, **fields: Any) -> TaskResult:
    samples = [{**sample, **(fields if index == number else {})} for index, sample in enumerate(result.samples)]
    return replace(result, samples=samples, estimates={})


def _side(run: Run, task: str = "qa_gold") -> Side:
    return Side(run, task_from_name(task))


def _pair_names(*names: Path | str) -> list[tuple[str, str]]:
    return [(a.name, b.name) for a, b in choose_pairs([str(name) for name in names]).pairs]


def test_each_task_is_paired_with_the_first_earlier_task_of_the_same_name(tmp_path: Path) -> None:
    a, b, c = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    write_run(a, _result("qa_none"), _result("qa_gold"))
    write_run(b, _result("qa_gold"), _result("nli"))
    write_run(c, _result("nli"), _result("qa_gold"), _result("qa_none"))
    assert _pair_names(a, b, c) == [
        (f"{a}:qa_gold", f"{b}:qa_gold"),
        (f"{b}:nli", f"{c}:nli"),
        (f"{a}:qa_gold", f"{c}:qa_gold"),
        (f"{a}:qa_none", f"{c}:qa_none"),
    ]


def test_tasks_of_only_one_run_are_unmatched(tmp_path: Path) -> None:
    a, b = str(tmp_path / "a"), str(tmp_path / "b:c")
    write_run(tmp_path / "a", _result("qa_none"), _result("qa_retrieved_dense"))
    write_run(tmp_path / "b:c", _result("qa_retrieved_bm25"), _result("qa_none"))
    unmatched = choose_pairs([a, b]).unmatched
    assert [side.name for side in unmatched] == [f"{a}:qa_retrieved_dense", f"{b}:qa_retrieved_bm25"]
    assert choose_pairs([f"{a}:qa_none", f"{b}:qa_none"]).unmatched == []
    assert choose_pairs([a]).unmatched == []


@pytest.mark.parametrize("arguments", [["a", "b"], ["a:qa_gold", "a:qa_none", "b:qa_gold"]])
def test_each_results_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    for name in ("a", "b"):
        write_run(tmp_path / name, _result("qa_none"), _result("qa_gold"))
    read_paths: list[Path] = []

    def counting_read(path: Path) -> str:
        read_paths.append(path)
        return path.read_text()

    monkeypatch.setattr("eval.runs.read_text", counting_read)
    choose_pairs([f"{tmp_path}/{argument}" for argument in arguments])
    assert read_paths == [tmp_path / name / "results.json" for name in ("a", "b")]


def test_a_folder_means_the_runs_below_it(tmp_path: Path) -> None:
    write_run(tmp_path / "grid" / "a", _result())
    write_run(tmp_path / "grid" / "b", _result())
    assert _pair_names(tmp_path / "grid") == [(f"{tmp_path}/grid/a:qa_gold", f"{tmp_path}/grid/b:qa_gold")]


def test_tasks_of_one_run_over_the_same_records_are_paired(tmp_path: Path) -> None:
    other_data = label_task("qa_gold_newnames", ["no"] * 3, ["no"] * 3)
    tasks = [retrieval_task("retrieval_dense", [1, 1, 2]), retrieval_task("retrieval_bm25", [1, 2, 2])]
    tasks += [_result("qa_none"), other_data, _result("qa_retrieved_dense"), _result("qa_gold"), _result("nli", 2)]
    tasks += [verified_task(f"verified_{name}", TARGETS, TARGETS, ["supported"] * 3) for name in ("gold", "swapped")]
    write_run(tmp_path, *tasks)
    assert _pair_names(tmp_path) == [
        (f"{tmp_path}:{a}", f"{tmp_path}:{b}")
        for a, b in [
            ("retrieval_dense", "retrieval_bm25"),
            ("qa_none", "qa_retrieved_dense"),
            ("qa_none", "qa_gold"),
            ("qa_retrieved_dense", "qa_gold"),
        ]
    ]


def test_named_tasks_are_paired_with_the_first(tmp_path: Path) -> None:
    write_run(tmp_path / "a", _result("qa_none"), _result("qa_gold"))
    write_run(tmp_path / "b:c", _result("nli_before"))
    a, b = f"{tmp_path}/a", f"{tmp_path}/b:c"
    assert _pair_names(f"{a}:qa_gold", f"{a}:qa_none", f"{b}:nli_before") == [
        (f"{a}:qa_gold", f"{a}:qa_none"),
        (f"{a}:qa_gold", f"{b}:nli_before"),
    ]
    write_run(tmp_path / "b", _result("nli_before"))
    assert _pair_names(b, tmp_path / "b") == [
        (f"{b}:nli_before", f"{tmp_path}/b:nli_before")
    ]  # the folder b:c, not a task c of the folder b


def test_arguments_without_a_pair_are_refused(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    write_run(a, _result("qa_gold"), _result("nli", 2))
    write_run(b, _result("qa_none"))
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
    for names, message in refused.items():
        with pytest.raises(UserError, match=message):
            _pair_names(*names)


def test_samples_are_paired_by_id_and_unpaired_ones_are_counted(tmp_path: Path) -> None:
    result = _result()
    first, second, third = result.samples
    a = write_run(tmp_path / "a", replace(result, samples=[second, first]))
    b = write_run(tmp_path / "b", replace(result, samples=[second, third, {**first, "id": "9"}]))
    paired = pair_samples(_side(a), _side(b))
    assert [(sample_a["id"], sample_b["id"]) for sample_a, sample_b in paired.pairs] == [("1", "1")]
    assert (paired.only_in_a, paired.only_in_b) == (1, 2)


@pytest.mark.parametrize(
    ("number", "fields", "message"),
    [
        (1, {"target": "maybe"}, r"The target of record 1 is 'no' in .*a:qa_gold and 'maybe' in .*b:qa_gold: the data"),
        (2, {"question": "Another?"}, r"The question of record 2 is 'Question 2\?' in .* and 'Another\?' in"),
    ],
)
def test_records_that_differ_between_runs_are_refused(
    tmp_path: Path, number: int, fields: dict[str, str], message: str
) -> None:
    a, b = (
        write_run(tmp_path / "a", _result()),
        write_run(tmp_path / "b", _with_changed_sample(_result(), number, **fields)),
    )
    with pytest.raises(UserError, match=message):
        pair_samples(_side(a), _side(b))


def test_samples_that_cannot_be_paired_are_refused(tmp_path: Path) -> None:
    result = _result()
    other_ids = replace(result, samples=[{**sample, "id": f"x{sample['id']}"} for sample in result.samples])
    a, b = write_run(tmp_path / "a", result), write_run(tmp_path / "b", other_ids)
    with pytest.raises(UserError, match="no record in common"):
        pair_samples(_side(a), _side(b))
    twice = write_run(tmp_path / "twice", _with_changed_sample(result, 1, id="0"))
    with pytest.raises(UserError, match=r"twice:qa_gold: the record 0 occurs twice"):
        pair_samples(_side(a), _side(twice))
    other_tasks = write_run(tmp_path / "other", retrieval_task("retrieval_dense", [1, 1, 1]), _result("verified_gold"))
    with pytest.raises(UserError, match="no metric in common"):
        pair_samples(_side(a), _side(other_tasks, "retrieval_dense"))
    with pytest.raises(UserError, match=r"verified_gold: record 0 has no verdict\. Run the evaluation"):
        pair_samples(_side(a), _side(other_tasks, "verified_gold"))
