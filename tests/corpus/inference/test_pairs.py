import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from pydantic import ValidationError

from common.errors import DataError, UserError
from corpus.config import PairColumns, PairFiles, PairsConfig
from corpus.inference.pairs import NLIPair, PairData, load_pairs, pair_file, repeated_premises, snli_rows

# Premise, hypothesis and label of the pairs that every file format must give.
PAIRS = [
    ("She denies fever.", "The patient has no fever.", "entailment"),
    ('He said "no, thanks",\r\nand left.', "He has a cough.", "neutral"),
    ("Potassium was 3.1\tmmol/l; ünruhig.", "The potassium is high.", "contradiction"),
    ("Old\u2028separators\x85 \x1cstay.", "Nothing is cut.", "neutral"),
]
# Columns and labels that differ from the defaults.
SPLITS = ("train", "dev", "test")
COLUMNS = PairColumns(premise="note", hypothesis="claim", label="verdict", id=None)
LABELS = {"follows": "entailment", "open": "neutral", "0": "contradiction"}
LABEL_IN_FILE = {label: in_file for in_file, label in LABELS.items()}
HUB_LABEL = {"entailment": 0, "neutral": 1, "contradiction": 2}


def write_jsonl(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)
    return path


def renamed_rows() -> list[dict[str, object]]:
    """The pairs as rows with ``COLUMNS`` and ``LABELS``."""
    return [
        {"age": 70, "verdict": LABEL_IN_FILE[label], "claim": hypothesis, "note": premise}
        for premise, hypothesis, label in PAIRS
    ]


def load_mednli(folder: Path) -> PairData:
    rows = [
        {"gold_label": label, "pairID": f"m{number}", "sentence1": premise, "sentence2": hypothesis}
        for number, (premise, hypothesis, label) in enumerate(PAIRS)
    ]
    return load_pairs(PairsConfig(path=str(write_jsonl(folder / "mli_dev_v1.jsonl", rows))))


def load_snli_file(folder: Path) -> PairData:
    rows: list[dict[str, object]] = [
        {
            "annotator_labels": [label],
            "captionID": "c",
            "gold_label": label,
            "sentence1": f" {premise}",
            "sentence2": f"{hypothesis}\n",
        }
        for premise, hypothesis, label in PAIRS
    ]
    rows.insert(1, {**rows[0], "gold_label": "-"})
    return load_pairs(PairsConfig(path=str(write_jsonl(folder / "snli_1.0_dev.jsonl", rows))))


def load_snli_hub(folder: Path) -> PairData:
    rows = [
        {"premise": premise, "hypothesis": hypothesis, "label": HUB_LABEL[label]}
        for premise, hypothesis, label in PAIRS
    ]
    rows.insert(2, {**rows[0], "label": -1})

    def load_dataset(name: str, *, revision: str, split: str) -> list[dict[str, object]]:
        assert (name, revision, split) == ("stanfordnlp/snli", PairsConfig().revision, "validation")
        return rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.load_dataset", load_dataset)
        patch.setattr("common.hub._is_hub_reachable", lambda: True)
        return load_pairs(PairsConfig(path="snli"), "dev")


def load_renamed(suffix: str) -> Callable[[Path], PairData]:
    """A loader that writes and reads a file of ``renamed_rows``."""

    def load(folder: Path) -> PairData:
        write = write_jsonl if suffix == ".jsonl" else write_table
        path = write(folder / f"renamed{suffix}", renamed_rows())
        return load_pairs(PairsConfig(path=str(path), columns=COLUMNS, labels=LABELS))

    return load


# Loader, and expected number of rows without a label.
FORMATS = {
    "mednli": (load_mednli, 0),
    "snli": (load_snli_file, 1),
    "snli from the hub": (load_snli_hub, 1),
    "jsonl": (load_renamed(".jsonl"), 0),
    "csv": (load_renamed(".csv"), 0),
    "tsv": (load_renamed(".tsv"), 0),
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats_give_the_same_pairs(tmp_path: Path, name: str) -> None:
    load, unlabelled = FORMATS[name]
    data = load(tmp_path)
    assert [(pair.premise, pair.hypothesis, pair.label) for pair in data.pairs] == PAIRS
    assert set(data.labels) == {"entailment", "neutral", "contradiction"}
    assert data.unlabelled == unlabelled
    assert len({pair.id for pair in data.pairs}) == len(PAIRS)


def test_ids_are_those_of_the_file_or_line_numbers(tmp_path: Path) -> None:
    assert [pair.id for pair in load_mednli(tmp_path).pairs] == ["m0", "m1", "m2", "m3"]
    assert [pair.id for pair in load_snli_file(tmp_path).pairs] == ["1", "3", "4", "5"]
    assert [pair.id for pair in load_renamed(".csv")(tmp_path).pairs] == ["2", "3", "5", "6"]


def test_label_numbers_of_the_hub_become_words() -> None:
    rows = [{"label": number} for number in (0, 1, 2, -1, 3, None)]
    assert [row["label"] for _, row in snli_rows(rows)] == ["entailment", "neutral", "contradiction", -1, 3, None]
    assert [line for line, _ in snli_rows(rows)] == [1, 2, 3, 4, 5, 6]


def test_labels_setting_merges_labels(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "two.jsonl", [{"note": "a", "claim": "b", "verdict": v} for v in (1, 0, 2)])
    labels = {"0": "no", "1": "yes", "2": "no"}
    data = load_pairs(PairsConfig(path=str(path), columns=COLUMNS, labels=labels))
    assert data.labels == ("no", "yes")
    assert [pair.label for pair in data.pairs] == ["yes", "no", "no"]


def test_sample_has_balanced_disjoint_splits() -> None:
    train, dev, test = (load_pairs(PairsConfig(), split).pairs for split in ("train", "dev", "test"))
    assert len(test) >= 300
    for split in (train, dev, test):
        counts = [sum(pair.label == label for pair in split) for label in PairsConfig().labels]
        assert counts == [len(split) / 3] * 3
    assert repeated_premises(train, test) == repeated_premises(train, dev) == repeated_premises(dev, test) == []


def test_limit_keeps_the_first_pairs() -> None:
    assert load_pairs(PairsConfig(limit=2, split="dev")).pairs == load_pairs(PairsConfig(), "dev").pairs[:2]


def test_files_setting_names_the_splits(tmp_path: Path) -> None:
    for split in SPLITS:
        rows = [{"sentence1": split, "sentence2": "b", "gold_label": "neutral"}]
        write_jsonl(tmp_path / f"{split}.jsonl", rows)
    config = PairsConfig(
        path=str(tmp_path), files=PairFiles(train="train.jsonl", dev="dev.jsonl", test="test.jsonl"), limit=1
    )
    assert {split: load_pairs(config, split).pairs[0].premise for split in SPLITS} == {split: split for split in SPLITS}
    assert pair_file(PairsConfig(path=str(tmp_path)), "dev") == tmp_path / "mli_dev_v1.jsonl"
    assert pair_file(PairsConfig(path=str(tmp_path / "dev.jsonl")), "train") == tmp_path / "dev.jsonl"


ROW = {"sentence1": "a", "sentence2": "b", "gold_label": "neutral"}
INVALID_ROWS = {
    "invalid JSON": ('{"sentence1": ', "record line 4: is not JSON: Expecting value. Write one object a line"),
    "list": ("[1, 2]", "record line 4: must be an object, not a list"),
    "missing hypothesis": (
        {"sentence1": "a", "gold_label": "neutral"},
        "line 4, field sentence2: is missing (columns here: sentence1, gold_label). Name the right one in",
    ),
    "number as premise": (ROW | {"sentence1": 3}, "line 4, field sentence1: must be a text, not a number"),
    "null as hypothesis": (ROW | {"sentence2": None}, "line 4, field sentence2: must be a text, not null"),
    "empty hypothesis": (ROW | {"sentence2": " "}, "line 4, field sentence2: is empty"),
    "lone surrogate": (ROW | {"sentence1": "\ud83d"}, "line 4, field sentence1: has the lone surrogate \\ud83d"),
    "unknown label": (
        ROW | {"gold_label": "maybe"},
        "line 4, field gold_label: 'maybe' is not a label of pairs.labels (entailment, neutral, contradiction). Add it",
    ),
    "number as label": (ROW | {"gold_label": 1.0}, "line 4, field gold_label: '1' is not a label of pairs.labels"),
    "fraction as label": (ROW | {"gold_label": 1.5}, "line 4, field gold_label: '1.5' is not a label of pairs.labels"),
    "true as label": (ROW | {"gold_label": True}, "line 4, field gold_label: 'True' is not a label of pairs.labels"),
    "duplicate id": (ROW | {"pairID": "x"}, "record line 4: the id 'x' occurs twice"),
}


@pytest.mark.parametrize("name", INVALID_ROWS)
def test_error_names_the_line_of_an_invalid_row(tmp_path: Path, name: str) -> None:
    row, message = INVALID_ROWS[name]
    path = tmp_path / "pairs.jsonl"
    invalid = row if isinstance(row, str) else json.dumps(row)
    valid = [json.dumps(ROW | {"pairID": key}) for key in ("x", "y", "z")]
    path.write_text("\n".join([valid[0], "", valid[1], invalid, valid[2]]))
    with pytest.raises(DataError) as error:
        load_pairs(PairsConfig(path=str(path)))
    assert f"{path}, " in str(error.value)
    assert message in str(error.value)


INVALID_TABLE_ROWS = {
    "unknown label": ("d,e,bad", "line 5, field gold_label: 'bad' is not a label"),
    "cell of several lines": ('"d\n\nd",e,bad', "line 5, field gold_label: 'bad' is not a label"),
    "too few cells": ("d,e", "line 5, field gold_label: is missing (columns here: sentence1, sentence2)"),
    "too many cells": ("d,e,neutral,f", "line 5: has more cells than the header names"),
    "text after quoted cell": ('"d" x,e,neutral', "line 5: is not CSV: ',' expected after"),
    "unclosed quotation mark": ('"d,e,neutral', "line 5: is not CSV: unexpected end of data"),
    "very long cell": (f"{'d' * 200_000},e,neutral", "line 5: is not CSV: field larger than"),
}


@pytest.mark.parametrize("name", INVALID_TABLE_ROWS)
def test_error_names_the_first_line_of_an_invalid_table_row(tmp_path: Path, name: str) -> None:
    row, message = INVALID_TABLE_ROWS[name]
    path = tmp_path / "pairs.csv"
    path.write_text(f'sentence1,sentence2,gold_label\n"a\na",b,neutral\n\n{row}\n')
    with pytest.raises(DataError, match=re.escape(message)):
        load_pairs(PairsConfig(path=str(path)))


def test_duplicate_column_is_an_error_unless_unnamed(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(",,sentence1,sentence2,gold_label\n0,0,a,b,neutral\n")
    assert load_pairs(PairsConfig(path=str(path))).pairs == (NLIPair("2", "a", "b", "neutral"),)
    path.write_text("sentence1,sentence2,sentence1,gold_label\na,b,c,neutral\n")
    with pytest.raises(DataError, match="line 1, field sentence1: names a column twice"):
        load_pairs(PairsConfig(path=str(path)))


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16"])
def test_table_with_semicolons_is_read(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "pairs.csv"
    path.write_bytes("sentence1;sentence2;gold_label\r\nIt fell, by 2,5.;It rose.;contradiction\r\n".encode(codec))
    assert load_pairs(PairsConfig(path=str(path))).pairs == (
        NLIPair("2", "It fell, by 2,5.", "It rose.", "contradiction"),
    )


def test_column_names_in_capitals_are_recognised(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("Sentence1, sentence2 ,GOLD_LABEL,Split\nIt fell.,It rose.,contradiction,dev\n")
    config = PairsConfig(path=str(path), split_by="split")
    assert load_pairs(config, "dev").pairs == (NLIPair("2", "It fell.", "It rose.", "contradiction"),)


def test_missing_file_and_split_without_pairs_are_errors(tmp_path: Path) -> None:
    header = tmp_path / "header.csv"
    header.write_text("sentence1,sentence2,gold_label\n")
    with pytest.raises(UserError, match=r"header\.csv: there is no pair in the dev split\. Name another"):
        load_pairs(PairsConfig(path=str(header)), "dev")
    unlabelled = write_jsonl(tmp_path / "open.jsonl", [ROW | {"gold_label": "-"}] * 2)
    with pytest.raises(UserError, match="all 2 rows are without a label"):
        load_pairs(PairsConfig(path=str(unlabelled)))
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(DataError, match="is empty"):
        load_pairs(PairsConfig(path=str(empty)))
    problem = (
        r"mli_train_v1\.jsonl: there is no such file in the folder, which holds empty\.jsonl, header\.csv, open\.jsonl"
    )
    with pytest.raises(DataError, match=rf"{problem}\. Set pairs\.files\.train to the name"):
        load_pairs(PairsConfig(path=str(tmp_path)), "train")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="which is empty"):
        load_pairs(PairsConfig(path=str(tmp_path / "none")))
    with pytest.raises(DataError, match=r"nowhere\.csv: there is no such file\. Check the path"):
        load_pairs(PairsConfig(path=str(tmp_path / "nowhere.csv")))


def test_repeated_premises_ignores_case_and_spaces() -> None:
    train = [NLIPair("1", "She  denies\nFever.", "x", "neutral"), NLIPair("2", "He coughs.", "x", "neutral")]
    test = [
        NLIPair("3", "she denies fever.", "y", "neutral"),
        NLIPair("4", "She left.", "y", "neutral"),
        NLIPair("5", "she denies fever.", "z", "entailment"),
    ]
    assert repeated_premises(train, test) == ["she denies fever."]
    assert repeated_premises([], test) == []


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv"])
def test_float_labels_and_missing_values_of_data_frames_are_read(tmp_path: Path, suffix: str) -> None:
    rows = [
        {"pairID": f"p{number}", "sentence1": "A.", "sentence2": "B.", "gold_label": label}
        for number, label in enumerate((2.0, 0.0, None, 1.0, float("nan"), -1.0))
    ]
    path = tmp_path / f"pairs{suffix}"
    (write_jsonl if suffix == ".jsonl" else write_table)(path, rows)
    labels = {"0": "entailment", "1": "neutral", "2": "contradiction"}
    data = load_pairs(PairsConfig(path=str(path), labels=labels))
    assert [pair.label for pair in data.pairs] == ["contradiction", "entailment", "neutral"]
    assert data.unlabelled == 3


@pytest.mark.parametrize("indent", [None, 1])
def test_json_array_is_read_and_its_errors_name_the_row(tmp_path: Path, indent: int | None) -> None:
    path = tmp_path / "pairs.json"
    path.write_text(json.dumps(renamed_rows(), indent=indent), encoding="utf-8")
    data = load_pairs(PairsConfig(path=str(path), columns=COLUMNS, labels=LABELS))
    assert [pair.label for pair in data.pairs] == [label for *_, label in PAIRS]
    path.write_text(json.dumps([renamed_rows()[0], "text"]), encoding="utf-8")
    with pytest.raises(DataError, match=r"record row 2: must be an object, not a text"):
        load_pairs(PairsConfig(path=str(path), columns=COLUMNS, labels=LABELS))
    path.write_text(json.dumps(renamed_rows())[:-3], encoding="utf-8")
    with pytest.raises(DataError, match=r"record line 1: is not a JSON array"):
        load_pairs(PairsConfig(path=str(path), columns=COLUMNS, labels=LABELS))


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"PAR1", "Parquet"),
        (b"PK\x03\x04", "Excel"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"\x80\x05", "pickle"),
        (b"ARROW1", "Arrow"),
    ],
)
def test_error_names_the_kind_of_a_binary_file(tmp_path: Path, start: bytes, kind: str) -> None:
    path = tmp_path / "pairs.csv"
    path.write_bytes(start + bytes(range(256)))
    with pytest.raises(DataError, match=rf"is (a|an|compressed).*{kind}.*to_json"):
        load_pairs(PairsConfig(path=str(path)))


def test_boolean_labels_match_in_any_spelling(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{**row, "verdict": number == 0} for number, row in enumerate(renamed_rows())]
    for labels in ({"true": "yes", "false": "no"}, {"True": "yes", "False": "no"}, {"TRUE": "yes", "FALSE": "no"}):
        for path in (write_jsonl(tmp_path / "pairs.jsonl", rows), write_table(tmp_path / "pairs.csv", rows)):
            data = load_pairs(PairsConfig(path=str(path), columns=COLUMNS, labels=labels))
            assert [pair.label for pair in data.pairs] == ["yes", "no", "no", "no"]


def test_split_by_a_column_of_split_names_gives_these_splits(tmp_path: Path) -> None:
    # Dev has most rows, so that a division by the shares 70, 10 and 20 % would differ.
    names = ["Train", "validation", "validation", "test"]
    rows: list[dict[str, object]] = [{**row, "split": name} for name, row in zip(names, renamed_rows(), strict=True)]
    config = PairsConfig(
        path=str(write_table(tmp_path / "pairs.csv", rows)), columns=COLUMNS, labels=LABELS, split_by="split"
    )
    found = {split: [pair.premise for pair in load_pairs(config, split).pairs] for split in ("train", "dev", "test")}
    texts = [str(row["note"]).strip() for row in renamed_rows()]
    assert found == {"train": texts[:1], "dev": texts[1:3], "test": texts[3:]}
    rows[3]["split"] = "train"
    write_table(tmp_path / "pairs.csv", rows)
    with pytest.raises(UserError, match="there is no pair in the test split"):
        load_pairs(config, "test")
    for mistake in ("", "trial"):  # dividing the values anew would mix the splits that the other rows name
        rows[1]["split"] = mistake
        write_table(tmp_path / "pairs.csv", rows)
        with pytest.raises(DataError, match=rf"line 3, field split: '{mistake}' is no split, and other rows name"):
            load_pairs(config, "train")


def test_duplicate_id_is_an_error_unless_rows_are_numbered(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{**row, "key": "a"} for row in renamed_rows()]
    config = PairsConfig(path=str(write_jsonl(tmp_path / "pairs.jsonl", rows)), columns=COLUMNS, labels=LABELS)
    with_ids = config.model_copy(update={"columns": COLUMNS.model_copy(update={"id": "key"})})
    with pytest.raises(DataError, match=r"the id 'a' occurs twice\. Set pairs\.columns\.id to null"):
        load_pairs(with_ids)
    assert [pair.id for pair in load_pairs(config).pairs] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("path", [["a.jsonl"], {"a": "b"}, None])
def test_path_that_is_no_text_is_a_validation_error(path: object) -> None:
    with pytest.raises(ValidationError, match="should be a valid string"):
        PairsConfig.model_validate({"path": path})
