"""lm-evaluation-harness reads the files of ``eval.export.harness``.

The tests need the extra ``bench``, which needs an environment without constraints.txt.
"""

import copy
import json
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from written_runs import config, nli_task, qa_task, write_run

from eval.export.harness import export_harness

pytest.importorskip("lm_eval")

TIMESTAMP = "2024-05-01T12-30-15.000000"
# Fields that the harness's EvaluationTracker adds when it writes results.
TRACKER_FIELDS = {
    "task_hashes",
    "model_source",
    "model_name",
    "model_name_sanitized",
    "system_instruction",
    "system_instruction_sha",
    "fewshot_as_multiturn",
    "chat_template",
    "chat_template_sha",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported folder of a model with scored answers, generated answers and pairs."""
    root = tmp_path_factory.mktemp("lm-eval")
    tasks = [
        qa_task("qa_gold", ["yes", "no", "no"], ["yes", "yes", "no"]),
        qa_task("qa_none", ["yes", None], ["yes", "no"], generated=True),
        nli_task(["neutral", "entailment"], ["neutral", "neutral"]),
    ]
    run = write_run(root / "run", *tasks, settings=config(llm={"system": "Be brief."}))
    export_harness([run], root / "out")
    return root / "out" / "org__model"


def _results(folder: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((folder / f"results_{TIMESTAMP}.json").read_text())
    return results


def _samples(folder: Path, task: str) -> list[dict[str, Any]]:
    with (folder / f"samples_{task}_{TIMESTAMP}.jsonl").open() as file:
        return [json.loads(line) for line in file]


def test_harness_table_shows_the_metrics(folder: Path) -> None:
    from lm_eval.utils import make_table

    table = make_table(_results(folder))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    assert ["qa_gold", version("medground"), "none", "0", "acc", "↑", "0.6667", "±", "0.3333"] in rows
    assert ["", "", "none", "0", "unparsed", "↓", "1.0000", "±", "1.0000"] in rows
    assert {row[0] for row in rows[2:]} == {"nli", "qa_gold", "qa_none", ""}


def test_harness_tracker_writes_the_same_files(folder: Path, tmp_path: Path) -> None:
    from lm_eval.loggers import EvaluationTracker

    ours = _results(folder)
    results = {key: copy.deepcopy(value) for key, value in ours.items() if key not in TRACKER_FIELDS}
    samples = {task: [_in_memory(sample) for sample in _samples(folder, task)] for task in ours["results"]}
    tracker = EvaluationTracker(output_path=str(tmp_path))
    tracker.general_config_tracker.log_experiment_args(
        ours["model_source"], ours["config"]["model_args"], ours["system_instruction"], None, False
    )
    tracker.save_results_aggregated(results, samples)
    for task, of_task in samples.items():
        tracker.save_results_samples(task, of_task)
    theirs = json.loads(next(tmp_path.rglob("results_*.json")).read_text())
    theirs.pop("total_evaluation_time_seconds")
    assert theirs.pop("fewshot_as_multiturn") is False
    assert theirs == {key: value for key, value in ours.items() if key != "fewshot_as_multiturn"}
    for task in samples:
        written = next(tmp_path.rglob(f"samples_{task}_*.jsonl"))
        assert written.read_text() == (folder / f"samples_{task}_{TIMESTAMP}.jsonl").read_text()


def _in_memory(sample: dict[str, Any]) -> dict[str, Any]:
    """A sample in the form that the harness's evaluator has before the tracker writes it."""
    arguments = [tuple(request.values()) for request in sample["arguments"].values()]
    return {**sample, "arguments": arguments}


def test_harness_helpers_find_and_parse_the_file_names(folder: Path) -> None:
    from lm_eval import utils

    files = [file.as_posix() for file in folder.iterdir()]
    assert [Path(file).name for file in utils.get_results_filenames(files)] == [f"results_{TIMESTAMP}.json"]
    sample_files = utils.get_sample_results_filenames(files)
    assert {utils.get_file_task_name(Path(file).name) for file in sample_files} == {"qa_gold", "qa_none", "nli"}
    assert {utils.get_file_datetime(Path(file).name) for file in sample_files} == {TIMESTAMP}
    assert utils.sanitize_model_name("org/model") == folder.name


def test_harness_makes_its_hub_card_from_the_files(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The harness loads the results file with the library datasets to fill the card."""
    import datasets
    import huggingface_hub
    from lm_eval.loggers import EvaluationTracker

    monkeypatch.setattr(datasets.config, "HF_UPDATE_DOWNLOAD_COUNTS", False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    names = [f"org__model/{file.name}" for file in folder.iterdir()]
    cards: list[Any] = []
    monkeypatch.setattr(huggingface_hub, "hf_hub_url", lambda filename, **_: str(folder.parent / filename))
    monkeypatch.setattr(huggingface_hub.DatasetCard, "push_to_hub", lambda card, *_, **__: cards.append(card))
    tracker = EvaluationTracker(output_path=str(tmp_path))
    tracker.api = SimpleNamespace(list_repo_files=lambda **_: names)
    tracker.recreate_metadata_card()
    (card,) = cards
    assert f"latest results from run {TIMESTAMP}" in card.text
    assert '"acc,none": 0.6666666666666666' in card.text
    assert {config["config_name"] for config in card.data.configs} >= {
        f"org__model__{task}" for task in ("qa_gold", "qa_none", "nli")
    }


def test_harness_loggers_accept_results_and_samples(folder: Path) -> None:
    from lm_eval.loggers.trackio_logger import _sample_to_trace
    from lm_eval.loggers.wandb_logger import WandbLogger

    logger = WandbLogger.__new__(WandbLogger)  # the constructor would log in to wandb
    logger.post_init(_results(folder))
    logger._get_config()
    _, figures = logger._sanitize_results_dict()
    assert figures["qa_gold/acc"] == pytest.approx(2 / 3)
    configs = _results(folder)["configs"]
    for task in configs:
        samples = [_in_memory(sample) for sample in _samples(folder, task)]
        kind = configs[task]["output_type"]
        if kind == "multiple_choice":
            for sample in samples:
                sample["filtered_resps"] = [[float(value), None] for value, _ in sample["filtered_resps"]]
                sample["resps"] = [[response] for response in sample["filtered_resps"]]
        table = logger._generate_dataset(samples, configs[task])
        assert list(table["acc"]) == [sample["acc"] for sample in samples]
        trace = _sample_to_trace(SimpleNamespace(Trace=dict), samples[0], task, kind)
        assert trace["metadata"]["acc"] == samples[0]["acc"]
    assert trace["messages"][0]["content"].startswith("Pain fell")
