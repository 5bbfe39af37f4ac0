import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from common.errors import DataError, UserError
from corpus.config import PairColumns, PairFiles, PairsConfig
from corpus.inference.pair_sets import PAIR_SETS, PairSplit
from corpus.inference.pairs import NLIPair, load_pairs, pair_file
from finetune.pairs import answer_pairs, load_train_and_dev

DATA_SETS = Path(os.environ.get("MEDGROUND_PAIRS", Path(__file__).parents[3] / "shared" / "data"))
SPLITS: tuple[PairSplit, ...] = ("train", "dev", "test")
SICK_HEADER = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment\r\n"
RQE = "<RQE>\n<pair pid='1' value='true'><chq>\n {} </chq><faq>Is gout treatable?</faq></pair>\n{}</RQE>"


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def as_jsonl(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def write_trial(folder: Path, name: str, **sections: list[str]) -> None:
    write_text(folder / "CT json" / f"{name}.json", json.dumps({"Clinical Trial ID": name, **sections}))


def pairs_config(name: str, folder: Path, **others: Any) -> PairsConfig:
    return PairsConfig(path=name, folder=str(folder), **others)


def first_pairs(name: str, folder: Path) -> list[NLIPair]:
    """The first pair of each split."""
    return [load_pairs(pairs_config(name, folder), split).pairs[0] for split in SPLITS]


@pytest.mark.parametrize("name", ["mednli", "snli"])
def test_snli_format_is_read(tmp_path: Path, name: str) -> None:
    row = {"sentence1": "He ran.", "sentence2": "He moved.", "gold_label": "entailment", "captionID": "x"}
    for split in SPLITS:
        write_text(
            tmp_path / PAIR_SETS[name].files[split][0], as_jsonl([{**row, "pairID": split}, {**row, "gold_label": "-"}])
        )
    assert first_pairs(name, tmp_path) == [NLIPair(split, "He ran.", "He moved.", "entailment") for split in SPLITS]
    assert load_pairs(pairs_config(name, tmp_path)).unlabelled == 1


def test_sick_files_are_read(tmp_path: Path) -> None:
    for split, file in zip(SPLITS, ("SICK_train.txt", "SICK_trial.txt", "SICK_test_annotated.txt"), strict=True):
        write_text(tmp_path / file, f'{SICK_HEADER}7{split}\tA man says "no\tA man speaks\t4.5\tENTAILMENT\r\n')
    found = first_pairs("sick", tmp_path)
    assert found == [NLIPair(f"7{split}", 'A man says "no', "A man speaks", "entailment") for split in SPLITS]
    assert load_pairs(pairs_config("sick", tmp_path)).labels == ("entailment", "neutral", "contradiction")


def test_sick_in_one_file_is_split_by_column(tmp_path: Path) -> None:
    header = "pair_ID\tsentence_A\tsentence_B\tentailment_label\trelatedness_score\tSemEval_set\n"
    rows = "".join(f"{n}\tA\tB\tNEUTRAL\t3\t{name}\n" for n, name in enumerate(("TEST", "TRAIN", "TRIAL")))
    write_text(tmp_path / "SICK.txt", header + rows)
    assert [pair.id for pair in first_pairs("sick", tmp_path)] == ["1", "2", "0"]
    train, dev = load_train_and_dev(pairs_config("sick", tmp_path))
    assert train.pairs != dev.pairs
    write_text(tmp_path / "SICK.txt", f"{header}1\tA\tB\tNEUTRAL\t3\tHELD\n")
    with pytest.raises(DataError, match=r"SICK\.txt, record line 2, field SemEval_set: 'HELD' is not a split \(TRAIN"):
        load_pairs(pairs_config("sick", tmp_path))


def test_healthver_is_read(tmp_path: Path) -> None:
    for split in SPLITS:
        text = (
            f'id,evidence,claim,label,topic_ip,question\n{split},"Masks help, some say.",Masks help,Refutes,1,masks?\n'
        )
        write_text(tmp_path / f"healthver_{split}.csv", text)
    found = first_pairs("healthver", tmp_path)
    assert found == [NLIPair(split, "Masks help, some say.", "Masks help", "contradiction") for split in SPLITS]
    with pytest.raises(UserError, match=r"with the same pairs for train and dev.*pairs\.split_by"):
        load_train_and_dev(pairs_config("healthver", tmp_path, files=PairFiles(train="healthver_dev.csv")))


def test_nli4ct_premise_is_the_section_of_one_or_two_trials(tmp_path: Path) -> None:
    write_trial(tmp_path, "NCT1", Results=["Outcome 1:", "  Median 12"], Eligibility=["Adults"])
    write_trial(tmp_path, "NCT2", Results=["Median 9"])
    single = {"Type": "Single", "Section_id": "Eligibility", "Primary_id": "NCT1", "Statement": "Children take part"}
    both = {**single, "Section_id": "Results", "Secondary_id": "NCT2", "Type": "Comparison", "Statement": "NCT1 longer"}
    statements = {"u1": {**single, "Label": "Contradiction"}, "u2": {**both, "Label": "Entailment"}, "u3": single}
    for file in ("train.json", "dev.json", "Gold_test.json"):
        write_text(tmp_path / file, json.dumps(statements))
    data = load_pairs(pairs_config("nli4ct", tmp_path))
    assert data.labels == ("entailment", "contradiction")
    assert data.unlabelled == 1
    assert data.pairs == (
        NLIPair("u1", "Primary trial, Eligibility:\nAdults", "Children take part", "contradiction"),
        NLIPair(
            "u2",
            "Primary trial, Results:\nOutcome 1:\nMedian 12\n\nSecondary trial, Results:\nMedian 9",
            "NCT1 longer",
            "entailment",
        ),
    )


INVALID_STATEMENTS = {
    "missing trial file": ({"Primary_id": "NCT9"}, r"CT json/NCT9\.json: there is no such file"),
    "path as trial id": ({"Primary_id": "../secret"}, r"CT json/secret\.json: there is no such file"),
    "missing section": ({"Primary_id": "NCT1"}, r"NCT1\.json, record asked for by u1, field Results: is missing"),
    "missing statement": (
        {"Primary_id": "NCT1", "Section_id": "Eligibility"},
        r"dev\.json, record u1, field Statement: is missing",
    ),
    "missing trial id": ({}, r"dev\.json, record u1, field Primary_id: is missing"),
}


@pytest.mark.parametrize("name", INVALID_STATEMENTS)
def test_error_in_nli4ct_names_file_record_and_field(tmp_path: Path, name: str) -> None:
    statement, message = INVALID_STATEMENTS[name]
    write_trial(tmp_path, "NCT1", Eligibility=["Adults"])
    write_text(tmp_path / "dev.json", json.dumps({"u1": {"Section_id": "Results", "Label": "Entailment", **statement}}))
    with pytest.raises(DataError, match=message):
        load_pairs(pairs_config("nli4ct", tmp_path), "dev")


def write_scifact(folder: Path, claims: Sequence[Mapping[str, Any]], split: str = "dev") -> PairsConfig:
    rows = [{"doc_id": n, "title": f"Title {n}", "abstract": ["First.", f"Found {n}."]} for n in (4, 5)]
    write_text(folder / "corpus.jsonl", as_jsonl(rows))
    write_text(folder / f"claims_{split}.jsonl", as_jsonl(claims))
    return pairs_config("scifact", folder)


def test_scifact_pairs_a_claim_with_each_cited_abstract(tmp_path: Path) -> None:
    evidence = {"4": [{"sentences": [0], "label": "SUPPORT"}, {"sentences": [1], "label": "SUPPORT"}]}
    claims = [
        {"id": 1.0, "claim": "A rises", "evidence": evidence, "cited_doc_ids": [4.0, 5.0]},  # float ids, as from pandas
        {"id": None, "claim": "A falls", "evidence": {"5": [{"sentences": [0], "label": "CONTRADICT"}]}},
    ]
    found = load_pairs(write_scifact(tmp_path, claims), "dev")
    assert [(pair.id, pair.hypothesis, pair.label) for pair in found.pairs] == [
        ("1-4", "A rises", "entailment"),
        ("1-5", "A rises", "neutral"),
        ("2-5", "A falls", "contradiction"),
    ]
    assert found.pairs[0].premise == "Title 4\nFirst. Found 4."


def test_scifact_label_can_be_excluded_by_settings(tmp_path: Path) -> None:
    claim = {"id": 1, "claim": "A rises", "cited_doc_ids": [4, 5]}
    evidence = {"4": [{"sentences": [0], "label": "SUPPORT"}]}
    two_labels = {"SUPPORT": "entailment", "CONTRADICT": "contradiction"}
    write_scifact(tmp_path, [{**claim, "evidence": evidence}])
    found = load_pairs(pairs_config("scifact", tmp_path, labels=two_labels, unlabelled=("NOT_ENOUGH_INFO",)), "dev")
    assert (len(found.pairs), found.labels, found.unlabelled) == (1, ("entailment", "contradiction"), 1)


def test_scifact_error_names_file_record_and_problem(tmp_path: Path) -> None:
    claim = {"id": 1, "claim": "A rises", "cited_doc_ids": [4]}
    with pytest.raises(UserError, match=r"all 1 rows are without a label.*not published: use --split dev"):
        load_pairs(write_scifact(tmp_path, [claim], "test"), "test")
    with pytest.raises(DataError, match=r"claims_dev\.jsonl, record line 1: cites the abstract 9, which is not in"):
        load_pairs(write_scifact(tmp_path, [{**claim, "evidence": {}, "cited_doc_ids": [9]}]), "dev")
    contradictory = [{"label": "SUPPORT"}, {"label": "CONTRADICT"}]
    with pytest.raises(DataError, match="field evidence: has rationales of one abstract with different labels"):
        load_pairs(write_scifact(tmp_path, [{**claim, "evidence": {"4": contradictory}}]), "dev")
    with pytest.raises(DataError, match="record line 1, field claim: is missing"):
        load_pairs(write_scifact(tmp_path, [{"id": 1, "cited_doc_ids": [4], "evidence": {}}]), "dev")
    (tmp_path / "corpus.jsonl").unlink()
    with pytest.raises(DataError, match=r"corpus\.jsonl: there is no such file"):
        load_pairs(pairs_config("scifact", tmp_path), "dev")


def test_mediqa_rqe_skips_pairs_with_empty_question(tmp_path: Path) -> None:
    empty = "<pair pid='2' value='false'><chq>x</chq><faq></faq></pair>"
    for split in SPLITS:
        write_text(tmp_path / PAIR_SETS["mediqa-rqe"].files[split][0], RQE.format("Gout &lt; help", empty))
    data = load_pairs(pairs_config("mediqa-rqe", tmp_path))
    assert data.pairs == (NLIPair("1", "Gout < help", "Is gout treatable?", "true"),)
    assert (data.labels, data.unlabelled) == (("true", "false"), 1)


def test_mediqa_rqe_error_names_file_record_and_field(tmp_path: Path) -> None:
    file = tmp_path / PAIR_SETS["mediqa-rqe"].files["test"][0]
    write_text(file, RQE.format("x", "<pair pid='2' value='unsure'><chq>x</chq><faq>y</faq></pair>"))
    with pytest.raises(DataError, match=r"wLabels\.xml, record pair 2, field value: 'unsure' is not a label"):
        load_pairs(pairs_config("mediqa-rqe", tmp_path))
    write_text(file, RQE.format("x", "<pair pid='2' value='true'><chq>x</chq></pair>"))
    with pytest.raises(DataError, match=r"record pair 2, field faq: is missing"):
        load_pairs(pairs_config("mediqa-rqe", tmp_path))
    write_text(file, "<RQE><pair>")
    with pytest.raises(DataError, match=r"wLabels\.xml: is not XML"):
        load_pairs(pairs_config("mediqa-rqe", tmp_path))


@pytest.mark.parametrize("name", [name for name in PAIR_SETS if name != "snli"])  # SNLI is loaded from the hub
def test_error_about_missing_files_has_source_and_licence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        DataError, match=r"does not exist.*https://\S+.*licence|does not exist.*https://.*under CC"
    ) as error:
        load_pairs(PairsConfig(path=name))
    assert "login" in str(error.value)
    assert "Download it and set pairs.folder" in str(error.value)


def test_files_are_found_in_subfolder_and_by_setting(tmp_path: Path) -> None:
    write_text(tmp_path / "data" / "SICK_trial.txt", f"{SICK_HEADER}1\tA\tB\t3\tNEUTRAL\n")
    assert pair_file(pairs_config("sick", tmp_path), "dev") == tmp_path / "data" / "SICK_trial.txt"
    write_text(tmp_path / "renamed.txt", f"{SICK_HEADER}2\tA\tB\t3\tNEUTRAL\n")
    renamed = pairs_config("sick", tmp_path, files=PairFiles(test="renamed.txt"))
    assert [pair.id for pair in load_pairs(renamed).pairs] == ["2"]


def test_settings_override_columns_and_labels_of_the_pair_set(tmp_path: Path) -> None:
    write_text(tmp_path / "SICK_trial.txt", "pair_ID\tleft\tsentence_B\tentailment_judgment\n1\tA\tB\tNEUTRAL\n")
    labels = {"NEUTRAL": "open", "ENTAILMENT": "follows"}
    found = load_pairs(pairs_config("sick", tmp_path, columns=PairColumns(premise="left"), labels=labels), "dev")
    assert found.pairs == (NLIPair("1", "A", "B", "open"),)
    assert found.labels == ("open", "follows")


def load_divided(path: Path, **others: Any) -> dict[PairSplit, tuple[NLIPair, ...]]:
    return {split: load_pairs(PairsConfig(path=str(path), split_by="topic", **others), split).pairs for split in SPLITS}


def topic_rows(topics: int, pairs: int) -> list[dict[str, str]]:
    """``pairs`` rows for each topic; the labels alternate."""
    labels = ("entailment", "neutral", "contradiction")
    return [
        {"sentence1": f"p{n}", "sentence2": f"h{topic}", "gold_label": labels[n % 3], "topic": f"topic  {topic}"}
        for topic in range(topics)
        for n in range(pairs)
    ]


def test_split_by_divides_topics_with_balanced_labels(tmp_path: Path) -> None:
    rows = topic_rows(20, 6)
    rows[0]["topic"] = " TOPIC 0"  # the same topic as "topic  0": case and white space do not count
    write_text(tmp_path / "all.jsonl", as_jsonl(rows))
    splits = load_divided(tmp_path / "all.jsonl")
    assert {name: len(pairs) for name, pairs in splits.items()} == {"train": 84, "dev": 12, "test": 24}
    topics_of = {name: {pair.hypothesis for pair in pairs} for name, pairs in splits.items()}
    assert sum(map(len, topics_of.values())) == 20  # each topic is in one split
    for pairs in splits.values():
        assert len({sum(pair.label == label for pair in pairs) for label in PairsConfig().labels}) == 1
    write_text(tmp_path / "shuffled.jsonl", as_jsonl(rows[::-1]))
    again = load_divided(tmp_path / "shuffled.jsonl")
    assert {name: {pair.hypothesis for pair in pairs} for name, pairs in again.items()} == topics_of
    load_train_and_dev(PairsConfig(path=str(tmp_path / "all.jsonl"), split_by="topic"))  # raises no error


def test_file_that_cannot_be_divided_is_an_error(tmp_path: Path) -> None:
    write_text(tmp_path / "all.jsonl", as_jsonl(topic_rows(1, 3)))
    with pytest.raises(UserError, match=r"all\.jsonl \(dev\): there is no pair in the dev split"):
        load_pairs(PairsConfig(path=str(tmp_path / "all.jsonl"), split_by="topic"), "dev")
    with pytest.raises(DataError, match=r"all\.jsonl, record line 1, field theme: is missing.*in pairs\.split_by"):
        load_pairs(PairsConfig(path=str(tmp_path / "all.jsonl"), split_by="theme"))
    for file in ("SICK_train.txt", "SICK_trial.txt"):
        write_text(tmp_path / file, f"{SICK_HEADER}1\tA\tB\t3\tNEUTRAL\n")
    with pytest.raises(UserError, match=r"split_by divides one file, and .* has SICK_train\.txt, SICK_trial\.txt"):
        load_pairs(pairs_config("sick", tmp_path, split_by="sentence_A"))
    with pytest.raises(DataError, match=r"healthver_train\.csv: there is no such file in the folder"):
        load_pairs(pairs_config("healthver", tmp_path, split_by="question"))


def test_answer_pairs_use_the_labels_of_a_public_set() -> None:
    from corpus.records import QARecord

    record = QARecord(id="1", question="Does it help?", contexts=("It does.",), label="yes")
    pairs = answer_pairs([record], PairsConfig(path="sick").labels, setting="train.qlora.answer_pairs", seed=1)
    assert [pair.label for pair in pairs] == ["entailment", "contradiction"]


@pytest.mark.skipif(not (DATA_SETS / "sick").is_dir(), reason="SICK is not beside the repository (MEDGROUND_PAIRS)")
def test_sick_has_the_published_counts() -> None:
    counts = [len(load_pairs(pairs_config("sick", DATA_SETS / "sick"), split).pairs) for split in SPLITS]
    assert counts == [4_500, 500, 4_927]


@pytest.mark.skipif(not (DATA_SETS / "healthver").is_dir(), reason="HealthVer is not beside the repository")
def test_healthver_divided_by_question_has_known_counts() -> None:
    loaded = [
        load_pairs(pairs_config("healthver", DATA_SETS / "healthver", split_by="question"), split) for split in SPLITS
    ]
    assert [len(data.pairs) for data in loaded] == [1_340, 195, 382]
    assert len({pair.id for data in loaded for pair in data.pairs}) == 1_917
