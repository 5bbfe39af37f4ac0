import pytest

from chains.parsing import parse_label
from corpus.records import LABELS


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("yes", "yes"),
        ("Yes.", "yes"),
        (" **Yes**", "yes"),
        ("YES, it does", "yes"),
        ("“Yes”", "yes"),
        ("Answer: No.", "no"),
        ("The answer is no.", "no"),
        ("The final answer is: maybe", "maybe"),
        ("no", "no"),
        ("No, it does not", "no"),
        ("No evidence was found that it helps", "no"),
        ("Maybe not.", "maybe"),
        ("\n\n  maybe\nyes", "maybe"),
        ("yes\nno\nmaybe", "yes"),
        ("Yes, and no harm was seen", "yes"),
        ("Yes, but there was no difference in bleeding", "yes"),
        ("It does: yes", "yes"),
        ("### Yes", "yes"),
        ("(no)", "no"),
        ("Answer:\nyes", "yes"),
        ("**The answer is:**\n\nNo.", "no"),
    ],
)
def test_decided(text: str, label: str) -> None:
    assert parse_label(text, LABELS) == label


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n ",
        "...",
        "another",
        "nobody knows",
        "I know",
        "nothing",
        "yesterday",
        "yes and no",
        "Yes or no",
        "yes, no or maybe",
        "yes/no",
        "Yes. No.",
        "maybe yes",
        "no to yes",
        "neither yes nor no",
        "yes-or-no",
        "not yes",
        "Not no",
        "not sure",
        "perhaps",
        "It is unclear",
        "There is no evidence of it",
        "no doubt",
        "No one knows",
        "No clear answer",
        "The study had no control group",
        "entailment",
        "да",
        "是",
    ],
)
def test_undecided_is_none_and_never_maybe(text: str) -> None:
    assert parse_label(text, LABELS) is None


def test_other_labels() -> None:
    labels = ("entailment", "neutral", "contradiction")
    assert parse_label("Entailment.", labels) == "entailment"
    assert parse_label("neutral or contradiction", labels) is None
    assert parse_label("yes", labels) is None
