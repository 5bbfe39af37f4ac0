import pytest

from chains.models.findings import finding_log_odds, finding_words


@pytest.mark.parametrize(
    ("sentence", "at_least"),
    [
        ("Aspirin reduced the risk of stroke by 20% (p<0.05).", 2),
        ("There was no significant difference between the groups.", 2),
        ("The drug should not be used further.", 1),
    ],
)
def test_findings(sentence: str, at_least: float) -> None:
    assert finding_log_odds(sentence) > at_least


@pytest.mark.parametrize(
    ("sentence", "at_most"),
    [
        ("The aim of this study was to determine whether aspirin prevents stroke.", -3),
        ("We assessed data of 120 consecutive patients.", -2),
    ],
)
def test_aims_and_methods(sentence: str, at_most: float) -> None:
    assert finding_log_odds(sentence) < at_most


def test_a_sentence_without_known_words_says_nothing() -> None:
    assert finding_log_odds("") == finding_log_odds("Пациенты были пожилыми.") == pytest.approx(0, abs=0.5)


def test_numbers_are_one_word_and_signs_are_kept() -> None:
    assert finding_words("Reduced by 20.5% (P<0.05), 3 times") == {"reduc", "by", "#", "%", "p", "<", "time"}
