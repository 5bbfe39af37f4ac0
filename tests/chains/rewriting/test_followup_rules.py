import pytest

from chains.rewriting.followup_rules import NOT_COMPLETED, complete

FIRST = "Is itch score decreased by rotesartan in men with breast cancer?"
_COMPLETED = [
    (FIRST, "And in women?", "Is itch score decreased by rotesartan in women with breast cancer?"),
    (FIRST, "and for older adults", "Is itch score decreased by rotesartan in older adults with breast cancer?"),
    (FIRST, "And in women with asthma?", "Is itch score decreased by rotesartan in women with asthma?"),
    (FIRST, "What about those with asthma?", "Is itch score decreased by rotesartan in men with asthma?"),
    ("Does aspirin prevent stroke?", "And in children?", "Does aspirin prevent stroke in children?"),
    ("Do women with gout benefit from aspirin?", "Men?", "Do Men with gout benefit from aspirin?"),
    ("What is the dose of metformin for adults?", "What about aspirin?", "What is the dose of aspirin for adults?"),
    ("What is the maximum daily dose of paracetamol?", "ibuprofen?", "What is the maximum daily dose of ibuprofen?"),
    ("What is the dose of corvinol for adults?", "And ilvastat?", "What is the dose of ilvastat for adults?"),
    ("What is sepsis?", "What is its mortality?", "What is the mortality of sepsis?"),
    ("What causes gout?", "What are the symptoms?", "What are the symptoms of gout?"),
    ("What is the treatment of Still’s disease?", "And what are its causes", "What are the causes of Still’s disease?"),
    ("What is the first-line treatment of gout?", "And second-line?", "What is the second-line treatment of gout?"),
    ("What is the first-line treatment of gout?", "third-line treatment?", "What is the third-line treatment of gout?"),
    ("What is the short-term prognosis of sepsis?", "long-term?", "What is the long-term prognosis of sepsis?"),
    ("How is type 2 diabetes treated?", "And type 1?", "How is type 1 diabetes treated?"),
    ("What is the treatment of hepatitis B?", "hepatitis C", "What is the treatment of hepatitis C?"),
    ("Is aspirin safe in stage 3 asthma?", "And in stage 4?", "Is aspirin safe in stage 4 asthma?"),
    ("Is aspirin safe in pregnancy?", "What about in children?", "Is aspirin safe in children?"),
    ("What is the dose of aspirin?", "co-trimoxazole?", "What is the dose of co-trimoxazole?"),
    ("What are the symptoms of gout?", "and asthma", "What are the symptoms of asthma?"),
]
_NOT_COMPLETED = [
    (FIRST, "What about pain score?", "Pain?"),
    (FIRST, "And dyspnoea?", "Dyspnoea?"),
    (FIRST, "And with keramide?", "Keramide?"),
    (FIRST, "Among men with gout, is it lower after keramide?", "Among gout keramide?"),
    (FIRST, "Does it also lower pain?", "Pain?"),
    (FIRST, "Would the drug lower fall risk?", "Fall?"),
    (FIRST, "How many took part?", ""),
    (FIRST, "Why?", ""),
    ("What causes gout?", "How is it treated?", ""),
    ("Does aspirin prevent stroke in women?", "How much should be taken?", ""),
    ("What is the cause of death in sepsis?", "And treatment?", ""),
    ("What is the effect of aspirin on stroke?", "What about bleeding?", "Bleeding?"),
    ("Do women with gout benefit from aspirin?", "And men with asthma?", "Asthma?"),
    ("What is the treatment of gout?", "And second-line?", "Second-line?"),
    ("What is asthma?", "Which is safer?", ""),
    ("Does aspirin prevent stroke?", "After a recent heart attack?", "Recent heart attack?"),
    ("Was ist Asthma?", "Wie wird es behandelt?", ""),
    ("Was ist Sepsis?", "Wie wird sie behandelt?", ""),
    ("Was ist ein Herzinfarkt?", "Kann man ihn mit Aspirin verhindern?", ""),
    ("Was ist Gicht?", "Welches Medikament hilft dagegen?", ""),
    ("Hilft Aspirin gegen Schlaganfall?", "Und bei Frauen?", "Bei Frauen?"),
    ("L'aspirine prévient-elle l'AVC ?", "Et chez les femmes ?", "Chez les femmes?"),
    ("Qu'est-ce que la goutte ?", "Comment est-elle traitée ?", ""),
    ("¿Qué es la gota?", "¿Y en niños?", "En niños?"),
    ("¿Qué es la gota?", "¿Cómo se trata?", ""),
    ("¿Qué es la gota?", "¿Cuáles son sus síntomas?", ""),
    ("¿Qué es la sepsis?", "¿Cuál es su mortalidad?", ""),
    ("Qu'est-ce que la goutte ?", "Quelle est sa cause ?", ""),
    ("Was ist ein Infarkt?", "Was sind seine Ursachen?", ""),
    ("Does apixaban prevent stroke in atrial fibrillation?", "And warfarin?", "Warfarin?"),
    ("Is ibuprofen safe?", "And zinc, iron or aspirin plus codeine?", "And zinc, iron or aspirin plus codeine?"),
    ("Was ist Gicht?", "Und Asthma?", "Asthma?"),
    ("Who may use the billing module?", "what about the approver role ?", "Approver role?"),
]


@pytest.mark.parametrize(("earlier", "message", "expected"), _COMPLETED)
def test_fragment_is_completed_from_the_earlier_question(earlier: str, message: str, expected: str) -> None:
    completed = complete([earlier], message)
    assert completed.question == expected
    assert completed.note == f"read as: {expected}"


@pytest.mark.parametrize(("earlier", "message", "new"), _NOT_COMPLETED)
def test_other_message_is_asked_after_its_new_words_and_the_earlier_question(
    earlier: str, message: str, new: str
) -> None:
    completed = complete([earlier], message)
    assert completed.question == f"{new} {earlier} {message[0].upper()}{message[1:]}".strip()
    assert completed.note == NOT_COMPLETED


@pytest.mark.parametrize(
    "message",
    [
        "Does light therapy reduce mortality in adults with gout?",
        "What causes gout?",
        "How is asthma treated?",
        "How does warfarin work?",
        "In adults with renal impairment, is insulin safe?",
        "In which countries is rabies common in bats?",
        "E. coli infection treatment in adults",
        "Who dies of sepsis within 30 days?",
        "Hilft Aspirin gegen Fieber bei Kindern?",
        "Gibt es eine Impfung gegen Masern?",
        "Was empfehlen Sie bei Gicht und Asthma?",
        "Was ist Asthma?",
        "L’aspirine prévient les accidents vasculaires ?",
        "Lopitexetine for outpatients with type 2 diabetes: does fall risk go up?",
        "Do mitochondria play a role in remodelling lace plant leaves during programmed cell death?",
        "Is there a need for a new test of hearing?",
    ],
)
def test_self_contained_question_is_unchanged(message: str) -> None:
    assert complete([FIRST], message) == complete([], message)
    assert complete([FIRST], message).question == message
    assert complete([FIRST], message).note is None


def test_first_message_gets_single_spaces_only() -> None:
    assert complete([], " And in \n women? ").question == "And in women?"


def test_follow_up_refers_to_the_last_question_with_a_subject() -> None:
    questions = [FIRST]
    for message in ("Does it lower pain?", "How many took part?", "And dyspnoea?"):
        questions.append(complete(questions, message).question)
    assert questions[-1] == f"Dyspnoea? {FIRST} And dyspnoea?"
    assert complete(questions, "And in women?").question == _COMPLETED[0][2]
    questions.append(complete(questions, "Does keramide do so in adults with sickle cell disease?").question)
    assert complete(questions, "Why?").question == "Does keramide do so in adults with sickle cell disease? Why?"


def test_regular_expression_syntax_in_messages_is_harmless() -> None:
    question = r"Is itch score decreased by ro\1te\gsartan (50%) in men with gout \d?"
    assert complete([question], "Does it also lower pain?").question
    assert complete([FIRST], "\\1 \\g<0> ?").question


@pytest.mark.parametrize("message", ["?", "...", "and", "what about", "ok thanks", "in", "Und bei Frauen?", "🙂", "it"])
def test_any_message_gives_a_question(message: str) -> None:
    assert complete([FIRST], message).question.strip()
    assert complete(["?"], message).question.strip()


def test_long_text_is_neither_completed_nor_used_for_completion() -> None:
    text = f"And in women? {'It was so in women with gout. ' * 80}"
    assert complete([FIRST], text).question == " ".join(text.split())
    assert complete([FIRST, text], "And in women?").question == complete([FIRST], "And in women?").question
    assert complete([text], "And in women?").question == "And in women?"
