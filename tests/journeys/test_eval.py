"""results.json and samples files after every retrieval and question-answering task over the sample."""

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

RETRIEVAL_METRICS = {"accuracy@1", "recall@5", "recall@10", "mrr@10", "ndcg@10"}
LABEL_METRICS = {"accuracy", "macro_f1", "unparsed"} | {
    f"{metric}_{label}" for metric in ("precision", "recall", "f1") for label in LABELS
}
CALIBRATION_METRICS = {"ece", "brier"}
GROUNDING_METRICS = {"read_right", "read_wrong", "unread_right", "unread_wrong"}
SAMPLE_FIELDS = {"id", "question", "prompt", "output", "label_scores", "prediction", "target", "retrieved", "key"}
QA_TASKS = ("qa_none", "qa_gold", "qa_retrieved_bm25", "qa_gold_newnames", "qa_gold_newphrases", "qa_wrong")
GENERATED_TASK = "qa_gold_newphrases"  # its labels are parsed from generated text and so have no probabilities
RECORDS = 12
Samples = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Samples]:
    """The content of results.json, and of each samples file by task, after one run of every task."""
    root = tmp_path_factory.mktemp("journey")
    records = load_records(DataConfig(limit=RECORDS))
    retriever = BM25Retriever(documents(records))
    llm = load_llm(LLMConfig(model=str(checkpoints.make_chat(root / "model")), dtype="float32", device_map="cpu"))
    tasks = [RetrievalTask(retriever="bm25").evaluate(retriever, records, identity={"kind": "bm25"})]
    for task in QA_TASKS:
        context = {"none": "none", "retrieved": "retrieved"}.get(task.split("_")[1], "gold")
        decide = "generate" if task == GENERATED_TASK else "score"
        chain = qa_chain(llm, retriever, context=context, decide=decide)  # type: ignore[arg-type]
        identity = {"model": llm.name, "decide": decide}
        tasks.append(task_from_name(task).evaluate(chain, records, identity=identity, quiet=True))
    results = write_results(root / "out", tasks, {"seed": 1})
    samples = {
        task.name: [json.loads(line) for line in (root / "out" / f"samples_{task.name}.jsonl").read_text().splitlines()]
        for task in tasks
    }
    return json.loads(results.read_text(encoding="utf-8")), samples


def test_results_have_all_fields_and_tasks(output: tuple[dict[str, Any], Samples]) -> None:
    results, _ = output
    assert {"results", "config", "versions", "date", "n", "computed", "reused"} <= set(results)
    assert (results["n"], results["computed"], results["reused"]) == (RECORDS, (1 + len(QA_TASKS)) * RECORDS, 0)
    assert set(results["results"]) == {"retrieval_bm25", *QA_TASKS}


def test_every_metric_has_a_standard_error(output: tuple[dict[str, Any], Samples]) -> None:
    results, _ = output
    for task, figures in results["results"].items():
        expected = LABEL_METRICS | CALIBRATION_METRICS
        if task == GENERATED_TASK:
            expected = LABEL_METRICS
        elif task == "qa_wrong":
            expected = {"share_maybe", "unparsed"}
        elif task.startswith("retrieval_"):
            expected = RETRIEVAL_METRICS
        elif task.startswith("qa_retrieved_"):
            expected |= GROUNDING_METRICS
        assert set(figures) == expected | {f"{metric}_stderr" for metric in expected}
        undefined = {metric for metric, value in figures.items() if value is None}
        assert all(metric.endswith("_stderr") for metric in undefined)
        maxima = {"unparsed": RECORDS, "unparsed_stderr": RECORDS, "brier": 2, "brier_stderr": 2}
        assert all(0 <= figures[metric] <= maxima.get(metric, 1) for metric in figures.keys() - undefined)


def test_every_sample_has_all_fields_and_its_own_key(output: tuple[dict[str, Any], Samples]) -> None:
    _, samples = output
    for task, lines in samples.items():
        assert len({line["key"] for line in lines}) == len(lines) == RECORDS
        for line in lines:
            assert set(line) >= SAMPLE_FIELDS, task
            assert all(set(passage) == {"id", "score"} for passage in line["retrieved"])
            assert len(line["key"]) == 64  # SHA-256 as hexadecimal digits


def test_samples_have_prompt_passages_and_prediction(output: tuple[dict[str, Any], Samples]) -> None:
    _, samples = output
    contexts = {record.id: record.context for record in load_records(DataConfig(limit=RECORDS))}
    for task in QA_TASKS:
        for line in samples[task]:
            assert line["question"] in line["prompt"]
            passages = [passage["id"] for passage in line["retrieved"]]
            assert all(contexts[id] in line["prompt"] for id in passages)
            assert len(passages) == (0 if task == "qa_none" else 1)
            assert (line["id"] in passages) is (task.startswith("qa_gold") or passages == [line["id"]])
            if task == GENERATED_TASK:
                assert isinstance(line["output"], str)
                assert line["label_scores"] == {}
            else:
                assert line["output"] is None
                assert sum(line["label_scores"].values()) == pytest.approx(1)
                assert line["prediction"] == max(line["label_scores"], key=line["label_scores"].__getitem__)
    assert all(contexts[line["id"]] not in line["prompt"] for line in samples["qa_none"] + samples["qa_wrong"])
    assert all(passage["score"] > 0 for line in samples["qa_retrieved_bm25"] for passage in line["retrieved"])


def test_figures_can_be_recomputed_from_the_samples(output: tuple[dict[str, Any], Samples]) -> None:
    results, samples = output
    for task in {"retrieval_bm25", *QA_TASKS} - {"qa_wrong"}:
        correct = [line["prediction"] == line["target"] for line in samples[task]]
        metric = "accuracy@1" if task == "retrieval_bm25" else "accuracy"
        assert results["results"][task][metric] == pytest.approx(sum(correct) / RECORDS)
    unparsed = [line["prediction"] is None for line in samples[GENERATED_TASK]]
    assert results["results"][GENERATED_TASK]["unparsed"] == sum(unparsed)
    maybe = [line["prediction"] == "maybe" for line in samples["qa_wrong"]]
    assert results["results"]["qa_wrong"]["share_maybe"] == pytest.approx(sum(maybe) / RECORDS)
