import json
import os
import platform
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import UserError
from common.fingerprints import to_jsonable
from eval.results import TaskResult, prepare_output_folder, versions, write_results
from eval.stats.estimate import Estimate
from eval.tasks import task_from_name


def _result(name: str = "qa_gold", accuracy: float = 0.5, **fields: Any) -> TaskResult:
    """A result of two samples; ``fields`` are added to the first sample."""
    samples = [{"id": "1", "question": "Does it?", "label_scores": {"yes": 0.5}} | fields, {"id": "2"}]
    estimates = {"accuracy": Estimate(accuracy, 0.1, 0.4, 0.6), "macro_f1": Estimate(0.25)}
    return TaskResult(task_from_name(name), estimates, samples)


def _read_results(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return content


def test_results_and_samples_are_written(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "first"
    date = datetime(2025, 5, 4, 3, 2, 1, tzinfo=UTC)
    assert write_results(folder, [_result(), _result("qa_none")], {"llm": {"model": "m"}}, date=date) == (
        folder / "results.json"
    )
    content = _read_results(folder)
    assert content["versions"]["python"] == platform.python_version()
    assert content["versions"] == versions()
    del content["versions"]
    metrics = {"accuracy": 0.5, "accuracy_stderr": 0.1, "macro_f1": 0.25, "macro_f1_stderr": None}
    assert content == {
        "results": {"qa_gold": metrics, "qa_none": metrics},
        "tasks": {
            name: {"kind": "qa", "context": context, "retriever": None, "variant": None}
            for name, context in (("qa_gold", "gold"), ("qa_none", "none"))
        },
        "config": {"llm": {"model": "m"}},
        "date": "2025-05-04T03:02:01+00:00",
        "n": 2,
        "computed": 4,
        "reused": 0,
        "identity": {"qa_gold": {}, "qa_none": {}},
        "earlier": {},
    }
    lines = (folder / "samples_qa_gold.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["1", "2"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "results.json",
        "samples_qa_gold.jsonl",
        "samples_qa_none.jsonl",
    ]


def test_versions_include_the_libraries_that_compute() -> None:
    assert {"python", "torch", "transformers", "chromadb", "medground"} <= set(versions())


def test_reused_samples_are_not_counted_as_computed(tmp_path: Path) -> None:
    write_results(tmp_path, [replace(_result(), reused=1)], {})
    content = _read_results(tmp_path)
    assert (content["n"], content["computed"], content["reused"]) == (2, 1, 1)


def test_earlier_tasks_of_the_folder_keep_their_results_and_the_settings_of_their_run(tmp_path: Path) -> None:
    write_results(tmp_path, [_result("retrieval_dense"), _result("qa_none", 0.1)], {"run": 1})
    first = _read_results(tmp_path)
    write_results(tmp_path, [_result("qa_none", 0.2)], {"run": 2})
    write_results(tmp_path, [_result("qa_gold")], {"run": 3})
    content = _read_results(tmp_path)
    assert set(content["results"]) == {"retrieval_dense", "qa_none", "qa_gold"}
    assert content["results"]["qa_none"]["accuracy"] == 0.2
    assert content["config"] == {"run": 3}
    assert content["earlier"]["retrieval_dense"] == {key: first[key] for key in ("config", "versions", "date", "n")}
    assert content["earlier"]["qa_none"]["config"] == {"run": 2}
    assert set(content["earlier"]) == {"retrieval_dense", "qa_none"}
    assert (tmp_path / "samples_retrieval_dense.jsonl").exists()


def test_identity_is_stored_by_task(tmp_path: Path) -> None:
    for name, weights in (("qa_none", "a1"), ("qa_gold", "b2"), ("qa_none", "c3")):
        write_results(tmp_path, [replace(_result(name), identity={"llm": weights})], {})
    assert _read_results(tmp_path)["identity"] == {"qa_gold": {"llm": "b2"}, "qa_none": {"llm": "c3"}}


def test_samples_with_separators_and_surrogates_are_read_back(tmp_path: Path) -> None:
    question = 'a\nb\u2028c\x85d\x00e "\\" α 🩺 \ud800'
    write_results(tmp_path, [_result(question=question)], {})
    lines = (tmp_path / "samples_qa_gold.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2
    assert json.loads(lines[0])["question"] == question


def test_numbers_that_are_not_finite_are_written_as_null(tmp_path: Path) -> None:
    scores = {"yes": float("nan"), "no": np.float32("inf"), "maybe": np.float32(0.5)}
    task = TaskResult(
        task_from_name("qa_gold"), {"accuracy": Estimate(float("nan"), float("inf"))}, [{"label_scores": scores}]
    )
    write_results(tmp_path, [task], {"limit": float("-inf"), "path": Path("a") / "b"})

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    content = json.loads((tmp_path / "results.json").read_text(), parse_constant=refuse)
    assert content["results"]["qa_gold"] == {"accuracy": None, "accuracy_stderr": None}
    assert content["config"] == {"limit": None, "path": os.path.join("a", "b")}  # noqa: PTH118
    sample = json.loads((tmp_path / "samples_qa_gold.jsonl").read_text(), parse_constant=refuse)
    assert sample["label_scores"] == {"yes": None, "no": None, "maybe": 0.5}


def test_to_jsonable_converts_numpy_types_and_rejects_objects() -> None:
    assert to_jsonable({"a": (np.int64(3), np.array([1.5, np.nan]), True, None, 7)}) == {
        "a": [3, [1.5, None], True, None, 7]
    }
    with pytest.raises(TypeError, match="object"):
        to_jsonable(object())


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "out"
    file.write_text("content")
    for folder in (file, file / "subfolder"):
        with pytest.raises(UserError, match=r"out.*: it is a file or lies under one\..*--output"):
            write_results(folder, [_result()], {})
    assert file.read_text() == "content"


def test_a_folder_without_write_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        tmp_path.chmod(0o700)
        pytest.skip("this user may write everywhere")
    try:
        with pytest.raises(UserError, match="Permission denied"):
            prepare_output_folder(tmp_path)
    finally:
        tmp_path.chmod(0o700)


def test_a_failed_write_keeps_the_earlier_results(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="needs a limit on the size of files")
    write_results(tmp_path, [_result(accuracy=0.1)], {})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # bytes
    try:
        with pytest.raises(UserError, match=r"File too large.*--output"):
            write_results(tmp_path, [_result(accuracy=0.9, output="x" * 100_000)], {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "content",
    [
        *("{", "[]", "\x00", '"text"', "[" * 100_000),
        *('{"results": 3}', '{"results": {}, "earlier": []}', '{"results": {}, "left_out": []}'),
    ],
)
def test_a_results_file_of_another_program_is_not_overwritten(tmp_path: Path, content: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(UserError, match="not a results file"):
        prepare_output_folder(tmp_path)
    with pytest.raises(UserError, match="not a results file"):
        write_results(tmp_path, [_result()], {})
    assert path.read_text() == content
    assert len(list(tmp_path.iterdir())) == 1


def test_prepare_output_folder_creates_an_empty_folder(tmp_path: Path) -> None:
    prepare_output_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", ".hidden", "x" * 101, "a\n"])
def test_a_task_name_that_cannot_be_a_file_name_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="file name"):
        _result(name)


def test_no_tasks_and_repeated_task_names_are_refused(tmp_path: Path) -> None:
    for tasks in ([], [_result(), _result()]):
        with pytest.raises(ValueError, match="one result for each task"):
            write_results(tmp_path, tasks, {})
