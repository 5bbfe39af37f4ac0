"""The sample's files, and what they promise about training and test text."""

import json
import random
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from corpus.records import LABELS
from corpus.sample import DATA, sample_path
from tools.sample import lexicon
from tools.sample.abstracts import LEAD_INS, Finding, Study, abstract, question, statement
from tools.sample.build import draw_sample, files, main, reserved
from tools.sample.notes import draw_note, draw_statement
from tools.sample.patterns import FAMILIES, HELD_OUT, patterns

RECORD_FIELDS = {"QUESTION", "CONTEXTS", "LABELS", "MESHES", "YEAR", "LONG_ANSWER", "final_decision"}


def _load(name: str) -> dict[str, dict[str, object]]:
    return json.loads(sample_path(name).read_text(encoding="utf-8"))


def _nli(split: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (DATA / f"mli_{split}_v1.jsonl").read_text(encoding="utf-8").splitlines()]


FORMS = {
    "vi": "intransitive",
    "vib": "intransitive_base",
    "vt": "transitive",
    "vtb": "transitive_base",
    "noun": "noun",
    "comp": "comparative",
    "part": "participle",
}


def _regex(pattern: str) -> re.Pattern[str]:
    """A sentence of the family, its first letter in either case, its articles as the next word wants them."""

    def slot(found: re.Match[str]) -> str:
        if found[1] not in FORMS:
            return ".+"
        words = [word for change in lexicon.CHANGE.values() for word in getattr(change, FORMS[found[1]])]
        return "(?:" + "|".join(words) + ")"

    text = re.sub(r"\b([Aa])\\ (?=\\{)", r"\1n?\\ ", re.escape(pattern))
    text = re.sub(r"\\{(\w+)\\}", slot, text)
    return re.compile("(?i:" + text[0] + ")" + text[1:] if text[0].isalpha() else text)


def test_generator_reproduces_the_shipped_files_byte_for_byte(capsys: pytest.CaptureFixture[str]) -> None:
    assert {name: text.encode() for name, text in files().items()} == {
        path.name: path.read_bytes() for path in DATA.iterdir()
    }
    assert main(["--check"]) == 0
    assert capsys.readouterr().out == ""


def test_check_names_a_file_that_differs(tmp_path: Path, monkeypatch, capsys) -> None:
    for path in DATA.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr("tools.sample.build.DATA", tmp_path)
    (tmp_path / "newnames.json").write_text("{}")
    assert main(["--check"]) == 1
    assert capsys.readouterr().out.splitlines() == [f"{tmp_path / 'newnames.json'}: differs"]


def test_records_have_pubmedqa_fields_and_shares() -> None:
    everything, truth = _load("ori_pqal"), json.loads(sample_path("test_ground_truth").read_text())
    assert len(everything) >= 600
    assert len(truth) == 300
    assert all(everything[id_]["final_decision"] == label for id_, label in truth.items())
    for name in ("ori_pqal", "newnames", "newphrases"):
        records = _load(name)
        assert len(records) >= 300
        assert all(set(record) == RECORD_FIELDS for record in records.values())
        shares = Counter(record["final_decision"] for record in records.values())
        for label, share in zip(LABELS, (0.55, 0.34, 0.11), strict=True):
            assert shares[label] / len(records) == pytest.approx(share, abs=0.05)


def test_no_test_triple_is_told_in_the_training_half() -> None:
    sample = draw_sample()
    for record in sample.train:
        told = record.study.triples() | {(record.study.drug, record.study.condition, record.outcome)}
        assert not told & reserved().triples


def test_new_names_appear_nowhere_else() -> None:
    names = {record.study.drug for record in draw_sample().new_names}
    assert len(names) == 300
    others = "".join((DATA / file).read_text() for file in ("ori_pqal.json", "newphrases.json", "mli_train_v1.jsonl"))
    words = set(re.findall(r"[a-z]+", others.lower()))
    assert not {name for name in names if name in words}


def test_new_phrases_use_held_out_families_only_and_the_others_none() -> None:
    held = [_regex(pattern) for kind in FAMILIES for pattern in patterns(kind, "held_out")]
    for record in _load("newphrases").values():
        for section in record["CONTEXTS"]:
            for sentence in re.split(r"(?<=[a-z%)]\.) (?=[A-Z0-9])", str(section)):
                bare = sentence
                for lead_in in LEAD_INS:
                    bare = bare.removeprefix(lead_in)
                assert any(regex.fullmatch(bare) for regex in held), sentence
        assert any(regex.fullmatch(str(record["QUESTION"])) for regex in held)
    questions = [_regex(pattern) for pattern in patterns("question", "held_out")]
    for record in _load("ori_pqal").values():
        assert not any(regex.fullmatch(str(record["QUESTION"])) for regex in questions)


def test_a_fifth_of_each_kind_is_held_out() -> None:
    for kind, families in FAMILIES.items():
        assert len(set(families)) == len(families)
        assert len(HELD_OUT[kind]) == round(len(families) / 5)


def test_nli_pairs_are_mednli_shaped_balanced_and_disjoint() -> None:
    premises = {}
    for split, least in (("train", 3000), ("dev", 300), ("test", 300)):
        pairs = _nli(split)
        assert len(pairs) >= least
        assert all({"sentence1", "sentence2", "gold_label", "pairID"} == set(pair) for pair in pairs)
        assert len({pair["pairID"] for pair in pairs}) == len(pairs)
        counts = Counter(pair["gold_label"] for pair in pairs)
        assert set(counts) == {"entailment", "neutral", "contradiction"}
        assert len(set(counts.values())) == 1
        premises[split] = {pair["sentence1"] for pair in pairs}
    for one, other in pairwise(("train", "dev", "test")):
        assert not premises[one] & premises[other]
    assert not premises["train"] & premises["test"]


@pytest.mark.parametrize(
    ("finding", "asked", "answer"),
    [
        (Finding("pain score", "effect", "down"), "down", "yes"),
        (Finding("pain score", "effect", "down"), "up", "no"),
        (Finding("pain score", "null", "down"), "down", "no"),
        (Finding("pain score", "unclear", "up"), "up", "maybe"),
        (Finding("bone density", "effect", "up"), "up", "maybe"),
    ],
)
def test_answers_follow_from_the_findings(finding: Finding, asked, answer: str) -> None:
    study = Study("lorafenib", "placebo", "adults", "asthma", (finding,))
    assert study.answer("pain score", asked) == answer


def test_sentences_are_whole_and_grammatical_at_the_seams() -> None:
    rng = random.Random(0)
    study = Study("lorafenib", "placebo", "adults", "asthma", (Finding("pain score", "effect", "up"),))
    for _ in range(300):
        text = " ".join(abstract(study, rng).values()) + " " + question(study, "pain score", "up", rng)
        assert "{" not in text
        assert not re.search(r"\b[Aa] (increase|elevation|8%|11%|18%)", text)
        assert text[0].isupper() or text[0].isdigit()


def test_statements_say_what_they_are_wanted_to() -> None:
    rng = random.Random(0)
    study = Study("lorafenib", "placebo", "adults", "asthma", (Finding("pain score", "effect", "down"),))
    falling = {*lexicon.CHANGE["down"].transitive, *lexicon.CHANGE["down"].intransitive}
    falling |= {*lexicon.CHANGE["down"].noun, *lexicon.CHANGE["down"].comparative}
    for _ in range(100):
        said = statement(study, "yes", rng)
        assert said is not None
        assert any(word in said for word in falling)
        assert "pain score" not in (statement(study, "maybe", rng) or "")
    note = draw_note(rng, 1)
    assert draw_statement(note, "yes", rng)[0] != draw_statement(note, "no", rng)[0]
