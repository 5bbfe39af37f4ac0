"""The analyser of words: spellings that are one word, words that decide, and exact places."""

import random
import unicodedata

import pytest

from corpus.words import spans, terms


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Behçet", "Behc\u0327et"),
        ("Behçet", "Behcet"),
        ("SJÖGREN", "sjo\u0308gren"),
        ("Łódź", "lodz"),
        ("oesophageal", "œsophageal"),
        ("Straße", "STRASSE"),
        ("ﬁbrin", "fibrin"),
        ("ｍｅｔｆｏｒｍｉｎ", "metformin"),
        ("Parkinson’s", "Parkinson's"),
        ("Parkinson´s", "Parkinson"),
        ("Parkinsonʼs", "Parkinsons"),
        ("Parkinson`s", "Parkinson‘s"),
        ("O’Donoghue", "O'Donoghue"),
        ("l’hypertension", "hypertension"),
        ("“warfarin”", "«warfarin»"),
        ("_warfarin_", "warfarin"),
        ("war\u200bfa\u200brin", "warfarin"),
        ("war\u200cfa\u200drin", "warfarin"),
        ("war\u2060fa\ufeffrin", "warfarin"),
        ("war\u00adfarin", "warfarin"),
        ("war\u00ad\n  farin", "warfarin"),
        ("CO₂", "CO2"),
        ("vitamin B₁₂", "vitamin B12"),
        ("⁹⁹ᵐTc", "99mTc"),
        ("kg/m²", "kg/m2"),
        ("10⁹", "10^9"),
        ("1½ tablets", "1 1/2 tablets"),
        ("5㎎", "5 mg"),
        ("5 µg", "5 μg"),
        ("TNFα", "TNF-alpha"),
        ("β‑blockers", "beta-blockers"),
        ("20,000 cells", "20000 cells"),
        ("٥ mg", "5 mg"),
        ("ﾒﾄﾎﾙﾐﾝ", "メトホルミン"),
        ("が", "か\u3099"),
        ("שָׁלוֹם", "שלום"),
        ("دَواء", "دواء"),
        ("ёлка", "елка"),
    ],
)
def test_spellings_of_one_word(one: str, other: str) -> None:
    assert terms(one) == terms(other) != []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("vitamin K", "vitamin D"),
        ("hepatitis A", "hepatitis B"),
        ("hepatitis A", "a hepatitis"),
        ("type I", "type II"),
        ("factor 8", "factor 9"),
        ("grade 3", "grade 2"),
        ("0.5 mg", "0.05 mg"),
        ("10⁹", "109"),
        ("1½", "11"),
    ],
)
def test_words_that_differ(one: str, other: str) -> None:
    assert sorted(terms(one)) != sorted(terms(other))


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
def test_stop_words_and_names(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


def test_a_word_broken_at_a_lines_end_is_whole_and_its_parts() -> None:
    assert terms("hydroxy-\nurea") == ["hydroxyurea", "hydroxi", "urea"]
    assert set(terms("beta-blocker")) < set(terms("beta-\n  blocker"))


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("阿司匹林预防中风。", "阿司匹林预防什么？"),
        ("この薬は熱を下げる。", "熱を下げる薬は？"),
        ("ยาแอสไพรินลดไข้", "แอสไพริน"),
        ("아스피린은 열을 내린다.", "아스피린의 효과"),
    ],
)
def test_text_without_spaces_is_matched_in_parts(text: str, question: str) -> None:
    assert len(set(terms(text)) & set(terms(question))) >= 2


def test_letters_among_chinese_ones() -> None:
    assert "d" in terms("维生素D降低")


def test_places_are_exact() -> None:
    text = "Me\u0301nie\u0300re’s in 二甲双胍 and hydro\u200bchlor"
    assert [(text[start:end], term) for start, end, term in spans(text)] == [
        ("Me\u0301nie\u0300re’s", "menier"),
        ("二甲", "二甲"),
        ("甲双", "甲双"),
        ("双胍", "双胍"),
        ("hydro\u200bchlor", "hydrochlor"),
    ]


@pytest.mark.parametrize("seed", range(20))
def test_places_are_within_the_text_whatever_the_characters(seed: int) -> None:
    chance = random.Random(seed)
    alphabet = "aZ9é'’-\n .,²½①α\u0301\u200b\u00ad中すไม้\U0001f600\ud800" + chr(chance.randrange(0x20, 0x20000))
    text = "".join(chance.choices(alphabet, k=200))
    found = spans(text)
    assert [word.term for word in found] == terms(text)
    assert all(0 <= word.start < word.end <= len(text) and word.term for word in found)
    assert [word.start for word in found] == sorted(word.start for word in found)


def test_a_word_found_has_itself_as_its_term() -> None:
    text = unicodedata.normalize("NFD", "Ménière, Sjögren and Guillain–Barré")
    for start, end, term in spans(text):
        assert terms(text[start:end]) == [term]
