import random
import unicodedata

import pytest

from corpus.words import terms


@pytest.mark.parametrize(
    ("first", "second"),
    [
        # accents and letters
        *(("Behçet", "Behc\u0327et"), ("Behçet", "Behcet"), ("SJÖGREN", "sjo\u0308gren"), ("Łódź", "lodz")),
        *(("oesophageal", "œsophageal"), ("Straße", "STRASSE"), ("ﬁbrin", "fibrin")),
        # apostrophes and quotation marks
        *(("Parkinson’s", "Parkinson's"), ("Parkinson´s", "Parkinson"), ("Parkinsonʼs", "Parkinsons")),
        *(("Parkinson`s", "Parkinson‘s"), ("O’Donoghue", "O'Donoghue"), ("l’hypertension", "hypertension")),
        *(("“warfarin”", "«warfarin»"), ("_warfarin_", "warfarin"), ("ｗａｒｆａｒｉｎ", "warfarin")),
        # invisible characters
        *(("war\u200bfa\u200brin", "warfarin"), ("war\u200cfa\u200drin", "warfarin")),
        *(("war\u2060fa\ufeffrin", "warfarin"), ("war\u00adfarin", "warfarin"), ("war\u00ad\n  farin", "warfarin")),
        # numbers, units and Greek letters
        *(("CO₂", "CO2"), ("vitamin B₁₂", "vitamin B12"), ("⁹⁹ᵐTc", "99mTc"), ("kg/m²", "kg/m2"), ("10⁹", "10^9")),
        *(("1½ tablets", "1 1/2 tablets"), ("5㎎", "5 mg"), ("5 µg", "5 μg"), ("20,000 cells", "20000 cells")),
        *(("TNFα", "TNF-alpha"), ("β‑blockers", "beta-blockers"), ("٥ mg", "5 mg")),
        # other scripts
        *(("ﾒﾄﾎﾙﾐﾝ", "メトホルミン"), ("が", "か\u3099"), ("שָׁלוֹם", "שלום"), ("دَواء", "دواء"), ("ёлка", "елка")),
    ],
)
def test_spellings_of_a_word_have_the_same_terms(first: str, second: str) -> None:
    assert terms(first) == terms(second) != []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        *(("vitamin K", "vitamin D"), ("hepatitis A", "hepatitis B"), ("hepatitis A", "a hepatitis")),
        *(("type I", "type II"), ("factor 8", "factor 9"), ("grade 3", "grade 2")),
        *(("0.5 mg", "0.05 mg"), ("10⁹", "109"), ("1½", "11")),
    ],
)
def test_different_words_have_different_terms(first: str, second: str) -> None:
    assert sorted(terms(first)) != sorted(terms(second))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Which vitamin a deficiency?", ["vitamin", "a", "defici"]),
        ("Who has hepatitis a?", ["hepat", "a"]),
        ("A dose of a drug that I took", ["dose", "drug", "took"]),
        ("Angiotensin I is cut", ["angiotensin", "i", "cut"]),
        ("What is ALL?", ["all"]),
        ("ALL", ["all"]),
        ("(ALL)", ["all"]),
        ("the WHO’s advice", ["who", "advic"]),
        ("the ＷＨＯ advice", ["who", "advic"]),
        ("AS of the spine", ["as", "spine"]),
        ("given IT weekly", ["given", "it", "week"]),
        ("the OR was 1.5", ["or", "1.5"]),
        ("zinc OR iron AND NOT copper", ["zinc", "iron", "copper"]),
        ("WHO CAN TAKE THIS?", ["take"]),
        ("all who do as it is", []),
        ("don't, don’t, it's, can´t", []),
        ("", []),
        ("— § … ?!", []),
    ],
)
def test_stop_words_are_omitted_unless_they_are_names(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


def test_word_broken_at_a_line_end_gives_whole_word_and_halves() -> None:
    assert terms("hydroxy-\nurea") == ["hydroxyurea", "hydroxi", "urea"]
    assert set(terms("beta-blocker")) < set(terms("beta-\n  blocker"))


@pytest.mark.parametrize(
    ("text", "question"),
    [
        *(("阿司匹林预防中风。", "阿司匹林预防什么？"), ("この薬は熱を下げる。", "熱を下げる薬は？")),
        *(("ยาแอสไพรินลดไข้", "แอสไพริน"), ("아스피린은 열을 내린다.", "아스피린의 효과")),
    ],
)
def test_unspaced_question_shares_terms_with_its_answer(text: str, question: str) -> None:
    assert len(set(terms(text)) & set(terms(question))) >= 2


def test_latin_letter_in_chinese_text_is_a_term() -> None:
    assert "d" in terms("维生素D降低")


@pytest.mark.parametrize("seed", range(20))
def test_random_characters_have_nonempty_terms(seed: int) -> None:
    rng = random.Random(seed)
    alphabet = "aZ9é'’-\n .,²½①α\u0301\u200b\u00ad中すไม้\U0001f600\ud800" + chr(rng.randrange(0x20, 0x20000))
    found = terms("".join(rng.choices(alphabet, k=200)))
    assert found
    assert all(found)


def test_combining_accents_do_not_split_words() -> None:
    assert terms(unicodedata.normalize("NFD", "Guillain–Barré")) == terms("Guillain Barre")
    expected = ["menier", "二甲", "甲双", "双胍", "hydrochlor"]
    assert terms("Me\u0301nie\u0300re’s in 二甲双胍 and hydro\u200bchlor") == expected


@pytest.mark.parametrize(
    ("first", "second"),
    [
        *(("IL-6", "IL6"), ("IL 6", "IL-6"), ("il 6", "IL6"), ("IL‑6", "IL–6"), ("IL\u200b-6", "IL6")),
        *(("IL-1β", "IL1β"), ("COVID-19", "COVID19"), ("COVID 19", "Covid-19"), ("COVID-\n19", "covid19")),
        *(("vitamin B-12", "vitamin B12"), ("vitamin B 12", "vitamin B₁₂")),
        *(("Hb A1c", "HbA1c"), ("hb a1c", "HbA₁c"), ("HbA-1c", "HbA1c")),
        *(("CD-4+", "CD4+"), ("CD 4 cells", "CD4⁺ cells"), ("5-HT", "5HT"), ("PD-L1", "PDL1")),
        *(("anti-CD20", "antiCD20"), ("CYP 2D6", "CYP2D6"), ("SARS-CoV-2", "SARSCoV2")),
        *(("omega-3", "omega3"), ("I-131", "I131"), ("CA 125", "CA-125")),
    ],
)
def test_identifier_and_its_joined_form_share_a_term(first: str, second: str) -> None:
    joined = {term for term in terms(first) if any(map(str.isdigit, term)) and any(map(str.isalpha, term))}
    assert joined & set(terms(second))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        *(("pre-eclampsia", "preeclampsia"), ("Anti-inflammatory drugs", "antiinflammatory drug")),
        *(("co-trimoxazole", "cotrimoxazole"), ("x-ray", "xrays"), ("X-rays", "xray")),
        *(("non‑steroidal", "nonsteroidal"), ("follow-up", "followup"), ("check–up", "checkup")),
    ],
)
def test_word_with_and_without_hyphen_share_a_term(first: str, second: str) -> None:
    assert terms(second)[0] in terms(first)
    assert set(terms(first.replace("-", " "))) <= set(terms(first))


def test_parts_of_an_identifier_remain_terms() -> None:
    assert terms("IL-6 fell") == ["il6", "il", "6", "fell"]
    assert terms("the IL 6 fell") == ["il", "il6", "6", "fell"]


@pytest.mark.parametrize(
    "text",
    ["2-4 mg", "in 20 patients", "aged 65", "Table 2", "CI 95%", "12-week trial", "HR 0.52", "95%-range", "IL-x"],
)
def test_numbers_that_are_no_identifiers_are_not_joined(text: str) -> None:
    assert not [term for term in terms(text) if term[0].isalpha() and term[-1].isdigit()]
    assert not [term for term in terms(text) if term[0].isdigit() and term[-1].isalpha()]
