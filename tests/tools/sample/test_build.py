"""tools/sample/build.py: the sample's files, and the separation of training and test text."""

import json
import random
import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

from corpus.records import LABELS
from corpus.sample import DATA, sample_path
from tools.sample import lexicon
from tools.sample.abstracts import LEAD_INS, Finding, Study, abstract, question, statement
from tools.sample.build import draw_sample, files, main, reserved
from tools.sample.lexicon import Direction
from tools.sample.notes import draw_note, draw_statement
from tools.sample.patterns import HELD_OUT, PATTERNS, select_patterns

RECORD_FIELDS = {"QUESTION", "CONTEXTS", "LABELS", "MESHES", "YEAR", "LONG_ANSWER", "final_decision"}


def load_records(name: str) -> dict[str, dict[str, object]]:
    return json.loads(sample_path(name).read_text(encoding="utf-8"))


def load_nli(split: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (DATA / f"mli_{split}_v1.jsonl").read_text(encoding="utf-8").splitlines()]


SLOT_FORMS = {
    "vi": "intransitive",
    "vib": "intransitive_base",
    "vt": "transitive",
    "vtb": "transitive_base",
    "noun": "noun",
    "comp": "comparative",
    "part": "participle",
}


def sentence_regex(pattern: str) -> re.Pattern[str]:
    """Matches the sentences of a pattern, in any case of the first letter, and with "a" or "an" before a slot."""

    def slot_regex(slot: re.Match[str]) -> str:
        if slot[1] not in SLOT_FORMS:
            return ".+"
        words = [word for change in lexicon.CHANGE.values() for word in getattr(change, SLOT_FORMS[slot[1]])]
        return "(?:" + "|".join(words) + ")"

    text = re.sub(r"\b([Aa])\\ (?=\\{)", r"\1n?\\ ", re.escape(pattern))
    text = re.sub(r"\\{(\w+)\\}", slot_regex, text)
    return re.compile("(?i:" + text[0] + ")" + text[1:] if text[0].isalpha() else text)


def test_the_generator_reproduces_the_shipped_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert {name: text.encode() for name, text in files().items()} == {
        path.name: path.read_bytes() for path in DATA.iterdir()
    }
    assert main(["--check"]) == 0
    assert capsys.readouterr().out == ""


def test_check_names_differing_files(tmp_path: Path, monkeypatch, capsys) -> None:
    for path in DATA.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr("tools.sample.build.DATA", tmp_path)
    (tmp_path / "newnames.json").write_text("{}")
    assert main(["--check"]) == 1
    assert capsys.readouterr().out.splitlines() == [f"{tmp_path / 'newnames.json'}: differs"]


def test_records_have_the_fields_and_label_shares_of_pubmedqa() -> None:
    main_records, test_labels = load_records("ori_pqal"), json.loads(sample_path("test_ground_truth").read_text())
    assert len(main_records) >= 600
    assert len(test_labels) == 300
    assert all(main_records[id_]["final_decision"] == label for id_, label in test_labels.items())
    for name in ("ori_pqal", "newnames", "newphrases"):
        records = load_records(name)
        assert len(records) >= 300
        assert all(set(record) == RECORD_FIELDS for record in records.values())
        shares = Counter(record["final_decision"] for record in records.values())
        for label, share in zip(LABELS, (0.55, 0.34, 0.11), strict=True):
            assert shares[label] / len(records) == pytest.approx(share, abs=0.05)


def test_no_training_record_has_the_drug_condition_and_outcome_of_a_test_record() -> None:
    for record in draw_sample().train:
        triples = record.study.triples() | {(record.study.drug, record.study.condition, record.outcome)}
        assert not triples & reserved().triples


def test_no_other_file_has_the_drug_names_of_newnames() -> None:
    names = {record.study.drug for record in draw_sample().new_names}
    assert len(names) == 300
    texts = "".join((DATA / file).read_text() for file in ("ori_pqal.json", "newphrases.json", "mli_train_v1.jsonl"))
    assert names.isdisjoint(re.findall(r"[a-z]+", texts.lower()))


def test_newphrases_has_only_held_out_patterns_and_ori_pqal_has_none() -> None:
    held_out = [sentence_regex(pattern) for kind in PATTERNS for pattern in select_patterns(kind, "held_out")]
    for record in load_records("newphrases").values():
        for section in record["CONTEXTS"]:
            for sentence in re.split(r"(?<=[a-z%)]\.) (?=[A-Z0-9])", str(section)):  # not after a number
                without_lead_in = sentence
                for lead_in in LEAD_INS:
                    without_lead_in = without_lead_in.removeprefix(lead_in)
                assert any(regex.fullmatch(without_lead_in) for regex in held_out), sentence
        assert any(regex.fullmatch(str(record["QUESTION"])) for regex in held_out)
    questions = [sentence_regex(pattern) for pattern in select_patterns("question", "held_out")]
    for record in load_records("ori_pqal").values():
        assert not any(regex.fullmatch(str(record["QUESTION"])) for regex in questions)


def test_a_fifth_of_the_patterns_of_each_kind_is_held_out() -> None:
    for kind, patterns in PATTERNS.items():
        assert len(set(patterns)) == len(patterns)
        assert len(HELD_OUT[kind]) == round(len(patterns) / 5)


def test_nli_pairs_have_mednli_fields_balanced_labels_and_premises_of_one_split() -> None:
    premises = {}
    for split, minimum in (("train", 3000), ("dev", 300), ("test", 300)):
        pairs = load_nli(split)
        assert len(pairs) >= minimum
        assert all({"sentence1", "sentence2", "gold_label", "pairID"} == set(pair) for pair in pairs)
        assert len({pair["pairID"] for pair in pairs}) == len(pairs)
        counts = Counter(pair["gold_label"] for pair in pairs)
        assert set(counts) == {"entailment", "neutral", "contradiction"}
        assert len(set(counts.values())) == 1
        premises[split] = {pair["sentence1"] for pair in pairs}
    for split, other_split in combinations(premises, 2):
        assert not premises[split] & premises[other_split]


@pytest.mark.parametrize(
    ("finding", "direction", "answer"),
    [
        (Finding("pain score", "effect", "down"), "down", "yes"),
        (Finding("pain score", "effect", "down"), "up", "no"),
        (Finding("pain score", "null", "down"), "down", "no"),
        (Finding("pain score", "unclear", "up"), "up", "maybe"),
        (Finding("bone density", "effect", "up"), "up", "maybe"),
    ],
    ids=["effect in the asked direction", "opposite effect", "null", "unclear", "other outcome"],
)
def test_the_answer_follows_from_finding_and_asked_direction(
    finding: Finding, direction: Direction, answer: str
) -> None:
    study = Study("lorafenib", "placebo", "adults", "asthma", (finding,))
    assert study.answer("pain score", direction) == answer


def test_all_slots_are_filled_with_the_right_article() -> None:
    rng = random.Random(0)
    study = Study("lorafenib", "placebo", "adults", "asthma", (Finding("pain score", "effect", "up"),))
    for _ in range(300):
        text = " ".join(abstract(study, rng).values()) + " " + question(study, "pain score", "up", rng)
        assert "{" not in text
        assert not re.search(r"\b[Aa] (increase|elevation|8%|11%|18%)", text)
        assert text[0].isupper() or text[0].isdigit()


def test_statements_have_the_requested_relation_to_study_and_note() -> None:
    rng = random.Random(0)
    study = Study("lorafenib", "placebo", "adults", "asthma", (Finding("pain score", "effect", "down"),))
    down = lexicon.CHANGE["down"]
    for _ in range(100):
        entailed = statement(study, "yes", rng) or ""
        assert any(word in entailed for word in (*down.transitive, *down.intransitive, *down.noun, *down.comparative))
        assert "pain score" not in (statement(study, "maybe", rng) or "")
    note = draw_note(rng, 1)
    assert draw_statement(note, "yes", rng)[0] != draw_statement(note, "no", rng)[0]
