"""Checked claims, measured with a scripted judge and by the command line."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from word_retriever import WordRetriever

from chains.config import CheckConfig
from chains.models.base import TooLongError
from chains.nli import Judgement, NLIModel, Pair
from chains.verification.statements import Checker, make_checker
from common.errors import UserError
from corpus.config import ClaimsConfig
from corpus.inference.claims import ClaimData, load_claims
from eval.compare import choose_pairs, compare
from eval.results import write_results
from eval.runs import read_run
from eval.tasks import CheckTask

CORPUS = [
    {"doc_id": "z", "title": "Zinc", "abstract": ["Zinc was given.", "Zinc works here.", "All went home."]},
    {"doc_id": "i", "title": "Iron", "abstract": ["Iron was given.", "Iron fails here.", "Iron fails there too."]},
    {"doc_id": "c", "title": "Copper", "abstract": ["Copper was given."]},
]
CLAIMS = [
    {"id": 1, "claim": "Zinc helps.", "evidence": {"z": [{"sentences": [1], "label": "SUPPORT"}]}},
    {"id": 2, "claim": "Iron helps.", "evidence": {"i": [{"sentences": [1, 2], "label": "CONTRADICT"}]}},
    {"id": 3, "claim": "Copper helps.", "evidence": {}, "cited_doc_ids": ["c"]},
    {"id": 4, "claim": "Iron cures.", "evidence": {"i": [{"sentences": [1], "label": "SUPPORT"}]}},
]


class Judge(NLIModel):
    """A premise entails if it has "works" and contradicts if it has "fails"; a hypothesis "too long" is an error."""

    labels = ("entailment", "neutral", "contradiction")

    def judge(self, pairs: Sequence[Pair]) -> list[Judgement | UserError]:
        return [self._one(*pair) for pair in pairs]

    def _one(self, premise: str, hypothesis: str) -> Judgement | UserError:
        if "too long" in hypothesis:
            return TooLongError("The pair is too long.")
        label = "entailment" if "works" in premise else "contradiction" if "fails" in premise else "neutral"
        return Judgement(label=label, label_scores={name: 0.8 if name == label else 0.1 for name in self.labels})


def write_and_load_claims(
    folder: Path, claims: Sequence[dict[str, Any]] = CLAIMS, corpus: Sequence[dict[str, Any]] = CORPUS
) -> ClaimData:
    for name, lines in (("corpus.jsonl", corpus), ("claims.jsonl", claims)):
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return load_claims(ClaimsConfig(path=str(folder / "claims.jsonl")))


def make_claim_checker(data: ClaimData) -> Checker:
    texts = {str(document.id): document.page_content for document in data.documents}
    return make_checker(WordRetriever(texts=texts, top_k=3), Judge(), CheckConfig(passages=1))


@pytest.mark.parametrize("task", [CheckTask(), CheckTask(context="retrieved", retriever="words")])
def test_verdicts_and_evidence_are_measured(tmp_path: Path, task: CheckTask) -> None:
    data = write_and_load_claims(tmp_path)
    result = task.evaluate(make_claim_checker(data), data, identity={}, quiet=True)
    assert result.metrics["accuracy"] == 0.75
    assert result.metrics["recall_contradicted"] == 1
    assert result.metrics["precision_contradicted"] == 0.5
    predictions = [sample["prediction"] for sample in result.samples]
    assert predictions == ["supported", "contradicted", "not enough evidence", "contradicted"]
    # There are 4 gold sentences. Of the 5 quoted sentences, 3 belong to gold rationales and have the right label.
    assert [sample["evidence"] for sample in result.samples] == [
        {"correct": 1, "predicted": 1, "gold": 1},
        {"correct": 2, "predicted": 2, "gold": 2},
        {"correct": 0, "predicted": 0, "gold": 0},
        {"correct": 0, "predicted": 2, "gold": 1},
    ]
    assert result.metrics["evidence_f1"] == pytest.approx(2 * 3 / (5 + 4))
    assert ("evidence_found" in result.metrics) == (task.context == "retrieved")
    assert result.metrics.get("evidence_found", 1) == 1
    assert result.estimates["accuracy"].stderr is not None


def test_empty_sentence_of_an_abstract_is_not_quoted(tmp_path: Path) -> None:
    claim = {"id": 1, "claim": "Iron helps.", "evidence": {"i": [{"sentences": [0, 2], "label": "CONTRADICT"}]}}
    data = write_and_load_claims(tmp_path, [claim], [{"doc_id": "i", "abstract": ["Iron", "", "fails here."]}])
    [sample] = CheckTask().evaluate(make_claim_checker(data), data, identity={}, quiet=True).samples
    assert sample["evidence"] == {"correct": 2, "predicted": 2, "gold": 2}


def test_given_evidence_is_checked_by_document_and_retrieved_evidence_by_claim(tmp_path: Path) -> None:
    with_both_labels = {
        "id": 1,
        "claim": "Zinc and iron help.",
        "evidence": {"z": [{"sentences": [1], "label": "SUPPORT"}], "i": [{"sentences": [1], "label": "CONTRADICT"}]},
        "cited_doc_ids": ["c"],
    }
    data = write_and_load_claims(tmp_path, [with_both_labels, CLAIMS[0] | {"id": 5}])
    given = CheckTask().evaluate(make_claim_checker(data), data, identity={}, quiet=True)
    assert [(sample["id"], sample["target"]) for sample in given.samples] == [
        ("1:z", "supported"),
        ("1:i", "contradicted"),
        ("1:c", "not enough evidence"),
        ("5:z", "supported"),
    ]
    assert given.metrics["accuracy"] == 1
    task = CheckTask(context="retrieved", retriever="words")
    retrieved = task.evaluate(make_claim_checker(data), data, identity={}, quiet=True)
    # Claim 1 is left out, since it has as many supports as contradictions.
    assert [sample["id"] for sample in retrieved.samples] == ["5"]
    assert data.mixed == 1


def test_a_claim_too_long_for_the_model_is_left_out(tmp_path: Path) -> None:
    data = write_and_load_claims(tmp_path, [*CLAIMS, CLAIMS[0] | {"id": 9, "claim": "Zinc is too long."}])
    result = CheckTask().evaluate(make_claim_checker(data), data, identity={}, quiet=True)
    assert (len(result.samples), result.left_out) == (4, ("9:z",))


def test_runs_are_compared_by_claim(tmp_path: Path) -> None:
    data = write_and_load_claims(tmp_path)
    for name, threshold in (("a", 0.5), ("b", 0.9)):
        texts = {str(document.id): document.page_content for document in data.documents}
        checks = make_checker(WordRetriever(texts=texts), Judge(), CheckConfig(threshold=threshold))
        write_results(tmp_path / name, [CheckTask().evaluate(checks, data, identity={}, quiet=True)], {})
    (comparison,) = compare(choose_pairs([str(tmp_path / "a"), str(tmp_path / "b")]).pairs)
    differences = {name: metric.difference.value for name, metric in comparison.figures.items()}
    assert differences["accuracy"] == pytest.approx(0.25 - 0.75)
    assert "macro_f1" in differences
    assert read_run(tmp_path / "a").tasks["check_given"] == CheckTask()


def test_samples_agree_only_with_the_documents_that_were_checked(tmp_path: Path) -> None:
    data = write_and_load_claims(tmp_path)
    samples = CheckTask().evaluate(make_claim_checker(data), data, identity={}, quiet=True).samples
    texts = {str(document.id): document.page_content for document in data.documents}
    assert CheckTask().agrees_with(samples, texts, {})
    assert not CheckTask().agrees_with(samples, texts | {"i": "Iron was changed."}, {})


def test_only_the_context_retrieved_takes_a_retriever() -> None:
    for fields in ({"context": "retrieved"}, {"retriever": "dense"}):
        with pytest.raises(ValueError, match="name of a retriever"):
            CheckTask(**fields)  # type: ignore[arg-type]


def test_command_measures_both_contexts_and_reuses_cached_verdicts(command: Callable[..., Any], tmp_path: Path) -> None:
    write_and_load_claims(tmp_path)
    arguments = ("eval", "check", "--data", "claims.jsonl", "--set", "retriever=bm25", "--output", "run", "--quiet")
    first = command(*arguments)
    assert first.status == 0, first.err
    assert "Checked claims" in first.out
    assert "Evidence" in first.out
    assert "medground-tiny gave the verdicts" in first.err
    second = json.loads(command(*arguments, "--json").out)
    assert set(second["results"]) == {"check_given", "check_retrieved_bm25"}
    assert (second["computed"], second["reused"]) == (0, 8)  # 4 claims in 2 contexts
    assert second["config"]["claims"]["path"] == "claims.jsonl"
    assert command("report", "run", "--output", "page").status == 0
    page = next(Path("page").glob("*.html")).read_text(encoding="utf-8")
    assert "Checked claims" in page


def test_error_of_a_missing_corpus_names_the_file(command: Callable[..., Any], tmp_path: Path) -> None:
    write_and_load_claims(tmp_path)
    outcome = command("eval", "check", "--data", "claims.jsonl", "--corpus", "none.jsonl", "--output", "run")
    assert outcome.status == 1
    assert "none.jsonl: there is no such file" in outcome.err
