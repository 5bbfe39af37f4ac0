import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from common.errors import DataError, UserError
from corpus.config import PairColumns, PairFiles, PairsConfig
from corpus.inference.pairs import NLIPair, PairData, load_pairs, pair_file, repeated_premises, snli_rows

PAIRS = [
    ("She denies fever.", "The patient has no fever.", "entailment"),
    ('He said "no, thanks",\r\nand left.', "He has a cough.", "neutral"),
    ("Potassium was 3.1\tmmol/l; ünruhig.", "The potassium is high.", "contradiction"),
    ("Old\u2028separators\x85 \x1cstay.", "Nothing is cut.", "neutral"),
]
FREE = PairColumns(premise="note", hypothesis="claim", label="verdict", id=None)
WORDS = {"follows": "entailment", "open": "neutral", "0": "contradiction"}
OWN = {word: name for name, word in WORDS.items()}
HUB_NUMBER = {"entailment": 0, "neutral": 1, "contradiction": 2}


def write_jsonl(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)
    return path


def free_rows() -> list[dict[str, object]]:
    return [{"age": 70, "verdict": OWN[label], "claim": h, "note": p} for p, h, label in PAIRS]


def mednli(folder: Path) -> PairData:
    rows = [
        {"gold_label": label, "pairID": f"m{n}", "sentence1": p, "sentence2": h}
        for n, (p, h, label) in enumerate(PAIRS)
    ]
    return load_pairs(PairsConfig(path=str(write_jsonl(folder / "mli_dev_v1.jsonl", rows))))


def snli_file(folder: Path) -> PairData:
    rows: list[dict[str, object]] = [
        {
            "annotator_labels": [label],
            "captionID": "c",
            "gold_label": label,
            "sentence1": f" {p}",
            "sentence2": f"{h}\n",
        }
        for p, h, label in PAIRS
    ]
    rows.insert(1, {**rows[0], "gold_label": "-"})
    return load_pairs(PairsConfig(path=str(write_jsonl(folder / "snli_1.0_dev.jsonl", rows))))


def snli_hub(folder: Path) -> PairData:
    rows = [{"premise": p, "hypothesis": h, "label": HUB_NUMBER[label]} for p, h, label in PAIRS]
    rows.insert(2, {**rows[0], "label": -1})

    def load_dataset(name: str, *, revision: str, split: str) -> list[dict[str, object]]:
        assert (name, revision, split) == ("stanfordnlp/snli", PairsConfig().revision, "validation")
        return rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.load_dataset", load_dataset)
        patch.setattr("common.hub._is_hub_reachable", lambda: True)
        return load_pairs(PairsConfig(path="snli"), "dev")


def free(suffix: str):
    def load(folder: Path) -> PairData:
        write = write_jsonl if suffix == ".jsonl" else write_table
        path = write(folder / f"free{suffix}", free_rows())
        return load_pairs(PairsConfig(path=str(path), columns=FREE, labels=WORDS))

    return load


FORMATS = {
    "mednli": (mednli, 0),
    "snli": (snli_file, 1),
    "snli on the hub": (snli_hub, 1),
    "jsonl": (free(".jsonl"), 0),
    "csv": (free(".csv"), 0),
    "tsv": (free(".tsv"), 0),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_pairs(tmp_path: Path, name: str) -> None:
    load, unlabelled = FORMATS[name]
    data = load(tmp_path)
    assert [(pair.premise, pair.hypothesis, pair.label) for pair in data.pairs] == PAIRS
    assert set(data.labels) == {"entailment", "neutral", "contradiction"}
    assert data.unlabelled == unlabelled
    assert len({pair.id for pair in data.pairs}) == len(PAIRS)


def test_ids_are_the_files_own_or_the_lines(tmp_path: Path) -> None:
    assert [pair.id for pair in mednli(tmp_path).pairs] == ["m0", "m1", "m2", "m3"]
    assert [pair.id for pair in snli_file(tmp_path).pairs] == ["1", "3", "4", "5"]
    assert [pair.id for pair in free(".csv")(tmp_path).pairs] == ["2", "3", "5", "6"]


def test_hub_numbers_become_words() -> None:
    rows = [{"label": number} for number in (0, 1, 2, -1, 3, None)]
    assert [row["label"] for _, row in snli_rows(rows)] == ["entailment", "neutral", "contradiction", -1, 3, None]
    assert [line for line, _ in snli_rows(rows)] == [1, 2, 3, 4, 5, 6]


def test_two_labels_by_a_map(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "two.jsonl", [{"note": "a", "claim": "b", "verdict": v} for v in (1, 0, 2)])
    labels = {"0": "no", "1": "yes", "2": "no"}
    data = load_pairs(PairsConfig(path=str(path), columns=FREE, labels=labels))
    assert data.labels == ("no", "yes")
    assert [pair.label for pair in data.pairs] == ["yes", "no", "no"]


def test_the_sample_has_balanced_disjoint_splits() -> None:
    train, dev, test = (load_pairs(PairsConfig(), split).pairs for split in ("train", "dev", "test"))
    assert len(test) >= 300
    for split in (train, dev, test):
        counts = [sum(pair.label == label for pair in split) for label in PairsConfig().labels]
        assert counts == [len(split) / 3] * 3
    assert repeated_premises(train, test) == repeated_premises(train, dev) == repeated_premises(dev, test) == []


def test_split_and_limit(tmp_path: Path) -> None:
    config = PairsConfig(limit=2, split="dev")
    assert load_pairs(config).pairs == load_pairs(PairsConfig(), "dev").pairs[:2]
    for split in ("train", "dev", "test"):
        rows = [{"sentence1": split, "sentence2": "b", "gold_label": "neutral"}]
        write_jsonl(tmp_path / f"{split}.jsonl", rows)
    own = PairsConfig(
        path=str(tmp_path), files=PairFiles(train="train.jsonl", dev="dev.jsonl", test="test.jsonl"), limit=1
    )
    assert [load_pairs(own, split).pairs[0].premise for split in ("train", "dev", "test")] == ["train", "dev", "test"]
    assert pair_file(PairsConfig(path=str(tmp_path)), "dev") == tmp_path / "mli_dev_v1.jsonl"
    assert pair_file(PairsConfig(path=str(tmp_path / "dev.jsonl")), "train") == tmp_path / "dev.jsonl"


GOOD = {"sentence1": "a", "sentence2": "b", "gold_label": "neutral"}
BAD_ROWS = {
    "no JSON": ('{"sentence1": ', "record line 4: is not JSON: Expecting value. Write one object a line"),
    "a list": ("[1, 2]", "record line 4: must be an object, not a list"),
    "no hypothesis": (
        {"sentence1": "a", "gold_label": "neutral"},
        "line 4, field sentence2: is missing (columns here: sentence1, gold_label). Name the right one in",
    ),
    "a number for a text": (GOOD | {"sentence1": 3}, "line 4, field sentence1: must be a text, not a number"),
    "null": (GOOD | {"sentence2": None}, "line 4, field sentence2: must be a text, not null"),
    "an empty text": (GOOD | {"sentence2": " "}, "line 4, field sentence2: is empty"),
    "half a character": (GOOD | {"sentence1": "\ud83d"}, "line 4, field sentence1: has the lone surrogate \\ud83d"),
    "another label": (
        GOOD | {"gold_label": "maybe"},
        "line 4, field gold_label: 'maybe' is not a label of pairs.labels (entailment, neutral, contradiction). Add it",
    ),
    "a float label": (GOOD | {"gold_label": 1.0}, "line 4, field gold_label: '1' is not a label of pairs.labels"),
    "a fraction": (GOOD | {"gold_label": 1.5}, "line 4, field gold_label: '1.5' is not a label of pairs.labels"),
    "true": (GOOD | {"gold_label": True}, "line 4, field gold_label: 'True' is not a label of pairs.labels"),
    "an id twice": (GOOD | {"pairID": "x"}, "record line 4: the id 'x' occurs twice"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, name: str) -> None:
    row, message = BAD_ROWS[name]
    path = tmp_path / "pairs.jsonl"
    bad = row if isinstance(row, str) else json.dumps(row)
    good = [json.dumps(GOOD | {"pairID": key}) for key in ("x", "y", "z")]
    path.write_text("\n".join([good[0], "", good[1], bad, good[2]]))
    with pytest.raises(DataError) as caught:
        load_pairs(PairsConfig(path=str(path)))
    assert f"{path}, " in str(caught.value)
    assert message in str(caught.value)


BAD_TABLES = {
    "a bad label": ("d,e,bad", "line 5, field gold_label: 'bad' is not a label"),
    "several lines": ('"d\n\nd",e,bad', "line 5, field gold_label: 'bad' is not a label"),
    "too few cells": ("d,e", "line 5, field gold_label: is missing (columns here: sentence1, sentence2)"),
    "too many cells": ("d,e,neutral,f", "line 5: has more cells than the header names"),
    "text after a quote": ('"d" x,e,neutral', "line 5: is not CSV: ',' expected after"),
    "an open quote": ('"d,e,neutral', "line 5: is not CSV: unexpected end of data"),
    "an endless cell": (f"{'d' * 200_000},e,neutral", "line 5: is not CSV: field larger than"),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_a_bad_row_of_a_table_is_named_by_the_line_it_begins_on(tmp_path: Path, name: str) -> None:
    row, message = BAD_TABLES[name]
    path = tmp_path / "pairs.csv"
    path.write_text(f'sentence1,sentence2,gold_label\n"a\na",b,neutral\n\n{row}\n')
    with pytest.raises(DataError) as caught:
        load_pairs(PairsConfig(path=str(path)))
    assert message in str(caught.value)


def test_a_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(",,sentence1,sentence2,gold_label\n0,0,a,b,neutral\n")
    assert load_pairs(PairsConfig(path=str(path))).pairs == (NLIPair("2", "a", "b", "neutral"),)
    path.write_text("sentence1,sentence2,sentence1,gold_label\na,b,c,neutral\n")
    with pytest.raises(DataError, match="line 1, field sentence1: names a column twice"):
        load_pairs(PairsConfig(path=str(path)))


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16"])
def test_a_table_with_semicolons_is_read_as_one_with_commas(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "pairs.csv"
    path.write_bytes("sentence1;sentence2;gold_label\r\nIt fell, by 2,5.;It rose.;contradiction\r\n".encode(codec))
    assert load_pairs(PairsConfig(path=str(path))).pairs == (
        NLIPair("2", "It fell, by 2,5.", "It rose.", "contradiction"),
    )


def test_splits_without_pairs_are_refused(tmp_path: Path) -> None:
    header = tmp_path / "header.csv"
    header.write_text("sentence1,sentence2,gold_label\n")
    with pytest.raises(UserError, match=r"header\.csv: there is no pair in the dev split\. Name another"):
        load_pairs(PairsConfig(path=str(header)), "dev")
    open_only = write_jsonl(tmp_path / "open.jsonl", [GOOD | {"gold_label": "-"}] * 2)
    with pytest.raises(UserError, match="all 2 rows are without a label"):
        load_pairs(PairsConfig(path=str(open_only)))
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(DataError, match="is empty"):
        load_pairs(PairsConfig(path=str(empty)))
    held = (
        r"mli_train_v1\.jsonl: there is no such file in the folder, which holds empty\.jsonl, header\.csv, open\.jsonl"
    )
    with pytest.raises(DataError, match=rf"{held}\. Set pairs\.files\.train to the name"):
        load_pairs(PairsConfig(path=str(tmp_path)), "train")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="which is empty"):
        load_pairs(PairsConfig(path=str(tmp_path / "none")))
    with pytest.raises(DataError, match=r"nowhere\.csv: there is no such file\. Check the path"):
        load_pairs(PairsConfig(path=str(tmp_path / "nowhere.csv")))


def test_premises_in_both_splits_are_found_whatever_their_case_and_spaces() -> None:
    train = [NLIPair("1", "She  denies\nFever.", "x", "neutral"), NLIPair("2", "He coughs.", "x", "neutral")]
    test = [
        NLIPair("3", "she denies fever.", "y", "neutral"),
        NLIPair("4", "She left.", "y", "neutral"),
        NLIPair("5", "she denies fever.", "z", "entailment"),
    ]
    assert repeated_premises(train, test) == ["she denies fever."]
    assert repeated_premises([], test) == []


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv"])
def test_labels_as_data_frames_write_them(tmp_path: Path, suffix: str) -> None:
    rows = [
        {"pairID": f"p{number}", "sentence1": "A.", "sentence2": "B.", "gold_label": label}
        for number, label in enumerate((2.0, 0.0, None, 1.0, float("nan"), -1.0))
    ]
    path = tmp_path / f"pairs{suffix}"
    if suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        write_table(
            path, [{**row, "gold_label": "" if row["gold_label"] is None else row["gold_label"]} for row in rows]
        )
    words = {"0": "entailment", "1": "neutral", "2": "contradiction"}
    data = load_pairs(PairsConfig(path=str(path), labels=words))
    assert [pair.label for pair in data.pairs] == ["contradiction", "entailment", "neutral"]
    assert data.unlabelled == 3


@pytest.mark.parametrize("indent", [None, 1])
def test_one_array_of_objects(tmp_path: Path, indent: int | None) -> None:
    path = tmp_path / "pairs.json"
    path.write_text(json.dumps(free_rows(), indent=indent), encoding="utf-8")
    data = load_pairs(PairsConfig(path=str(path), columns=FREE, labels=WORDS))
    assert [pair.label for pair in data.pairs] == [label for *_, label in PAIRS]
    path.write_text(json.dumps([free_rows()[0], "text"]), encoding="utf-8")
    with pytest.raises(DataError, match=r"record row 2: must be an object, not a text"):
        load_pairs(PairsConfig(path=str(path), columns=FREE, labels=WORDS))
    path.write_text(json.dumps(free_rows())[:-3], encoding="utf-8")
    with pytest.raises(DataError, match=r"record line 1: is not a JSON array"):
        load_pairs(PairsConfig(path=str(path), columns=FREE, labels=WORDS))


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
def test_what_is_no_text_is_named(tmp_path: Path, start: bytes, kind: str) -> None:
    path = tmp_path / "pairs.csv"
    path.write_bytes(start + bytes(range(256)))
    with pytest.raises(DataError, match=rf"is (a|an|compressed).*{kind}.*to_json"):
        load_pairs(PairsConfig(path=str(path)))


def test_labels_that_are_true_or_false(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{**row, "verdict": number == 0} for number, row in enumerate(free_rows())]
    for labels in ({"true": "yes", "false": "no"}, {"True": "yes", "False": "no"}, {"TRUE": "yes", "FALSE": "no"}):
        for path in (write_jsonl(tmp_path / "pairs.jsonl", rows), write_table(tmp_path / "pairs.csv", rows)):
            data = load_pairs(PairsConfig(path=str(path), columns=FREE, labels=labels))
            assert [pair.label for pair in data.pairs] == ["yes", "no", "no", "no"]


def test_a_column_that_names_the_splits(tmp_path: Path) -> None:
    """Dev is larger than test and than train, so that a division by size would be another."""
    names = ["Train", "validation", "validation", "test"]
    rows: list[dict[str, object]] = [{**row, "split": name} for name, row in zip(names, free_rows(), strict=True)]
    config = PairsConfig(
        path=str(write_table(tmp_path / "pairs.csv", rows)), columns=FREE, labels=WORDS, split_by="split"
    )
    found = {split: [pair.premise for pair in load_pairs(config, split).pairs] for split in ("train", "dev", "test")}
    texts = [str(row["note"]).strip() for row in free_rows()]
    assert found == {"train": texts[:1], "dev": texts[1:3], "test": texts[3:]}
    rows[3]["split"] = "train"
    write_table(tmp_path / "pairs.csv", rows)
    with pytest.raises(UserError, match="there is no pair in the test split"):
        load_pairs(config, "test")


def test_an_id_that_stands_twice_and_what_to_do(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{**row, "key": "a"} for row in free_rows()]
    config = PairsConfig(path=str(write_jsonl(tmp_path / "pairs.jsonl", rows)), columns=FREE, labels=WORDS)
    twice = config.model_copy(update={"columns": FREE.model_copy(update={"id": "key"})})
    with pytest.raises(DataError, match=r"the id 'a' occurs twice\. Set pairs\.columns\.id to null"):
        load_pairs(twice)
    assert [pair.id for pair in load_pairs(config).pairs] == ["1", "2", "3", "4"]
