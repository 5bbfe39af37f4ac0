import json
import re
from pathlib import Path
from typing import Any

import pytest

from common.errors import DataError, UserError
from corpus.pubmedqa import read_hub, read_records, read_split
from corpus.records import documents

RECORD: dict[str, Any] = {
    "QUESTION": "Does drug A lower pressure?",
    "CONTEXTS": ["We gave drug A.", "Pressure fell."],
    "LABELS": ["METHODS", "RESULTS"],
    "final_decision": "yes",
    "LONG_ANSWER": "It does.",
    "MESHES": ["Humans"],
}

# By test id: changes of RECORD, the field that the error names, and a part of the error's message. A field whose value
# is changed to ``...`` is removed.
INVALID_FIELDS: dict[str, tuple[dict[str, Any], str, str]] = {
    "question missing": ({"QUESTION": ...}, "QUESTION", "is missing"),
    "question empty": ({"QUESTION": " "}, "QUESTION", "is empty"),
    "question null": ({"QUESTION": None}, "QUESTION", "not null"),
    "question a list": ({"QUESTION": ["x"]}, "QUESTION", "not a list"),
    "question with lone surrogate": ({"QUESTION": "a\ud800"}, "QUESTION", "\\ud800"),
    "contexts missing": ({"CONTEXTS": ...}, "CONTEXTS", "is missing"),
    "contexts empty": ({"CONTEXTS": []}, "CONTEXTS", "is empty"),
    "contexts a text": ({"CONTEXTS": "We gave drug A."}, "CONTEXTS", "not a text"),
    "contexts an object": ({"CONTEXTS": {"a": "b"}}, "CONTEXTS", "not an object"),
    "one context empty": ({"CONTEXTS": ["a", ""]}, "CONTEXTS[1]", "is empty"),
    "one context a number": ({"CONTEXTS": [3]}, "CONTEXTS[0]", "not a number"),
    "one context with lone surrogate": ({"CONTEXTS": ["\udfff"]}, "CONTEXTS", "\\udfff"),
    "headings a text": ({"LABELS": "METHODS"}, "LABELS", "not a text"),
    "headings with null": ({"LABELS": [None, "RESULTS"]}, "LABELS[0]", "not null"),
    "label missing": ({"final_decision": ...}, "final_decision", "is missing"),
    "label unknown": ({"final_decision": "perhaps"}, "final_decision", '"perhaps"'),
    "label capital": ({"final_decision": "Yes"}, "final_decision", '"Yes"'),
    "label null": ({"final_decision": None}, "final_decision", "not null"),
    "label true": ({"final_decision": True}, "final_decision", "true or false"),
    "label a list": ({"final_decision": ["yes"]}, "final_decision", "a list"),
    "long answer a number": ({"LONG_ANSWER": 1.5}, "LONG_ANSWER", "not a number"),
    "year a word": ({"YEAR": "unknown"}, "YEAR", 'four digits or null, not "unknown"'),
    "year of five digits": ({"YEAR": 20111}, "YEAR", 'not "20111"'),
    "year true": ({"YEAR": True}, "YEAR", "four digits"),
    "year with a fraction": ({"YEAR": 2011.5}, "YEAR", 'not "2011.5"'),
    "year a list": ({"YEAR": ["2011"]}, "YEAR", "not a list"),
    "MeSH headings a text": ({"MESHES": "Humans"}, "MESHES", "not a text"),
    "one MeSH heading a number": ({"MESHES": ["Humans", 1]}, "MESHES[1]", "not a number"),
    "year NaN": ({"YEAR": float("nan")}, "YEAR", "nan"),
    "infinity in an ignored field": ({"EXTRA": {"a": [1, float("-inf")]}}, "EXTRA", "-inf"),
}


def write_records(tmp_path: Path, records: Any) -> Path:
    path = tmp_path / "ori_pqal.json"
    path.write_text(json.dumps(records), encoding="utf-8")
    return path


@pytest.mark.parametrize(("change", "field", "problem"), INVALID_FIELDS.values(), ids=INVALID_FIELDS)
def test_error_names_record_and_field(tmp_path: Path, change: dict[str, Any], field: str, problem: str) -> None:
    record = {key: value for key, value in {**RECORD, **change}.items() if value is not ...}
    path = write_records(tmp_path, {"1": RECORD, "2": record})
    with pytest.raises(DataError) as caught:
        read_records(path)
    message = str(caught.value)
    assert message.startswith(f"{path}, record 2, field {field}: ")
    assert problem in message


@pytest.mark.parametrize("value", [None, 1, "x", ["x"], True])
def test_record_must_be_an_object(tmp_path: Path, value: object) -> None:
    with pytest.raises(DataError, match="record 2: must be an object"):
        read_records(write_records(tmp_path, {"1": RECORD, "2": value}))


@pytest.mark.parametrize("key", ["", "  ", "a\nb", "\x1b[0m"])
def test_id_must_be_printable(tmp_path: Path, key: str) -> None:
    with pytest.raises(DataError, match="an id must be printable"):
        read_records(write_records(tmp_path, {key: RECORD}))


def test_duplicate_field_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "ori_pqal.json"
    path.write_text('{"5": {"QUESTION": "a?", "CONTEXTS": ["b"], "QUESTION": "c?", "final_decision": "no"}}')
    with pytest.raises(DataError, match="record 5, field QUESTION: occurs twice in the record"):
        read_records(path)


def test_records_are_read_in_the_files_order(tmp_path: Path) -> None:
    records = read_records(write_records(tmp_path, {"9": RECORD, "1": {**RECORD, "final_decision": "maybe"}}))
    assert [record.id for record in records] == ["9", "1"]
    assert records[0].context == "We gave drug A.\nPressure fell."
    assert records[0].sections == ("METHODS", "RESULTS")
    assert [record.label for record in records] == ["yes", "maybe"]


def test_year_and_mesh_are_metadata_of_the_document(tmp_path: Path) -> None:
    records = {
        "1": {**RECORD, "YEAR": "2011", "MESHES": ["Humans", "Stroke"]},
        "2": {**RECORD, "YEAR": 1997, "MESHES": []},
        "3": {**RECORD, "YEAR": None, "MESHES": None},
        "4": {**RECORD, "YEAR": "", "MESHES": []},
    }
    found = [document.metadata for document in documents(read_records(write_records(tmp_path, records)))]
    assert found == [
        {"id": "1", "year": 2011, "mesh": ["Humans", "Stroke"]},
        {"id": "2", "year": 1997},
        {"id": "3"},
        {"id": "4"},
    ]


def test_records_without_labels_have_label_none(tmp_path: Path) -> None:
    unlabelled = {"QUESTION": "a?", "CONTEXTS": ["b"]}
    records = read_records(write_records(tmp_path, {"1": unlabelled, "2": unlabelled}))
    assert [record.label for record in records] == [None, None]


def test_file_without_records_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no record"):
        read_records(write_records(tmp_path, {}))
    with pytest.raises(DataError, match="has no record"):
        read_split(write_records(tmp_path, {}))


@pytest.mark.parametrize("value", [None, "perhaps", 1, ["yes"]])
def test_answer_of_split_file_must_be_yes_no_or_maybe(tmp_path: Path, value: object) -> None:
    with pytest.raises(DataError, match="record 2: must be yes, no or maybe"):
        read_split(write_records(tmp_path, {"1": "no", "2": value}))


def hub_folder(tmp_path: Path, rows: list[dict[str, Any]]) -> str:
    """A local folder laid out as the data set's repository on the hub."""
    from datasets import Dataset

    Dataset.from_list(rows).to_parquet(str(tmp_path / "pqa_labeled" / "train-00000-of-00001.parquet"))
    files = "[{split: train, path: pqa_labeled/train-*}]"
    (tmp_path / "README.md").write_text(f"---\nconfigs:\n- config_name: pqa_labeled\n  data_files: {files}\n---\n")
    return str(tmp_path)


def hub_row(number: int, **change: Any) -> dict[str, Any]:
    context = {"contexts": RECORD["CONTEXTS"], "labels": RECORD["LABELS"], "meshes": RECORD["MESHES"]}
    row = {"pubid": number, "question": RECORD["QUESTION"], "context": context, "long_answer": "It does."}
    return {**row, "final_decision": "yes", **change}


@pytest.fixture
def datasets_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.usefixtures("datasets_cache")
def test_hub_rows_give_the_same_records_as_a_file(tmp_path: Path) -> None:
    source = hub_folder(tmp_path, [hub_row(11), hub_row(12, final_decision="maybe")])
    local = read_records(write_records(tmp_path, {"11": RECORD, "12": {**RECORD, "final_decision": "maybe"}}))
    assert read_hub("pqa_labeled", revision="any", source=source) == local


@pytest.mark.usefixtures("datasets_cache")
@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (hub_row(11), "record 11: occurs twice"),
        (
            hub_row(12, final_decision="perhaps"),
            'record 12, field final_decision: must be yes, no or maybe, not "perhaps"',
        ),
        (hub_row(12, question=""), "record 12, field QUESTION: is empty"),
        (hub_row(12, pubid=None), "record row 1, field pubid"),  # the row's index, from 0
    ],
)
def test_error_in_a_hub_row_names_the_record(tmp_path: Path, row: dict[str, Any], problem: str) -> None:
    with pytest.raises(DataError, match=re.escape(problem)):
        read_hub("pqa_labeled", revision="any", source=hub_folder(tmp_path, [hub_row(11), row]))


@pytest.mark.usefixtures("datasets_cache")
@pytest.mark.parametrize("context", ["Zinc helps.", ["Zinc helps."], None])
def test_hub_rows_with_another_context_are_an_error(tmp_path: Path, context: object) -> None:
    source = hub_folder(tmp_path, [hub_row(11, context=context)])
    with pytest.raises(DataError, match="record 11, field CONTEXTS: must be a list of texts, not null"):
        read_hub("pqa_labeled", revision="any", source=source)


@pytest.mark.usefixtures("datasets_cache")
def test_missing_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Data set"):
        read_hub("pqa_labeled", revision="any", source=str(tmp_path / "none"))
