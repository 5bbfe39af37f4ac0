import pytest

from chains.rewriting.followup_rules import complete

FIRST = "Is itch score decreased by rotesartan in men with breast cancer?"
_CASES = [
    # fragments: one phrase is another
    ("And in women?", "Is itch score decreased by rotesartan in women with breast cancer?"),
    ("and for older adults", "Is itch score decreased by rotesartan in older adults with breast cancer?"),
    ("What about pain score?", "Is pain score decreased by rotesartan in men with breast cancer?"),
    ("What about mortality?", "Is mortality decreased by rotesartan in men with breast cancer?"),
    ("How about vitamin D instead?", "Is itch score decreased by vitamin D in men with breast cancer?"),
    ("And aspirin?", "Is itch score decreased by aspirin in men with breast cancer?"),
    ("And in women with asthma?", "Is itch score decreased by rotesartan in women with asthma?"),
    ("What about those with asthma?", "Is itch score decreased by rotesartan in men with asthma?"),
    ("And keramide in children with gout?", "Is itch score decreased by keramide in children with gout?"),
    ("Does aspirin do the same?", "Is itch score decreased by aspirin in men with breast cancer?"),
    ("Was keramide any better?", "Is itch score decreased by keramide in men with breast cancer?"),
    # sentences: pronouns and what is left out
    ("Does it also lower pain?", "Does rotesartan also lower pain in men with breast cancer?"),
    ("Does jadacoprazole lower it too?", "Does jadacoprazole lower itch score in men with breast cancer?"),
    ("Does it raise it instead?", "Does rotesartan raise itch score in men with breast cancer?"),
    ("Does it work in children?", "Does rotesartan work in children with breast cancer?"),
    ("Is it also lower in children?", "Is itch score also lower in children with breast cancer with rotesartan?"),
    ("Would the drug lower fall risk?", "Would rotesartan lower fall risk in men with breast cancer?"),
    ("Does it change serum potassium in them?", "Does rotesartan change serum potassium in men with breast cancer?"),
    (
        "Is its effect on sleep duration known?",
        "Is rotesartan's effect on sleep duration known in men with breast cancer?",
    ),
    ("Do these patients have less pain?", "Do men with breast cancer have less pain with rotesartan?"),
    # on how the study was done
    (
        "How many took part?",
        "How many took part, in the study of rotesartan and itch score in men with breast cancer?",
    ),
    (
        "Was it a randomised trial?",
        "Was it a randomised trial, in the study of rotesartan and itch score in men with breast cancer?",
    ),
    ("Why?", f"{FIRST} Why?"),
]


@pytest.mark.parametrize(("message", "wanted"), _CASES)
def test_a_follow_up_is_completed(message: str, wanted: str) -> None:
    made = complete([FIRST], message)
    assert made.question == wanted
    assert made.note is not None
    assert wanted == f"{FIRST} Why?" or wanted in made.note


@pytest.mark.parametrize(
    "message",
    [
        "Does light therapy reduce mortality in adults with gout?",
        "What causes gout?",
        "Lopitexetine for outpatients with type 2 diabetes: does fall risk go up?",
        "Do mitochondria play a role in remodelling lace plant leaves during programmed cell death?",
        "Is there a need for a new test of hearing?",
    ],
)
def test_a_question_of_its_own_stays_as_it_is(message: str) -> None:
    assert complete([FIRST], message) == complete([], message)
    assert complete([FIRST], message).question == message
    assert complete([FIRST], message).note is None


def test_the_first_message_stays_as_it_is_but_for_white_space() -> None:
    assert complete([], " And in \n women? ").question == "And in women?"


def test_what_cannot_be_completed_is_asked_beside_the_earlier_question_and_said() -> None:
    made = complete([FIRST], "And dyspnoea?")
    assert made.question == f"{FIRST} And dyspnoea?"
    assert made.note is not None
    assert "could not be completed by rule" in made.note


def test_a_study_question_between_does_not_hide_what_was_talked_of() -> None:
    study = complete([FIRST], "How many took part?").question
    assert complete([FIRST, study], "And in women?").question == _CASES[0][1]


def test_what_a_question_leaves_out_is_found_further_back() -> None:
    second = complete([FIRST], "Does it work in children?").question
    assert complete([FIRST, second], "Does keramide lower it too?").question == (
        "Does keramide lower itch score in children with breast cancer?"
    )
    assert complete([FIRST, second], "And mortality?").question == (
        "Is mortality decreased by rotesartan in children with breast cancer?"
    )


def test_text_with_what_regular_expressions_take_for_theirs_is_harmless() -> None:
    odd = r"Is itch score decreased by ro\1te\gsartan (50%) in men with gout \d?"
    assert complete([odd], "Does it also lower pain?").question
    assert complete([FIRST], "\\1 \\g<0> ?").question


@pytest.mark.parametrize("message", ["?", "...", "and", "what about", "ok thanks", "in", "Und bei Frauen?", "🙂", "it"])
def test_anything_gives_a_question(message: str) -> None:
    assert complete([FIRST], message).question.strip()
    assert complete(["?"], message).question.strip()


def test_what_is_a_text_and_no_question_is_neither_completed_nor_completed_from() -> None:
    long = f"And in women? {'It was so in women with gout. ' * 80}"
    assert complete([FIRST], long).question == " ".join(long.split())
    assert complete([FIRST, long], "And in women?").question == complete([FIRST], "And in women?").question
    assert complete([long], "And in women?").question == "And in women?"
