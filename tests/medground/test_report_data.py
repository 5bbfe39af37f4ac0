"""medground/report_data.py: texts of passages, maps of embeddings, and notes of a report."""

import json
from pathlib import Path

import pytest
import report_runs as runs

from corpus.pubmedqa import read_records
from corpus.sample import sample_path
from eval.report.tasks import ReportTask, read_tasks
from eval.results import TaskResult, write_results
from eval.stats.estimate import Estimate
from eval.tasks import CheckTask
from medground.report_data import ReportData, notes
from medground.tiny import TINY_NOTE

ABSTRACTS = {record.id: record.context for record in runs.records(300)}


def write_and_read(folder: Path, *tasks: TaskResult, **sections: dict[str, object]) -> list[ReportTask]:
    """The tasks as a report reads them from a folder of results; ``sections`` are those of the run's settings."""
    write_results(folder, tasks, runs.settings(**sections))
    return list(read_tasks([folder]).tasks)


def write_records(folder: Path, count: int) -> Path:
    """Write the sample's first test records to a file other than the sample's."""
    sample = json.loads(sample_path("ori_pqal").read_text())
    path = folder / "records.json"
    path.write_text(json.dumps({record.id: sample[record.id] for record in runs.records(count)}))
    return path


def test_texts_are_the_abstracts_of_the_run_s_data(tmp_path: Path) -> None:
    (task,) = write_and_read(tmp_path, runs.answers("qa_gold", ["yes"] * 3))
    report_data = ReportData()
    texts = report_data.texts(task)
    assert all(texts[sample["id"]] == ABSTRACTS[sample["id"]] for sample in task.samples)
    assert report_data.gaps == []


def test_texts_of_a_variant_come_from_the_variant_s_file(tmp_path: Path) -> None:
    record = read_records(sample_path("newnames"))[0]
    fields = {"id": [record.id], "question": [record.question], "target": [record.label]}
    answers = runs.answers("qa_gold_newnames", ["yes"], **fields)
    (task,) = write_and_read(tmp_path, answers)
    assert ReportData().texts(task)[record.id] == record.context


def test_data_is_not_read_for_a_task_without_passages(tmp_path: Path) -> None:
    (task,) = write_and_read(tmp_path, runs.answers("qa_none", ["yes"]), data={"path": "gone.json"})
    report_data = ReportData()
    assert report_data.texts(task) == {}
    assert report_data.gaps == []


def test_missing_data_is_reported_once(tmp_path: Path) -> None:
    tasks = write_and_read(
        tmp_path, runs.answers("qa_gold", ["yes"]), runs.answers("qa_wrong", ["no"]), data={"path": "gone.json"}
    )
    report_data = ReportData()
    assert [report_data.texts(task) for task in tasks] == [{}, {}]
    (gap,) = report_data.gaps
    assert gap.startswith(f"The texts of passages in {tmp_path.name} are not shown, only their ids: gone.json")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("QUESTION", "Not so?", "is missing or has another question"),
        ("final_decision", "no", "is missing or has another target"),
        ("CONTEXTS", ["Another abstract."], "the texts of qa_gold were others"),
    ],
)
def test_changed_data_is_reported(tmp_path: Path, field: str, value: object, message: str) -> None:
    path = write_records(tmp_path, 2)
    prompts = [f"Text: {record.context}" for record in runs.records(2)]
    # The texts of a sample are only compared if the sample has a key.
    answers = runs.answers("qa_gold", ["yes"] * 2, prompt=prompts, key=["key"] * 2)
    (task,) = write_and_read(tmp_path / "run", answers, data={"path": str(path)})
    assert len(ReportData().texts(task)) == 2
    data = json.loads(path.read_text())
    data[runs.records(1)[0].id][field] = value
    path.write_text(json.dumps(data))
    report_data = ReportData()
    assert report_data.texts(task) == {}
    assert "has changed since it was measured" in report_data.gaps[0]
    assert message in report_data.gaps[0]


def test_texts_of_a_check_task_are_its_evidence_documents(tmp_path: Path) -> None:
    (tmp_path / "claims.csv").write_text("id,claim,evidence,label\nc1,It helps.,Pain fell.,SUPPORT\n")
    sample = {"id": "c1", "question": "It helps.", "target": "supported", "prediction": "supported", "label_scores": {}}
    sample["retrieved"] = [{"id": "e1", "score": 0.9}]
    checks = (CheckTask(), CheckTask(context="retrieved", retriever="dense"))
    results = [TaskResult(check, {"accuracy": Estimate(1.0)}, [sample]) for check in checks]
    tasks = write_and_read(tmp_path / "run", *results, claims={"path": str(tmp_path / "claims.csv")})
    report_data = ReportData()
    assert [report_data.texts(task) for task in tasks] == [{"e1": "Pain fell."}] * 2
    assert (report_data.gaps, report_data.maps(tasks, tmp_path, quiet=True)) == ([], [])
    assert "no map of questions and abstracts: no task of these runs embeds both" in report_data.map_gap
    (tmp_path / "claims.csv").write_text("id,claim,evidence,label\nc1,It harms.,Pain rose.,SUPPORT\n")
    after_change = ReportData()
    assert [after_change.texts(task) for task in tasks] == [{}, {}]
    expected = "claims.csv (claims) has changed since it was measured: record c1 is missing or has another text."
    assert expected in after_change.gaps[0]


def test_settings_that_are_no_longer_valid_are_reported(tmp_path: Path) -> None:
    tasks = write_and_read(tmp_path, runs.ranking([1, 1, 1]), store={"path": "store", "colour": "blue"})
    report_data = ReportData()
    assert report_data.texts(tasks[0]) == {}
    assert report_data.maps(tasks, tmp_path, quiet=True) == []
    assert "store.colour" in report_data.gaps[0]
    assert "store.colour" in report_data.map_gap


def test_map_of_an_embedder_is_computed_once_and_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_records(tmp_path, 6)
    settings = {"data": {"path": str(path)}, "store": {"path": str(tmp_path / "store")}}
    tasks = write_and_read(tmp_path / "run", runs.ranking([1] * 6), runs.ranking([1] * 6, "bm25"), **settings)
    report_data = ReportData()
    (embedding_map,) = report_data.maps(tasks, tmp_path / "run", quiet=True)
    assert (embedding_map.name, embedding_map.model, embedding_map.left_out) == ("minilm", "all-MiniLM-L6-v2", 0)
    assert [(pair.question, pair.abstract, pair.label) for pair in embedding_map.pairs] == [
        (record.question, record.context, record.label) for record in runs.records(6)
    ]
    assert report_data.map_gap == ""
    monkeypatch.setattr("medground.report_data._embed_pairs", lambda *_: pytest.fail("embedded again"))
    assert ReportData().maps(tasks, tmp_path / "run", quiet=True)[0].positions == embedding_map.positions


def test_each_data_set_has_its_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def embed_pairs(settings: object, embedder: str, records: object, pairs: list[object], quiet: bool) -> object:
        import numpy as np

        vectors = np.random.default_rng(0).normal(size=(len(pairs), 4)).astype(np.float32)
        return vectors, vectors

    monkeypatch.setattr("medground.report_data._embed_pairs", embed_pairs)
    data = {"path": str(write_records(tmp_path, 4))}
    tasks = write_and_read(tmp_path / "records", runs.ranking([1] * 4), data=data)
    tasks += write_and_read(tmp_path / "sample", runs.ranking([1] * 3))
    maps = ReportData().maps(tasks, tmp_path, quiet=True)
    assert [(one.name, len(one.pairs)) for one in maps] == [("minilm, records.json", 4), ("minilm, sample", 3)]
    assert len({one.file_name for one in maps}) == 2


def test_map_gap_says_that_no_task_has_an_embedder(tmp_path: Path) -> None:
    tasks = write_and_read(tmp_path, runs.ranking([1] * 3, "bm25"), runs.answers("qa_gold", ["yes"] * 3))
    report_data = ReportData()
    assert report_data.maps(tasks, tmp_path, quiet=True) == []
    assert report_data.map_gap == "There is no map of questions and abstracts: no task of these runs embeds both."


def test_map_gap_says_that_records_are_too_few(tmp_path: Path) -> None:
    tasks = write_and_read(tmp_path, runs.ranking([1, 1]))
    report_data = ReportData()
    assert report_data.maps(tasks, tmp_path, quiet=True) == []
    assert report_data.map_gap == "There is no map of minilm: retrieval_dense has 2 records, and t-SNE needs 3 or more."


@pytest.mark.parametrize(
    ("task", "sections", "expected"),
    [
        ("qa_none", {}, [TINY_NOTE]),
        ("qa_none", {"llm": {"model": "google/gemma-2b-it"}}, []),
        ("nli", {}, [TINY_NOTE]),
        ("nli", {"nli": {"kind": "encoder", "model": "m"}}, []),
        ("retrieval_dense", {}, []),
    ],
)
def test_results_of_medground_tiny_have_the_tiny_note(
    tmp_path: Path, task: str, sections: dict[str, dict[str, object]], expected: list[str]
) -> None:
    results = {
        "qa_none": runs.answers("qa_none", ["yes"]),
        "nli": runs.nli_task(["neutral"], ["neutral"]),
        "retrieval_dense": runs.ranking([1]),
    }
    assert notes(write_and_read(tmp_path, results[task], **sections)) == expected
