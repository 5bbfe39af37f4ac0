import pytest

from chains.rewriting.pico import content_words, drug_like, first, phrases
from tools.sample.build import draw_sample


@pytest.mark.parametrize("part", ["train", "test", "new_names", "new_phrases"])
def test_who_what_and_the_measure_are_found_in_the_sample_s_questions(part: str) -> None:
    for record in getattr(draw_sample(), part):
        question = str(record.row["QUESTION"])
        found = phrases(question)
        for kind, wanted in (
            ("treatment", record.study.drug),
            ("measure", record.outcome),
            ("group", record.study.group),
            ("condition", record.study.condition),
        ):
            phrase = first(kind, found)
            assert phrase is not None, (question, kind)
            assert wanted.lower() in phrase.text.lower(), (question, kind)
            assert question[phrase.start : phrase.end] == phrase.text


@pytest.mark.parametrize(
    ("question", "treatment", "measure"),
    [
        ("Does metformin reduce cardiovascular mortality?", "metformin", "cardiovascular mortality"),
        ("Is length of stay shorter after laparoscopic surgery?", "laparoscopic surgery", "length of stay"),
        ("Can yoga improve quality of life in survivors of stroke?", "yoga", "quality of life"),
        ("Do statins prevent dementia?", None, None),
    ],
)
def test_real_questions(question: str, treatment: str | None, measure: str | None) -> None:
    found = phrases(question)
    assert getattr(first("treatment", found), "text", None) == treatment
    assert getattr(first("measure", found), "text", None) == measure


def test_people_are_told_from_what_they_have() -> None:
    found = phrases("Is pain lower in hospitalised older adults with type 2 diabetes given aspirin?")
    assert [(one.kind, one.text) for one in found if one.kind in ("group", "condition")] == [
        ("group", "hospitalised older adults"),
        ("condition", "type 2 diabetes"),
    ]
    assert first("treatment", phrases("Is pain lower in women with ibuprofen?")).text == "ibuprofen"  # type: ignore[union-attr]


def test_names_of_drugs() -> None:
    assert all(map(drug_like, ("rotesartan", "Aspirin", "metformin", "pembrolizumab", "omeprazole")))
    assert not any(map(drug_like, ("creatinine", "pain", "mortality", "women")))
    assert content_words("Does it lower the pain in them?") == ["pain"]
