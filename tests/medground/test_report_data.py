import json
from pathlib import Path

import pytest
import report_runs as runs

from corpus.pubmedqa import read_records
from corpus.sample import sample_path
from eval.report.tasks import ReportTask, read_tasks
from eval.results import TaskResult, write_results
from medground.report_data import ReportData, notes
from medground.tiny import TINY_NOTE

CONTEXTS = {record.id: record.context for record in runs.records(300)}


def written(folder: Path, *tasks: TaskResult, **sections: dict[str, object]) -> list[ReportTask]:
    write_results(folder, tasks, runs.settings(**sections))
    return list(read_tasks([folder]).tasks)


def data_file(folder: Path, n: int) -> Path:
    """The sample's first test records as a file of the user's own."""
    ids = [record.id for record in runs.records(n)]
    whole = json.loads(sample_path("ori_pqal").read_text())
    path = folder / "own.json"
    path.write_text(json.dumps({id: whole[id] for id in ids}))
    return path


def test_texts_come_from_the_data_that_was_measured(tmp_path: Path) -> None:
    (task,) = written(tmp_path, runs.answers("qa_gold", ["yes"] * 3))
    sources = ReportData()
    texts = sources.texts(task)
    assert all(texts[sample["id"]] == CONTEXTS[sample["id"]] for sample in task.samples)
    assert sources.gaps == []


def test_the_sample_s_further_files_have_texts_of_their_own(tmp_path: Path) -> None:
    record = read_records(sample_path("newnames"))[0]
    made = runs.answers("qa_gold_newnames", ["yes"], id=[record.id], question=[record.question])
    (task,) = written(tmp_path, made)
    assert ReportData().texts(task)[record.id] == record.context


def test_where_no_passage_was_read_none_is_looked_for(tmp_path: Path) -> None:
    (task,) = written(tmp_path, runs.answers("qa_none", ["yes"]), data={"path": "gone.json"})
    sources = ReportData()
    assert sources.texts(task) == {}
    assert sources.gaps == []


def test_data_that_is_gone_is_told_once(tmp_path: Path) -> None:
    tasks = written(
        tmp_path, runs.answers("qa_gold", ["yes"]), runs.answers("qa_wrong", ["no"]), data={"path": "gone.json"}
    )
    sources = ReportData()
    assert [sources.texts(task) for task in tasks] == [{}, {}]
    (gap,) = sources.gaps
    assert gap.startswith(f"The texts of passages in {tmp_path.name} are not shown, only their ids: gone.json")


def test_data_that_changed_is_told(tmp_path: Path) -> None:
    path = data_file(tmp_path, 2)
    (task,) = written(tmp_path / "run", runs.answers("qa_gold", ["yes"] * 2), data={"path": str(path)})
    assert len(ReportData().texts(task)) == 2
    path.write_text(path.read_text().replace('"QUESTION": "', '"QUESTION": "Not ', 1))
    sources = ReportData()
    assert sources.texts(task) == {}
    assert "has changed since it was measured" in sources.gaps[0]


def test_settings_of_another_version_are_told(tmp_path: Path) -> None:
    tasks = written(tmp_path, runs.ranking([1, 1, 1]), store={"path": "store", "colour": "blue"})
    sources = ReportData()
    assert sources.texts(tasks[0]) == {}
    assert sources.maps(tasks, tmp_path, quiet=True) == []
    assert "store.colour" in sources.gaps[0]
    assert "store.colour" in sources.map_gap


def test_an_embedder_s_map_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = data_file(tmp_path, 6)
    settings = {"data": {"path": str(path)}, "store": {"path": str(tmp_path / "store")}}
    tasks = written(tmp_path / "run", runs.ranking([1] * 6), runs.ranking([1] * 6, "bm25"), **settings)
    sources = ReportData()
    (shown,) = sources.maps(tasks, tmp_path / "run", quiet=True)
    assert (shown.name, shown.model, shown.left_out) == ("minilm", "all-MiniLM-L6-v2", 0)
    assert [(pair.question, pair.abstract, pair.label) for pair in shown.pairs] == [
        (record.question, record.context, record.label) for record in runs.records(6)
    ]
    assert sources.map_gap == ""
    monkeypatch.setattr("medground.report_data._embed_pairs", lambda *_: pytest.fail("embedded again"))
    assert ReportData().maps(tasks, tmp_path / "run", quiet=True)[0].positions == shown.positions


def test_two_data_sets_have_a_map_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def vectors(settings: object, embedder: str, records: object, pairs: list[object], quiet: bool) -> object:
        import numpy as np

        asked.append(embedder)
        made = np.random.default_rng(0).normal(size=(len(pairs), 4)).astype(np.float32)
        return made, made

    monkeypatch.setattr("medground.report_data._embed_pairs", vectors)
    own = written(tmp_path / "own", runs.ranking([1] * 4), data={"path": str(data_file(tmp_path, 4))})
    tasks = [*own, *written(tmp_path / "sample", runs.ranking([1] * 3))]
    maps = ReportData().maps(tasks, tmp_path, quiet=True)
    assert [(shown.name, len(shown.pairs)) for shown in maps] == [("minilm, own.json", 4), ("minilm, sample", 3)]
    assert len({shown.file_name for shown in maps}) == 2


def test_without_an_embedder_there_is_no_map_and_a_reason(tmp_path: Path) -> None:
    tasks = written(tmp_path, runs.ranking([1] * 3, "bm25"), runs.answers("qa_gold", ["yes"] * 3))
    sources = ReportData()
    assert sources.maps(tasks, tmp_path, quiet=True) == []
    assert sources.map_gap == "There is no map of questions and abstracts: no retriever of these runs embeds texts."


def test_too_few_records_have_no_map(tmp_path: Path) -> None:
    tasks = written(tmp_path, runs.ranking([1, 1]))
    sources = ReportData()
    assert sources.maps(tasks, tmp_path, quiet=True) == []
    assert sources.map_gap == "There is no map of minilm: retrieval_dense has 2 records, and t-SNE needs 3 or more."


@pytest.mark.parametrize(
    ("task", "sections", "told"),
    [
        ("qa_none", {}, [TINY_NOTE]),
        ("qa_none", {"llm": {"model": "google/gemma-2b-it"}}, []),
        ("nli", {}, [TINY_NOTE]),
        ("nli", {"nli": {"kind": "encoder", "model": "m"}}, []),
        ("retrieval_dense", {}, []),
    ],
)
def test_the_reader_is_told_where_the_tiny_model_answered(
    tmp_path: Path, task: str, sections: dict[str, dict[str, object]], told: list[str]
) -> None:
    made = {
        "qa_none": runs.answers("qa_none", ["yes"]),
        "nli": runs.pairs(["neutral"], ["neutral"]),
        "retrieval_dense": runs.ranking([1]),
    }
    assert notes(written(tmp_path, made[task], **sections)) == told
