"""From records over a real retriever and a real model to the files that INTERFACE promises other tools."""

import json
from typing import Any

import checkpoints
import pytest

from chains.config import LLMConfig
from chains.models.local import load_llm
from chains.qa.chain import qa_chain
from corpus.config import DataConfig
from corpus.load import load_records
from corpus.records import LABELS, documents
from eval.results import write_results
from eval.tasks import RetrievalTask, task_from_name
from retrievers.kinds.bm25 import BM25Retriever

RANKING = {"accuracy@1", "recall@5", "recall@10", "mrr@10", "ndcg@10"}
LABELLING = {"accuracy", "macro_f1", "unparsed"} | {
    f"{figure}_{label}" for figure in ("precision", "recall", "f1") for label in LABELS
}
FIELDS = {"id", "question", "prompt", "output", "label_scores", "prediction", "target", "retrieved", "key"}
TASKS = ("qa_none", "qa_gold", "qa_retrieved_bm25", "qa_gold_newnames", "qa_gold_newphrases", "qa_wrong")
GENERATED = "qa_gold_newphrases"  # labels read from generated text have no probabilities
CALIBRATION = {"ece", "brier"}
GROUNDING = {"read_right", "read_wrong", "unread_right", "unread_wrong"}
N = 12


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """The content of results.json, and of each samples file by task, after one run of every task."""
    root = tmp_path_factory.mktemp("journey")
    records = load_records(DataConfig(limit=N))
    retriever = BM25Retriever(documents(records))
    llm = load_llm(LLMConfig(model=str(checkpoints.make_chat(root / "model")), dtype="float32", device_map="cpu"))
    tasks = [RetrievalTask(retriever="bm25").evaluate(retriever, records, identity={"kind": "bm25"})]
    for task in TASKS:
        context = {"none": "none", "retrieved": "retrieved"}.get(task.split("_")[1], "gold")
        decide = "generate" if task == GENERATED else "score"
        chain = qa_chain(llm, retriever, context=context, decide=decide)  # type: ignore[arg-type]
        identity = {"model": llm.name, "decide": decide}
        tasks.append(task_from_name(task).evaluate(chain, records, identity=identity, quiet=True))
    results = write_results(root / "out", tasks, {"seed": 1})
    samples = {
        task.name: [json.loads(line) for line in (root / "out" / f"samples_{task.name}.jsonl").read_text().splitlines()]
        for task in tasks
    }
    return json.loads(results.read_text(encoding="utf-8")), samples


def test_results_have_the_promised_parts(written: tuple[dict[str, Any], Any]) -> None:
    results, _ = written
    assert {"results", "config", "versions", "date", "n", "computed", "reused"} <= set(results)
    assert (results["n"], results["computed"], results["reused"]) == (N, 7 * N, 0)
    assert set(results["results"]) == {"retrieval_bm25", *TASKS}


def test_every_metric_stands_beside_its_standard_error(written: tuple[dict[str, Any], Any]) -> None:
    results, _ = written
    for task, figures in results["results"].items():
        expected = LABELLING | CALIBRATION
        if task == GENERATED:
            expected = LABELLING
        elif task == "qa_wrong":
            expected = {"share_maybe", "unparsed"}
        elif task.startswith("retrieval_"):
            expected = RANKING
        elif task.startswith("qa_retrieved_"):
            expected = LABELLING | CALIBRATION | GROUNDING
        assert set(figures) == expected | {f"{metric}_stderr" for metric in expected}
        untold = {metric for metric, value in figures.items() if value is None}
        assert all(metric.endswith("_stderr") for metric in untold)  # of figures that the records tell nothing about
        most = {"unparsed": N, "unparsed_stderr": N, "brier": 2, "brier_stderr": 2}
        assert all(0 <= value <= most.get(metric, 1) for metric, value in figures.items() if metric not in untold)


def test_every_sample_has_the_promised_fields(written: tuple[Any, dict[str, list[dict[str, Any]]]]) -> None:
    _, samples = written
    for task, lines in samples.items():
        assert len(lines) == N
        assert len({line["key"] for line in lines}) == N
        for line in lines:
            assert set(line) >= FIELDS, task
            assert all(set(found) == {"id", "score"} for found in line["retrieved"])
            assert len(line["key"]) == 64


def test_samples_say_what_the_model_read_and_gave(written: tuple[Any, dict[str, list[dict[str, Any]]]]) -> None:
    _, samples = written
    contexts = {record.id: record.context for record in load_records(DataConfig(limit=N))}
    for task in TASKS:
        for line in samples[task]:
            assert line["question"] in line["prompt"]
            read = [found["id"] for found in line["retrieved"]]
            assert all(contexts[found] in line["prompt"] for found in read)
            assert len(read) == (0 if task == "qa_none" else 1)
            assert (line["id"] in read) is (task.startswith("qa_gold") or read == [line["id"]])
            if task == "qa_gold_newphrases":
                assert isinstance(line["output"], str)
                assert line["label_scores"] == {}
            else:
                assert line["output"] is None
                assert sum(line["label_scores"].values()) == pytest.approx(1)
                assert line["prediction"] == max(line["label_scores"], key=line["label_scores"].__getitem__)
    assert all(contexts[line["id"]] not in line["prompt"] for line in samples["qa_none"] + samples["qa_wrong"])
    assert all(found["score"] > 0 for line in samples["qa_retrieved_bm25"] for found in line["retrieved"])


def test_figures_follow_from_the_samples(written: tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]) -> None:
    results, samples = written
    for task in {"retrieval_bm25", *TASKS} - {"qa_wrong"}:
        right = [line["prediction"] == line["target"] for line in samples[task]]
        metric = "accuracy@1" if task == "retrieval_bm25" else "accuracy"
        assert results["results"][task][metric] == pytest.approx(sum(right) / N)
    generated = results["results"]["qa_gold_newphrases"]
    assert generated["unparsed"] == sum(line["prediction"] is None for line in samples["qa_gold_newphrases"])
    wrong = [line["prediction"] == "maybe" for line in samples["qa_wrong"]]
    assert results["results"]["qa_wrong"]["share_maybe"] == pytest.approx(sum(wrong) / N)
