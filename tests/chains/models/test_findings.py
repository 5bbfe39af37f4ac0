import pytest

from chains.models.findings import finding_log_odds, finding_words


@pytest.mark.parametrize(
    ("sentence", "log_odds"),
    [
        ("Aspirin reduced the risk of stroke by 20% (p<0.05).", 2),
        ("There was no significant difference between the groups.", 2),
        ("The drug should not be used further.", 1),
    ],
)
def test_log_odds_of_findings_are_high(sentence: str, log_odds: float) -> None:
    assert finding_log_odds(sentence) > log_odds


@pytest.mark.parametrize(
    ("sentence", "log_odds"),
    [
        ("The aim of this study was to determine whether aspirin prevents stroke.", -3),
        ("We assessed data of 120 consecutive patients.", -2),
    ],
)
def test_log_odds_of_aims_and_methods_are_low(sentence: str, log_odds: float) -> None:
    assert finding_log_odds(sentence) < log_odds


def test_log_odds_without_known_words_are_near_zero() -> None:
    assert finding_log_odds("") == finding_log_odds("Пациенты были пожилыми.") == pytest.approx(0, abs=0.5)


def test_features_are_stems_symbols_and_one_sign_for_all_numbers() -> None:
    assert finding_words("Reduced by 20.5% (P<0.05), 3 times") == {"reduc", "by", "#", "%", "p", "<", "time"}
